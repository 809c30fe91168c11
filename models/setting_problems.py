"""What pydantic finds wrong with settings, in one style: key, found, expected, cure; misspelt keys first."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from models.registry import Registry

__all__ = ["setting_problems", "unstated_settings"]

UNKNOWN = "unexpected_keyword_argument"  # pydantic's word for a key that is no field
NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "a multiple of"}
CURES = {
    "dataclass_type": "; indent its keys below it",
    "finite_number": "; choose a finite number",
    "tuple_type": "; write it as [a, b]",
    "too_short": "; write it as [a, b]",
    "too_long": "; write it as [a, b]",
}


def setting_problems(kind: type, given: Any, error: ValidationError, where: str = "") -> list[str]:  # noqa: ANN401
    """One line for each problem of the mapping `given` as a `kind`; `where` stands before its keys."""
    unknown_first = sorted(error.errors(include_url=False), key=lambda detail: detail["type"] != UNKNOWN)
    return list(dict.fromkeys(_problem(kind, given, where, detail) for detail in unknown_first))


def unstated_settings(hint: Any, given: Any, where: str) -> list[str]:  # noqa: ANN401 - an annotation, YAML
    """One line for each setting that has a default in code, shapes content and is not stated in `given`."""
    bare, items = _bare(_chosen(hint, given)), list[tuple[Any, Any, str]]()
    if (named := _named(hint)) and isinstance(given, Mapping):
        for key, value in given.items():
            with suppress(ValueError):  # of an unknown key, which is a problem of its own
                items.append((named.kind_of(key), value, f"{where}.{key}"))
    elif get_origin(bare) is tuple and isinstance(given, Sequence):
        items = [(get_args(bare)[0], value, f"{where}[{i}]") for i, value in enumerate(given)]
    if items:
        return [line for item in items for line in unstated_settings(*item)]
    if not is_dataclass(bare) or not isinstance(given, Mapping):
        return []
    hints = get_type_hints(bare, include_extras=True)
    lines = []
    for field in fields(bare):
        key = f"{where}.{field.name}"
        if field.name in given:
            lines += unstated_settings(hints[field.name], given[field.name], key)
        elif field.metadata.get("shapes_content", True) and (field.default, field.default_factory) != (MISSING,) * 2:
            lines.append(f"{key}: found nothing, expected {_expected(hints[field.name])}; add the key")
    return lines


def _problem(kind: type, given: Any, section: str, detail: Any) -> str:  # noqa: ANN401 - YAML, pydantic's dictionary
    problem, keys, value = detail["type"], list(detail["loc"]), detail["input"]
    if problem == "missing" and keys and isinstance(keys[-1], int):  # a list that is too short
        keys, value, problem = keys[:-1], _value(given, keys[:-1]), "too_short"
    hint = _at(kind, given, keys)
    where = (section + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)).removeprefix(".")
    if problem in ("value_error", "assertion_error"):
        return f"{where}: {detail['ctx']['error']}".removeprefix(": ")
    if problem == "missing":
        return f"{where}: found nothing, expected {_expected(hint)}; add the key"
    if problem == UNKNOWN:
        owner = _chosen(_at(kind, given, keys[:-1]), _value(given, keys[:-1]))
        known = sorted(f.name for f in fields(_bare(owner)))
        return f"{where}: found an unknown key, expected one of {known}; remove or rename it"
    if problem == "ascending":
        return f"{where}: found {_show(value)}, expected ascending values, [low, high]; swap or change them"
    words = f"one of {detail['ctx']['expected']}" if problem == "literal_error" else detail["msg"]
    expected = words if hint is None else _expected(hint)
    return f"{where}: found {_show(value)}, expected {expected}{_cure(problem, value)}"


def _show(value: object) -> str:
    return f"{value!r} ({type(value).__name__})"


def _cure(problem: str, value: object) -> str:
    if problem.startswith(("int_", "float_")):
        return "; write the number without quotes" if isinstance(value, str) else "; change its type"
    if problem.startswith(("greater_than", "less_than", "multiple_of")):
        return "; choose a value in that range"
    return CURES.get(problem, "")


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
        if named := _named(hint):
            hint = named.kind_of(key)
            continue
        bare = _bare(_chosen(hint, _value(given, keys[:depth])))
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


def _named(hint: Any) -> Any:  # noqa: ANN401 - an annotation
    """What knows the settings class of each key of a mapping, by `kind_of`: the annotation or the class itself."""
    return next((m for m in [*getattr(hint, "__metadata__", ()), hint] if hasattr(m, "kind_of")), None)


def _chosen(hint: Any, given: Any) -> Any:  # noqa: ANN401 - an annotation, YAML
    """Of a choice out of a registry the settings of the entry that `given` names; else the annotation itself."""
    for registry in getattr(hint, "__metadata__", ()):
        if isinstance(registry, Registry) and isinstance(given, Mapping) and given.get("name") in registry.names():
            return registry[given["name"]].settings
    return hint


def _expected(hint: Any) -> str:  # noqa: ANN401 - an annotation
    """What a value must be, with its range, in words."""
    bare, ranges = _bare(hint), []
    for constraint in _constraints(hint):
        limits = [(sign, getattr(constraint, side)) for side, sign in SIGNS.items() if hasattr(constraint, side)]
        ranges += [f">= {limit + 1}" if bare is int and sign == ">" else f"{sign} {limit:g}" for sign, limit in limits]
    for registry in getattr(hint, "__metadata__", ()):
        if isinstance(registry, Registry):
            return f"{{name: one of {registry.names()}, and its settings}}"
    if is_dataclass(bare):
        return "a mapping of settings"
    if get_origin(bare) is Literal:
        return f"one of {list(get_args(bare))}"
    if get_origin(bare) is tuple:
        return "a list" if get_args(bare)[-1] is Ellipsis else f"a list of {len(get_args(bare))}"
    name = "a mapping" if get_origin(bare) is dict else NAMES.get(bare, str(bare))
    return f"{name} {' and '.join(ranges)}" if ranges else name


def _constraints(hint: Any) -> list[Any]:  # noqa: ANN401 - an annotation
    """What pydantic holds against the value: annotated_types, also those in a `Field(...)` and beside a None."""
    if get_origin(hint) in (Union, UnionType):
        return [constraint for option in get_args(hint) for constraint in _constraints(option)]
    metadata = getattr(hint, "__metadata__", ())
    return [c for m in metadata for c in (m.metadata if isinstance(m, FieldInfo) else [m])]
