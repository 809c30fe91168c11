"""params.yaml section -> frozen dataclass; everything wrong with it in one message, before any computing starts.

The dataclass is the schema (`models.settings`): its fields are the keys, its annotations the types and ranges, and a
ValueError from its `__post_init__` any rule that ties several values together. Nested dataclasses are nested mappings,
and a choice out of a registry (`models.registry`) is a tagged union, `{name: ..., settings}`. pydantic judges, and
`models.setting_problems` puts its findings as key, found, expected, cure.

    @settings
    class SpectraParams:
        n_hamiltonians: PositiveInt
        temperature: Range[PositiveFloat]                  # [low, high]
        nrg: NRGSettings
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from models.setting_problems import setting_problems, unstated_settings
from pipeline.runtime.moved_params import moved_or

__all__ = ["ParamsError", "build", "check_sections", "load_params", "read_section", "read_yaml"]

T = TypeVar("T")
PARAMS_FILE = "params.yaml"


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
        sections = sorted(content) if isinstance(content, Mapping) else type(content).__name__
        raise ParamsError(f"{path}: found sections {sections}, expected {section!r}; add the section")
    return content[section]


def check_sections(kinds: Mapping[str, type], path: str | Path = PARAMS_FILE) -> None:
    """Build every section as its kind. Raises ParamsError with all problems; unknown and missing ones are some.

    Every setting has to be stated, also one that has a default in code: nothing that shapes content is hidden there.
    """
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
            problems += unstated_settings(kind, content[section], section)
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
    except RecursionError:
        raise ParamsError(f"{path}: found brackets within brackets without end, expected a params file") from None


def _raise(problems: Sequence[str], source: str) -> None:
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise ParamsError(f"{source}: {len(problems)} problem(s)\n{listed}")


def _build(kind: type[T], given: object, section: str, problems: list[str]) -> T | None:
    """Strict types, but lists where tuples are wanted: what JSON is read as."""
    try:
        return TypeAdapter(kind).validate_json(json.dumps(given, default=str))
    except ValidationError as error:
        problems += [moved_or(problem) for problem in setting_problems(kind, given, error, section)]
        return None
