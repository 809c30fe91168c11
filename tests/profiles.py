"""params.yaml of the repository under a profile, for tests: as text, as a raw section, as its dataclass."""

from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML

from pipeline.runtime.params import build
from pipeline.runtime.profiles import profile_text

__all__ = ["ROOT", "params_text", "raw_section", "section_params"]

T = TypeVar("T")
ROOT = Path(__file__).parents[1]


def params_text(profile: str = "default") -> str:
    return profile_text(profile, ROOT, (ROOT / "params.yaml").read_text())


def raw_section(section: str, profile: str = "default") -> Any:
    return YAML(typ="safe", pure=True).load(params_text(profile))[section]


def section_params(kind: type[T], section: str, profile: str = "default") -> T:
    return build(kind, raw_section(section, profile), section, f"params.yaml under profile {profile}")
