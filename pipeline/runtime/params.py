"""params.yaml section -> frozen dataclass; everything wrong with it in one message, before any computing starts.

The dataclass is the schema (`models.settings`): its fields are the keys, its annotations the types and ranges, and a
ValueError from its `__post_init__` any rule that ties several values together. Nested dataclasses are nested mappings,
and a choice out of a registry (`models.registry`) is a tagged union, `{name: ..., settings}`. pydantic judges; here its
findings are put as: file, key, found, expected, cure.

    @settings
    class SpectraParams:
        n_hamiltonians: PositiveInt
        temperature: Range[PositiveFloat]                  # [low, high]
        nrg: NRGSettings
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from models.registry import NamedSettings, Registry
from pipeline.runtime.moved_params import new_home

__all__ = ["ParamsError", "build", "check_sections", "load_params", "read_section", "read_yaml"]

T = TypeVar("T")
PARAMS_FILE = "params.yaml"
UNKNOWN = "unexpected_keyword_argument"  # pydantic's word for a key that is no field
NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


class ParamsError(ValueError):
    """A params file does not fit; the message lists every problem with file, key, found, expected and cure."""


def load_params(kind: type[T], section: str, path: str | Path = PARAMS_FILE) -> T:
    """Read `section` of the params file as a `kind`. Raises ParamsError that lists every problem of the section."""
    return build(kind, read_section(section, path), section, str(path))


def build(kind: type[T], given: object, section: str, source: str) -> T:
    """Make a `kind` of the mapping `given`, found at `section` of `source`. Raises ParamsError."""
    problems: list[str] = []
    value = _build(kind, given, section, problems)
    _raise(problems, source)
    return value  # type: ignore[return-value]


def read_section(section: str, path: str | Path = PARAMS_FILE) -> Any:  # noqa: ANN401 - YAML
    """The raw mapping of one section."""
    content = read_yaml(path)
    if not isinstance(content, Mapping) or section not in content:
        found = sorted(content) if isinstance(content, Mapping) else type(content).__name__
        raise ParamsError(f"{path}: found sections {found}, expected {section!r}; add the section")
    return content[section]


def check_sections(kinds: Mapping[str, type], path: str | Path = PARAMS_FILE) -> None:
    """Build every section as its kind. Raises ParamsError with all problems; unknown and missing ones are some."""
    content = read_yaml(path)
    if not isinstance(content, Mapping):
        raise ParamsError(f"{path}: found {type(content).__name__}, expected sections {sorted(kinds)}")
    problems: list[str] = []
    for section in content:
        if section not in kinds:
            problems.append(
                f"{section}: found an unknown section, expected one of {sorted(kinds)}; remove or rename it"
            )
    for section, kind in kinds.items():
        if section in content:
            _build(kind, content[section], section, problems)
        else:
            problems.append(f"{section}: found no such section, expected the settings of that stage; add it")
    _raise(problems, str(path))


def read_yaml(path: str | Path) -> Any:  # noqa: ANN401 - YAML
    """Read as YAML 1.2, like DVC does."""
    try:
        return YAML(typ="safe", pure=True).load(Path(path))
    except FileNotFoundError:
        raise ParamsError(f"{path}: not found, expected a params file; run from the root of the repository") from None
    except YAMLError as error:
        raise ParamsError(f"{path}: cannot be read as YAML; correct this: {error}") from None


def _raise(problems: Sequence[str], source: str) -> None:
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise ParamsError(f"{source}: {len(problems)} problem(s)\n{listed}")


def _build(kind: type[T], given: object, section: str, problems: list[str]) -> T | None:
    """Strict types, but lists where tuples are wanted: what JSON is read as."""
    try:
        return TypeAdapter(kind).validate_json(json.dumps(given, default=str))
    except ValidationError as error:
        unknown_first = sorted(error.errors(include_url=False), key=lambda detail: detail["type"] != UNKNOWN)
        problems += dict.fromkeys(_problem(kind, given, section, detail) for detail in unknown_first)
        return None


def _problem(kind: type, given: Any, section: str, detail: Any) -> str:  # noqa: ANN401 - YAML, pydantic's dictionary
    """One finding of pydantic in our words."""
    kind_of_error, keys, found = detail["type"], list(detail["loc"]), detail["input"]
    if (
        kind_of_error in ("missing", "too_long", "too_short")
        and get_origin(_bare(_at(kind, given, keys[:-1]))) is tuple
    ):
        keys, found, kind_of_error = keys[:-1], _value(given, keys[:-1]), "tuple_type"
    hint = _at(kind, given, keys)
    where = section + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    shown = f"{where}: found {found!r} ({type(found).__name__}), expected"
    if kind_of_error in ("value_error", "assertion_error"):
        return f"{where}: {detail['ctx']['error']}"
    if kind_of_error == "missing":
        return f"{where}: found nothing, expected {_expected(hint)}; add the key"
    if kind_of_error == UNKNOWN:
        if new := new_home(where):
            return f"{where}: found a key of an older version, expected it as {new}; move its value there"
        known = sorted(f.name for f in fields(_at(kind, given, keys[:-1])))
        return f"{where}: found an unknown key, expected one of {known}; remove or rename it"
    if kind_of_error == "ascending":
        return f"{shown} ascending values, [low, high]; swap or change them"
    return f"{shown} {_expected(hint)}" + _cure(kind_of_error, found)


def _cure(kind_of_error: str, found: object) -> str:
    if kind_of_error.startswith(("int_", "float_")):
        return "; write the number without quotes" if isinstance(found, str) else "; change its type"
    if kind_of_error.startswith(("greater_than", "less_than")):
        return "; choose a value in that range"
    cures = {
        "dataclass_type": "; indent its keys below it",
        "finite_number": "; choose a finite number",
        "tuple_type": "; write it as [a, b]",
        "too_short": "; write it as [a, b]",
        "too_long": "; write it as [a, b]",
    }
    return cures.get(kind_of_error, "")


def _value(given: Any, keys: Sequence[Any]) -> Any:  # noqa: ANN401 - YAML
    for key in keys:
        given = given[key]
    return given


def _bare(hint: Any) -> Any:  # noqa: ANN401 - an annotation
    """The annotation without its ranges, and without None."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return _bare(next(option for option in get_args(hint) if option is not type(None)))
    return hint


def _at(kind: Any, given: Any, keys: Sequence[Any]) -> Any:  # noqa: ANN401 - an annotation, YAML
    """The annotation of the value at `keys`; None where a key is unknown."""
    hint = kind
    for depth, key in enumerate(keys):
        named = next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, NamedSettings)), None)
        if named is not None:
            hint = named.kind_of(key)
            continue
        registry = next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Registry)), None)
        if registry is not None:
            hint = registry[_value(given, keys[:depth])["name"]].settings
        bare = _bare(hint)
        if is_dataclass(bare):
            hint = get_type_hints(bare, include_extras=True).get(key)
        elif get_origin(bare) is tuple:
            items = get_args(bare)
            hint = items[0] if items[-1] is Ellipsis else items[min(key, len(items) - 1)]
        elif get_origin(bare) is dict:
            hint = get_args(bare)[1]
        else:
            return None
    return hint


def _expected(hint: Any) -> str:  # noqa: ANN401 - an annotation
    """What a value must be, with its range, in words."""
    bare, ranges = _bare(hint), []
    for constraint in _constraints(hint):
        limits = [(sign, getattr(constraint, side)) for side, sign in SIGNS.items() if hasattr(constraint, side)]
        ranges += [f">= {limit + 1}" if bare is int and sign == ">" else f"{sign} {limit:g}" for sign, limit in limits]
    if is_dataclass(bare):
        return "a mapping of settings"
    if get_origin(bare) is Literal:
        return f"one of {list(get_args(bare))}"
    if get_origin(bare) is tuple:
        return "a list" if get_args(bare)[-1] is Ellipsis else f"a list of {len(get_args(bare))}"
    return NAMES.get(bare, "a mapping" if get_origin(bare) is dict else str(bare)) + (
        f" {' and '.join(ranges)}" if ranges else ""
    )


def _constraints(hint: Any) -> list[Any]:  # noqa: ANN401 - an annotation
    """What pydantic holds against the value: annotated_types, also those in a `Field(...)` and beside a None."""
    if get_origin(hint) in (Union, UnionType):
        return [constraint for option in get_args(hint) for constraint in _constraints(option)]
    found = getattr(hint, "__metadata__", ())
    return [c for m in found for c in (m.metadata if isinstance(m, FieldInfo) else [m])]
