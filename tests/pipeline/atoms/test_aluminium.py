"""Stage `aluminium`: cells of every kind drawn one by one, labelled, and refused where no label could be right."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.frames import Frames
from models.physics.atoms.distances import minimum_distance
from models.physics.atoms.engine import ENGINES
from models.physics.atoms.engines.ase import ASEEngine
from models.physics.atoms.engines.gpaw import GPAWEngine
from models.registry import Chosen
from pipeline.atoms import aluminium
from pipeline.atoms.aluminium import AluminiumParams, draw_jobs, draw_start, generate
from pipeline.runtime.params import ParamsError, build, load_params, read_section
from stores.atoms import ATOMS, frames_of
from stores.manifest import read_manifest
from stores.validate import validate
from stores.zarr_store import open_store
from tests.profiles import raw_section, section_params

ROOT = Path(__file__).parents[3]
DEFAULT = load_params(AluminiumParams, "aluminium", ROOT / "params.yaml")
TINY = section_params(AluminiumParams, "aluminium", "tiny")
EMT = Chosen("ase", ASEEngine(level_name="EMT"))
CHEAP = replace(
    TINY,
    engine=EMT,
    melts=replace(TINY.melts, n_trajectories=1, dynamics=replace(TINY.melts.dynamics, n_frames=3)),
    crystals=replace(TINY.crystals, n_frames=5),
    packed=replace(TINY.packed, n_frames=2),
    defects=replace(TINY.defects, n_frames=2),
    limits=replace(TINY.limits, maximum_force_eV_A=1e4),
)


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    monkeypatch.setenv("LATENTLAW_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path


def made(params: AluminiumParams) -> list[Frames]:
    generate(params)
    assert validate(aluminium.OUT) == []
    return list(frames_of(open_store(aluminium.OUT, ATOMS).load()))


def hash_of(params: AluminiumParams) -> str:
    generate(params)
    return read_manifest(aluminium.OUT).hash


def test_every_kind_is_labelled_with_stress_and_counted(workplace: Path):
    records = made(CHEAP)
    metrics = json.loads(aluminium.METRICS.read_text())
    assert metrics["sources"] == {
        "crystal bcc": 1,
        "crystal diamond": 1,
        "crystal fcc": 2,
        "crystal hcp": 1,
        "defect interstitial": 1,
        "defect vacancy": 1,
        "melt": 3,
        "packed": 2,
    }
    assert (metrics["n_configs"], metrics["n_failed"], metrics["level"]) == (12, 0, "EMT")
    assert all(record.stress_eV_A3 is not None and record.pbc.all() for record in records)
    melt = [record for record in records if record.source == "melt"]
    assert len({record.group for record in melt}) == 1
    assert len({record.group for record in records}) == 10
    assert np.abs(melt[0].positions_A - melt[1].positions_A).max() > 0.01


def test_neither_shards_nor_workers_change_a_bit_of_the_store(workplace: Path, monkeypatch):
    serial = hash_of(CHEAP)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "threads")
    monkeypatch.setenv("LATENTLAW_WORKERS", "2")
    assert hash_of(replace(CHEAP, frames_per_shard=3)) == serial


@pytest.mark.slow
def test_dask_workers_label_the_same_bits(workplace: Path, monkeypatch):
    serial = hash_of(CHEAP)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "local")
    monkeypatch.setenv("LATENTLAW_WORKERS", "2")
    monkeypatch.setenv("LATENTLAW_SCRATCH", str(workplace / "other"))
    assert hash_of(CHEAP) == serial


def test_more_frames_of_one_kind_change_no_other_frame():
    more = replace(CHEAP, crystals=replace(CHEAP.crystals, n_frames=50), packed=replace(CHEAP.packed, n_frames=20))
    for kind in ("melt", "crystal", "packed", "defect"):
        for index in range(2):
            first, second = draw_start(CHEAP, kind, index), draw_start(more, kind, index)
            np.testing.assert_array_equal(first.positions_A, second.positions_A)
            np.testing.assert_array_equal(first.cell_A, second.cell_A)


def test_jobs_hold_every_frame_once():
    jobs = draw_jobs(DEFAULT)
    assert sum(job.n_frames for job in jobs) >= 30
    groups = [job.group + i for job in jobs for i in range(1 if job.kind == "melt" else job.n_frames)]
    assert groups == list(range(len(groups)))


def test_default_starts_keep_their_distances_and_densities():
    for index in range(6):
        packed = draw_start(DEFAULT, "packed", index)
        assert packed.cell_A is not None
        assert minimum_distance(packed) >= DEFAULT.packed.minimum_distance_A
        volume = np.linalg.det(packed.cell_A) / len(packed.numbers)
        assert DEFAULT.packed.volume_A3[0] <= volume <= DEFAULT.packed.volume_A3[1]


def test_tight_binding_is_refused_for_aluminium_before_anything_runs(workplace: Path):
    with pytest.raises(ValueError, match=r"engine: tblite: found metal.*Choose the engine gpaw"):
        generate(replace(TINY, engine=ENGINES.choose("tblite")))
    with pytest.raises(ValueError, match=r"engine: pyscf: found a periodic cell"):
        generate(replace(TINY, engine=ENGINES.choose("pyscf")))
    with pytest.raises(ValueError, match=r"engine: gpaw: found k_mesh 1x1x1"):
        generate(replace(TINY, engine=Chosen("gpaw", GPAWEngine(k_mesh=(1, 1, 1)))))
    assert not any(workplace.iterdir())


def test_crystals_too_dense_for_their_atoms_are_refused_before_anything_runs(workplace: Path):
    squeezed = replace(CHEAP, crystals=replace(CHEAP.crystals, volume_A3=(0.5, 20.0)))
    with pytest.raises(ValueError, match=r"crystals.volume_A3: impossible density: fcc at 0.5 A\^3.*\n.*bcc at"):
        generate(squeezed)
    assert not any(workplace.iterdir())


def test_an_impossible_density_and_an_unknown_element_are_refused_with_their_keys():
    section = read_section("aluminium", ROOT / "params.yaml")
    section["packed"]["volume_A3"] = [5.0, 20.0]
    section["melts"]["start"]["minimum_distance_A"] = 3.5
    with pytest.raises(ParamsError) as raised:
        build(AluminiumParams, section, "aluminium", "params.yaml")
    assert str(raised.value).count("impossible density") == 2
    assert "aluminium.packed:" in str(raised.value)
    with pytest.raises(ParamsError, match=r"'Alu'.*chemical symbol"):
        build(AluminiumParams, raw_section("aluminium", "tiny") | {"element": "Alu"}, "aluminium", "params.yaml")


def test_a_melt_that_cannot_be_driven_is_reported_in_every_frame_it_should_have_had(workplace: Path):
    calm = replace(CHEAP.melts.dynamics, n_frames=2)
    broken = Chosen("ase", ASEEngine(factory="math:sqrt", level_name="broken"))
    few = replace(CHEAP.crystals, n_frames=1)
    records = made(
        replace(
            CHEAP,
            driver=broken,
            melts=replace(CHEAP.melts, dynamics=calm),
            crystals=few,
            packed=replace(CHEAP.packed, n_frames=0),
            defects=replace(CHEAP.defects, n_frames=0),
        )
    )
    assert [bool(record.failure) for record in records] == [True, True, False]
    assert "no frame was drawn" in records[0].failure


@pytest.mark.slow
@pytest.mark.physics
def test_the_tiny_profile_is_real_quantum_mechanics(workplace: Path):
    pytest.importorskip("gpaw")
    for record in made(TINY):
        assert not record.failure
        assert np.isfinite(record.forces_eV_A).all()
        assert np.linalg.norm(record.forces_eV_A.sum(axis=0)) < 0.01
        assert -4.5 < record.energy_eV / len(record.numbers) < 1.0
        assert record.provenance["k_mesh"] != "1x1x1"
