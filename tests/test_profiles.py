"""profiles/*.yaml are whole params files: same sections and keys as params.yaml, and every stage accepts them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.runtime.check_params import section_kinds
from pipeline.runtime.params import check_sections

ROOT = Path(__file__).parents[1]
PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))


def keys(content: Any, prefix: str = "") -> set[str]:
    if not isinstance(content, dict):
        return {prefix}
    return {name for key, value in content.items() for name in keys(value, f"{prefix}.{key}".lstrip("."))}


def test_the_three_profiles_are_there():
    assert [path.stem for path in PROFILES] == ["cluster", "paper", "tiny"]


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_profile_has_the_keys_of_params_yaml_and_no_others(path: Path):
    assert keys(yaml.safe_load(path.read_text())) == keys(yaml.safe_load((ROOT / "params.yaml").read_text()))


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *PROFILES], ids=lambda path: path.stem)
def test_every_stage_accepts_its_section(path: Path):
    check_sections(section_kinds(), path)


def test_the_paper_profile_reaches_600_000_spectra():
    section = yaml.safe_load((ROOT / "profiles" / "paper.yaml").read_text())["spectra"]
    sampling = section["sampling"]
    at_zero = sampling["zero_field_fraction"]
    rows_per_hamiltonian = sampling["n_temperatures"] * (2 * at_zero + 4 * (1 - at_zero))
    assert section["n_hamiltonians"] * rows_per_hamiltonian == pytest.approx(600_000, rel=0.01)
