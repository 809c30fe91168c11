"""params.yaml section -> frozen dataclass; everything wrong with it in one message, before any computing starts.

The dataclass is the schema: its fields are the keys, its annotations the types, `setting(above=0)` the ranges, and a
ValueError from its `__post_init__` any rule that ties several values together. Nested dataclasses are nested mappings.
Fields without a default must be stated: params.yaml tells every value that shapes content.

    class SpectraParams:
        n_hamiltonians: int = setting(low=1)
        temperature: tuple[float, float] = setting(above=0, ascending=True)      # [low, high]
        nrg: NRGSettings
"""

import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, field, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

__all__ = ["ParamsError", "build", "check_sections", "load_params", "read_section", "setting"]

T = TypeVar("T")
PARAMS_FILE = "params.yaml"


class ParamsError(ValueError):
    """A params file does not fit; the message lists every problem with file, key, found, expected and cure."""


def setting(
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    ascending: bool = False,
    default: Any = MISSING,  # noqa: ANN401 - a value of the field's own type
) -> Any:  # noqa: ANN401 - a dataclass field stands where a value is declared
    """Dataclass field with a range (of each item of a tuple): `low` and `high` are allowed, `above` and `below` not."""
    limits = {"low": low, "high": high, "above": above, "below": below}
    return field(default=default, metadata={"limits": limits, "ascending": ascending})


def load_params(kind: type[T], section: str, path: str | Path = PARAMS_FILE) -> T:
    """Read `section` of the params file as a `kind`. Raises ParamsError that lists every problem of the section."""
    return build(kind, read_section(section, path), section, str(path))


def build(kind: type[T], given: object, section: str, source: str) -> T:
    """Make a `kind` of the mapping `given`, found at `section` of `source`. Raises ParamsError."""
    problems: list[str] = []
    value = _build(kind, given, section, problems)
    _raise(problems, source)
    return value  # type: ignore[no-any-return]


def read_section(section: str, path: str | Path = PARAMS_FILE) -> Any:  # noqa: ANN401 - YAML
    """The raw mapping of one section."""
    content = _read(path)
    if not isinstance(content, Mapping) or section not in content:
        found = sorted(content) if isinstance(content, Mapping) else type(content).__name__
        raise ParamsError(f"{path}: found sections {found}, expected {section!r}; add the section")
    return content[section]


def check_sections(kinds: Mapping[str, type], path: str | Path = PARAMS_FILE) -> None:
    """Build every section as its kind. Raises ParamsError with all problems; unknown and missing ones are some."""
    content = _read(path)
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


def _read(path: str | Path) -> Any:  # noqa: ANN401 - YAML
    """Read as YAML 1.2, like DVC does."""
    try:
        return YAML(typ="safe", pure=True).load(Path(path))
    except FileNotFoundError:
        raise ParamsError(f"{path}: not found, expected a params file; run from the root of the repository") from None
    except YAMLError as error:
        raise ParamsError(f"{path}: cannot be read as YAML; correct this: {error}") from None


def _raise(problems: Sequence[str], source: str) -> None:
    if problems:
        told = "\n".join(f"  {problem}" for problem in problems)
        raise ParamsError(f"{source}: {len(problems)} problem(s)\n{told}")


def _build(kind: Any, given: Any, where: str, problems: list[str]) -> Any:  # noqa: ANN401 - any dataclass
    if not isinstance(given, Mapping):
        problems.append(f"{where}: found {_show(given)}, expected a mapping of settings; indent its keys below it")
        return None
    hints = get_type_hints(kind)
    known = {f.name: f for f in fields(kind) if f.init}
    n_before = len(problems)
    for key in given:
        if key not in known:
            problems.append(
                f"{where}.{key}: found an unknown key, expected one of {sorted(known)}; remove or rename it"
            )
    values = {}
    for name, declared in known.items():
        if name in given:
            values[name] = _convert(hints[name], given[name], f"{where}.{name}", declared, problems)
        elif declared.default is MISSING and declared.default_factory is MISSING:
            wanted = _name(hints[name]) + _range_text(declared)
            problems.append(f"{where}.{name}: found nothing, expected {wanted}; add the key")
    if len(problems) > n_before:
        return None
    try:
        return kind(**values)
    except ValueError as error:
        problems.append(f"{where}: {error}")
        return None


def _convert(hint: Any, given: Any, where: str, declared: Field[Any], problems: list[str]) -> Any:  # noqa: ANN401
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return _build(hint, given, where, problems)
    if origin in (Union, types.UnionType):
        if given is None and type(None) in arguments:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), given, where, declared, problems)
    if origin is Literal:
        return given if given in arguments else _refuse(where, given, f"one of {list(arguments)}", "", problems)
    if origin is tuple:
        return _convert_tuple(arguments, given, where, declared, problems)
    if origin is dict:
        if not isinstance(given, Mapping):
            return _refuse(where, given, "a mapping", "", problems)
        return {k: _convert(arguments[1], v, f"{where}.{k}", declared, problems) for k, v in given.items()}
    if hint in (int, float):
        return _convert_number(hint, given, where, declared, problems)
    if hint in (bool, str):
        return given if isinstance(given, hint) else _refuse(where, given, _name(hint), "", problems)
    raise TypeError(f"{where}: params of type {hint} are not supported")


def _convert_tuple(arguments: Any, given: Any, where: str, declared: Field[Any], problems: list[str]) -> Any:  # noqa: ANN401
    open_ended = len(arguments) == 2 and arguments[1] is Ellipsis
    wanted = "a list" if open_ended else f"a list of {len(arguments)}"
    is_list = isinstance(given, Sequence) and not isinstance(given, str)
    if not is_list or (not open_ended and len(given) != len(arguments)) or (open_ended and not given):
        return _refuse(where, given, wanted, "write it as [a, b]", problems)
    kinds = [arguments[0]] * len(given) if open_ended else arguments
    n_before = len(problems)
    items = tuple(
        _convert(k, v, f"{where}[{i}]", declared, problems) for i, (k, v) in enumerate(zip(kinds, given, strict=True))
    )
    ascending = declared.metadata.get("ascending", False)
    if ascending and len(problems) == n_before and any(b <= a for a, b in pairwise(items)):
        return _refuse(where, given, "ascending values, [low, high]", "swap or change them", problems)
    return items


def _convert_number(hint: Any, given: Any, where: str, declared: Field[Any], problems: list[str]) -> Any:  # noqa: ANN401
    wanted = _name(hint) + _range_text(declared)
    if isinstance(given, str):
        return _refuse(where, given, wanted, "write the number without quotes", problems)
    if isinstance(given, bool) or not isinstance(given, int | float) or (hint is int and not isinstance(given, int)):
        return _refuse(where, given, wanted, "change its type", problems)
    if not math.isfinite(given):
        return _refuse(where, given, wanted, "choose a finite number", problems)
    limits: Mapping[str, float | None] = declared.metadata.get("limits", {})
    inside = {
        "low": lambda limit: given >= limit,
        "high": lambda limit: given <= limit,
        "above": lambda limit: given > limit,
        "below": lambda limit: given < limit,
    }
    if not all(limit is None or inside[side](limit) for side, limit in limits.items()):
        return _refuse(where, given, wanted, "choose a value in that range", problems)
    return hint(given)


def _refuse(where: str, given: Any, expected: str, cure: str, problems: list[str]) -> None:  # noqa: ANN401
    problems.append(f"{where}: found {_show(given)}, expected {expected}" + (f"; {cure}" if cure else ""))


def _show(given: Any) -> str:  # noqa: ANN401 - YAML
    return f"{given!r} ({type(given).__name__})"


def _name(hint: Any) -> str:  # noqa: ANN401 - a type
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(hint, str(hint))


def _range_text(declared: Field[Any]) -> str:
    signs = {"low": ">=", "above": ">", "high": "<=", "below": "<"}
    limits: Mapping[str, float | None] = declared.metadata.get("limits", {})
    told = [f"{sign} {limits[side]:g}" for side, sign in signs.items() if limits.get(side) is not None]
    return f" {' and '.join(told)}" if told else ""
