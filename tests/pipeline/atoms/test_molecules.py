"""Stage `molecules`: every frame a labelled row or a failed one, whatever was killed, split or in another order."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import PositiveFloat

from models.frames import Frames
from models.physics.atoms import engine as engine_module
from models.physics.atoms.engine import ENGINES, Label
from models.physics.atoms.engines.ase import ASEEngine
from models.registry import Chosen
from models.settings import settings
from pipeline.atoms import molecules
from pipeline.atoms.molecules import MoleculeFrames, MoleculesParams, draw_jobs, generate, problems_of
from pipeline.runtime.kept_results import GenerationError
from pipeline.runtime.params import load_params
from stores.atoms import ATOMS, frames_of
from stores.manifest import read_manifest
from stores.outcome import OK
from stores.validate import validate
from stores.zarr_store import open_store
from tests.profiles import raw_section, section_params

ROOT = Path(__file__).parents[3]
DEFAULT = load_params(MoleculesParams, "molecules", ROOT / "params.yaml")
TINY = section_params(MoleculesParams, "molecules", "tiny")
EMT = Chosen("ase", ASEEngine(level_name="EMT"))  # knows H, C, N and O, not F


def wanted(name: str, *, normal_modes: int = 0, trajectories: int = 0, torsions: int = 0) -> MoleculeFrames:
    return MoleculeFrames(
        name=name,
        normal_modes=normal_modes,
        trajectories=trajectories,
        frames_per_trajectory=2,
        torsions=torsions,
    )


CHEAP = replace(
    TINY,
    engine=EMT,
    driver=EMT,
    limits=replace(TINY.limits, maximum_force_eV_A=1e4),
    frames_per_shard=2,
    molecules=(wanted("H2O", normal_modes=3), wanted("CH3OH", trajectories=2, torsions=2)),
)


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    monkeypatch.setenv("LATENTLAW_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path


@pytest.fixture(scope="module")
def cheap_store(tmp_path_factory) -> Path:
    """A folder in which the stage ran once, undisturbed."""
    folder = tmp_path_factory.mktemp("molecules")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("LATENTLAW_SCHEDULER", "serial")
        patch.setenv("LATENTLAW_SCRATCH", str(folder / "scratch"))
        generate(CHEAP)
    return folder


def made(params: MoleculesParams) -> list[Frames]:
    generate(params)
    assert validate(molecules.OUT) == []
    return list(frames_of(open_store(molecules.OUT, ATOMS).load()))


def hash_of(params: MoleculesParams) -> str:
    generate(params)
    return read_manifest(molecules.OUT).hash


def test_the_store_is_valid_and_its_metrics_count_sources(cheap_store: Path):
    assert validate(cheap_store / molecules.OUT) == []
    records = frames_of(open_store(cheap_store / molecules.OUT, ATOMS).load())
    metrics = json.loads((cheap_store / molecules.METRICS).read_text())
    assert metrics == {
        "n_configs": 9,
        "n_failed": 0,
        "n_retried": 0,
        "level": "EMT",
        "sources": {"CH3OH dynamics": 4, "CH3OH torsions": 2, "H2O normal_modes": 3},
        "hash": read_manifest(cheap_store / molecules.OUT).hash,
    }
    assert all(record.provenance["level"] == record.provenance["sampling_level"] == "EMT" for record in records)


def test_a_trajectory_is_one_group_and_independent_displacements_are_groups_of_their_own(cheap_store: Path):
    groups: dict[str, list[int]] = {}
    for record in frames_of(open_store(cheap_store / molecules.OUT, ATOMS).load()):
        groups.setdefault(record.source, []).append(record.group)
    assert groups == {"H2O normal_modes": [0, 1, 2], "CH3OH dynamics": [3, 3, 4, 4], "CH3OH torsions": [5, 5]}


def test_neither_shards_nor_workers_change_a_bit_of_the_store(workplace: Path, cheap_store: Path, monkeypatch):
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "threads")
    monkeypatch.setenv("LATENTLAW_WORKERS", "2")
    assert hash_of(replace(CHEAP, frames_per_shard=3)) == read_manifest(cheap_store / molecules.OUT).hash


def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_store(workplace: Path, cheap_store: Path, monkeypatch):
    undisturbed = read_manifest(cheap_store / molecules.OUT).hash
    label_job, n_called = molecules.label_job, []

    def stopping(items, *, params):
        n_called.append(1)
        if len(n_called) > 2:
            raise OSError("the machine goes down")
        return label_job(items, params=params)

    monkeypatch.setattr(molecules, "label_job", stopping)
    with pytest.raises(GenerationError, match="the machine goes down"):
        generate(CHEAP)
    monkeypatch.setattr(molecules, "label_job", label_job)
    assert hash_of(CHEAP) == undisturbed


def test_what_cannot_be_labelled_is_a_row_with_its_reason(workplace: Path):
    # The driver cannot move fluorine, so no frame is drawn; the rest is labelled.
    records = made(replace(CHEAP, molecules=(wanted("HF", normal_modes=2), wanted("H2O", normal_modes=1))))
    assert [bool(record.failure) for record in records] == [True, True, False]
    assert "No EMT-potential for F" in records[0].failure
    assert np.isnan(records[0].forces_eV_A).all()
    assert json.loads(molecules.METRICS.read_text())["n_failed"] == 2


def test_all_that_hinders_is_reported_at_once_before_anything_runs(workplace: Path, monkeypatch):
    def without_pyscf(name):
        return None if name == "pyscf" else object()

    monkeypatch.setattr(engine_module, "find_spec", without_pyscf)
    wrong = replace(TINY, molecules=(wanted("H2O", torsions=3), wanted("H2X", normal_modes=1)))
    with pytest.raises(ValueError, match="molecules cannot be labelled") as raised:
        generate(wrong)
    for words in ("no bond of it turns", "'H2X'", "found no package pyscf", "pip install -e '.[atoms]'"):
        assert words in str(raised.value)
    assert not any(workplace.iterdir())


def test_no_frames_at_all_are_refused():
    assert "no frames at all" in problems_of(replace(CHEAP, molecules=(wanted("H2O"),)))[0]


def test_the_default_has_frames_enough_and_one_molecule_to_hold_out():
    jobs = draw_jobs(DEFAULT)
    assert sum(job.sampler.n_frames for job in jobs) >= 150
    ethanol = [job for job in jobs if job.start.source.startswith("CH3CH2OH ")]
    assert {job.start.source.partition(" ")[2] for job in ethanol} == {"normal_modes", "dynamics", "torsions"}
    assert len({job.spawn_key for job in jobs if job.start.source.endswith("dynamics")}) == sum(
        entry.trajectories for entry in DEFAULT.molecules
    )


@pytest.mark.slow
@pytest.mark.physics
def test_the_tiny_profile_is_real_quantum_mechanics(workplace: Path):
    for package in ("pyscf", "tblite"):
        pytest.importorskip(package)
    for record in made(TINY):
        assert not record.failure
        assert np.isfinite(record.forces_eV_A).all()
        assert np.abs(record.forces_eV_A.sum(axis=0)).max() < 1e-9  # the response of the grid is in
        assert record.charges_e is not None
        assert record.charges_e.sum() == pytest.approx(0, abs=1e-8)
    assert json.loads(molecules.METRICS.read_text())["level"] == ENGINES.make(TINY.engine).level


@settings
class Springs:
    """An engine of this file alone."""

    stiffness_eV_A2: PositiveFloat

    @property
    def level(self) -> str:
        return f"springs of {self.stiffness_eV_A2:g} eV/A^2"

    def check(self) -> None:
        """Nothing to install."""

    def refuse(self, numbers, *, periodic: bool) -> None:
        """Takes all."""

    def label(self, numbers, positions_A, cell_A) -> Label:
        arms_A = positions_A - positions_A.mean(axis=0)
        energy = self.stiffness_eV_A2 * float(np.sum(arms_A**2)) / 2
        return Label(energy_eV=energy, forces_eV_A=-self.stiffness_eV_A2 * arms_A, stress_eV_A3=None)

    def safer(self) -> None:
        return None


def test_an_engine_of_ones_own_needs_its_class_and_its_name_in_params(workplace):
    """Nothing else knows it: params choose it, child processes label with it, the store names its level."""
    section = raw_section("molecules", "tiny")
    section["engine"] = {"name": "springs", "stiffness_eV_A2": 0.5}
    section["driver"] = {"name": "ase", "factory": "ase.calculators.emt:EMT", "keywords": "{}", "level_name": ""}
    section["molecules"] = [section["molecules"][0] | {"normal_modes": 2}]
    (workplace / "params.yaml").write_text(yaml.safe_dump({"molecules": section}))
    with pytest.raises(
        ValueError, match=r"molecules.engine: QM engine: found 'springs', expected one of \['ase', 'gpaw'"
    ):
        molecules.main()
    with ENGINES.registered("springs", Springs):
        molecules.main()
    dataset = open_store(molecules.OUT, ATOMS).load()
    assert dataset.attrs["level"] == "springs of 0.5 eV/A^2"
    assert (dataset["status"].values == OK).all()
