"""profiles/*.yaml hold what differs from params.yaml, and every stage accepts what comes out."""

from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import load_yaml, modify_yaml

from pipeline.runtime.check_params import section_kinds
from pipeline.runtime.params import check_sections, read_yaml
from tests.profiles import ROOT, params_text, raw_section

PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))


def leaves(content: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(content, dict) or not content:
        return {prefix: content}
    return {
        name: v for key, value in content.items() for name, v in leaves(value, f"{prefix}.{key}".lstrip(".")).items()
    }


def test_the_three_profiles_are_there_and_short():
    assert [path.stem for path in PROFILES] == ["cluster", "paper", "tiny"]
    assert max(len(path.read_text().splitlines()) for path in PROFILES) < 80
    assert len((ROOT / "params.yaml").read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_profile_states_only_what_differs(path: Path):
    """A choice of another name (an engine) stands whole, and may share settings with the one it replaces."""
    base = leaves(read_yaml(ROOT / "params.yaml"))
    changes = leaves(read_yaml(path))
    assert {key: value for key, value in changes.items() if key in base and base[key] == value} == {}


@pytest.mark.parametrize("profile", ["default", *(path.stem for path in PROFILES)])
def test_every_stage_accepts_its_section_under_every_profile(profile: str, tmp_path: Path):
    """So a profile cannot miss a key: what it does not state is that of params.yaml."""
    (tmp_path / "params.yaml").write_text(params_text(profile))
    check_sections(section_kinds(), tmp_path / "params.yaml")


@pytest.mark.parametrize("profile", ["default", *(path.stem for path in PROFILES)])
def test_dvc_reads_what_a_profile_writes(profile: str, tmp_path: Path):
    """Its parser is stricter than ours: it refuses a colon in a plain scalar of a flow mapping."""
    from dvc.utils.serialize import load_yaml

    path = tmp_path / "params.yaml"
    path.write_text(params_text(profile))
    assert load_yaml(str(path)) == read_yaml(path)


def test_the_paper_profile_reaches_600_000_spectra():
    section = raw_section("spectra", "paper")
    sampling = section["sampling"]
    at_zero = sampling["zero_field_fraction"]
    rows_per_hamiltonian = sampling["n_temperatures"] * (2 * at_zero + 4 * (1 - at_zero))
    assert section["n_hamiltonians"] * rows_per_hamiltonian == pytest.approx(600_000, rel=0.01)


@pytest.mark.parametrize("profile", ["default", *(path.stem for path in PROFILES)])
def test_dvc_reads_the_params_that_it_rewrites_itself(profile: str, tmp_path: Path):
    """As in `dvc exp run --set-param`: quotes in braces are lost then, and a colon needs them there."""
    path = tmp_path / "params.yaml"
    path.write_text(params_text(profile))
    before = load_yaml(str(path))
    with modify_yaml(str(path)) as content:
        content["spectra"]["seed"] = 5
    assert load_yaml(str(path)) == before | {"spectra": before["spectra"] | {"seed": 5}}
