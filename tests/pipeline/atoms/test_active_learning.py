"""Stage `active_learning`: the loop with a cheap oracle: what it refuses and records, and that kills change nothing."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from models.active_learning.acquisition import ACQUISITIONS, Selection
from models.active_learning.rounds import TooFewLabels
from models.active_learning.sampling import start_frame
from models.active_learning.settings import ActiveLearningParams
from models.active_learning.threshold_rule import THRESHOLD_RULES
from models.frames import Frames
from models.networks.potentials.ensemble import load_potential
from models.physics.atoms.engines.ase import ASEEngine
from models.registry import Chosen
from models.settings import settings
from pipeline.atoms import active_learning
from pipeline.atoms.active_learning import generate
from pipeline.atoms.active_loop import OUT, RUNS
from pipeline.runtime.params import ParamsError, build
from stores.atoms import ATOMS, frames_of
from stores.manifest import read_manifest
from stores.validate import validate
from stores.zarr_store import open_store
from tests.profiles import raw_section, section_params

ROOT = Path(__file__).parents[3]
METRICS, DETAILS = (Path(f"reports/{kind}/active_learning.json") for kind in ("metrics", "details"))
TINY = section_params(ActiveLearningParams, "active_learning", "tiny")
ALONE = replace(TINY, control=replace(TINY.control, n_seeds=0))
NEVER = THRESHOLD_RULES.choose("fixed", energy_eV_atom=1e9, force_mean_eV_A=1e9, force_max_eV_A=1e9)
ALWAYS = THRESHOLD_RULES.choose("fixed", energy_eV_atom=1e-9, force_mean_eV_A=1e-9, force_max_eV_A=1e-9)


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    monkeypatch.setenv("LATENTLAW_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path


def made(params: ActiveLearningParams) -> list[Frames]:
    generate(params)
    assert validate(OUT) == []
    return list(frames_of(open_store(OUT, ATOMS).load()))


def by_source(records: list[Frames]) -> dict[str, int]:
    sources = [record.source for record in records]
    return {source: sources.count(source) for source in dict.fromkeys(sources)}


@pytest.mark.slow
def test_every_round_is_recorded_and_the_random_arm_spends_the_same(workplace: Path):
    records = made(replace(TINY, thresholds=ALWAYS))
    assert by_source(records) == {
        "test packed": 2,
        "test driven": 1,
        "bootstrap": 6,
        "active round 1": 2,
        "active round 2": 2,
        "random round 1": 2,
        "random round 2": 2,
    }
    metrics = json.loads(METRICS.read_text())
    assert [r["n_labels"] for r in metrics["rounds"]] == [r["n_labels"] for r in metrics["random"]] == [6, 8, 10]
    assert [r["selected"] for r in metrics["rounds"]] == [6, 2, 2]
    assert all(r["force_rmse"] > 0 and r["energy_rmse"] > 0 for r in metrics["rounds"] + metrics["random"])
    control = metrics["oracle_control"]
    for gain in (control["force_gain"], control["force_gain_over_plain"]):
        assert gain["low"] < gain["mean"] < gain["high"]
    assert [[r["n_labels"] for r in control[arm]] for arm in ("rounds", "random", "plain")] == [[4, 6]] * 3
    assert (control["first_seed"], control["uncertain"]) == (100, [1.0])
    details = json.loads(DETAILS.read_text())
    assert details["rounds"][1]["ended"] == {"uncertain": 6}
    assert all(min(r["cpu_s"].values()) > 0 for r in details["rounds"])
    assert [set(r["cpu_s"]) for r in details["rounds"]] == [{"labels", "training"}] + 2 * [
        {"labels", "sampling", "training"}
    ]
    assert details["rounds"][1]["thresholds"]["force_mean_eV_A"] == 1e-9
    potential = load_potential(RUNS)
    assert (len(potential.members), potential.species) == (2, (13,))
    assert potential.info["store_hash"] == read_manifest(OUT).hash
    split = np.load(RUNS / "split.npy")
    assert split.tolist() == [2] * 3 + [0] * 10 + [-1] * 4


def test_the_loop_ends_when_the_ensemble_is_sure(workplace: Path):
    records = made(replace(ALONE, thresholds=NEVER))
    assert by_source(records) == {"test packed": 2, "test driven": 1, "bootstrap": 6}
    rounds = json.loads(DETAILS.read_text())["rounds"]
    assert rounds[1]["selected"] == 0
    assert sum(rounds[1]["ended"].values()) == 6 and "uncertain" not in rounds[1]["ended"]
    assert len(json.loads(METRICS.read_text())["rounds"]) == 1


def test_crystals_and_defects_may_be_among_the_first_labels(workplace: Path):
    given = ALONE.ordered
    ordered = replace(given, crystals=replace(given.crystals, n_frames=2), defects=replace(given.defects, n_frames=1))
    records = made(replace(ALONE, ordered=ordered, thresholds=NEVER))
    first = [record for record in records if record.source == "bootstrap"]
    assert [record.group for record in first] == list(range(3, 3 + 9))
    assert len(first[-1].numbers) == 15  # fcc, 2 x 2 x 1, without one
    assert json.loads(METRICS.read_text())["rounds"][0]["n_labels"] == 9
    assert np.load(RUNS / "split.npy").tolist() == [2] * 3 + [0] * 9


def test_the_potential_that_is_kept_is_trained_anew(workplace: Path):
    made(replace(ALONE, thresholds=NEVER))
    final = json.loads(METRICS.read_text())["final"]
    assert final["force_rmse"] != json.loads(METRICS.read_text())["rounds"][-1]["force_rmse"]
    assert load_potential(RUNS).info["metrics"]["force_rmse_eV_A"] == pytest.approx(final["force_rmse"], rel=1e-9)
    made(replace(ALONE, thresholds=NEVER, training=replace(ALONE.training, final_steps=0)))
    metrics = json.loads(METRICS.read_text())
    assert metrics["final"] is None
    assert load_potential(RUNS).info["metrics"]["force_rmse_eV_A"] == pytest.approx(metrics["rounds"][-1]["force_rmse"])


FLAKY = '''
"""An oracle which does not converge where the first atom lies in the left half of the cell."""
from ase.calculators.calculator import SCFError
from ase.calculators.emt import EMT


class Flaky(EMT):
    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        if atoms.get_scaled_positions()[0, 0] < 0.5:
            raise SCFError("not converged on the left")
        super().calculate(atoms, properties, system_changes)


class Never(EMT):
    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        raise SCFError("not converged anywhere")
'''


def flaky(workplace: Path, monkeypatch: pytest.MonkeyPatch, kind: str = "Flaky") -> Chosen:
    (workplace / "flaky_oracle.py").write_text(FLAKY)
    monkeypatch.syspath_prepend(str(workplace))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(workplace), str(ROOT)]))
    return Chosen("ase", ASEEngine(factory=f"flaky_oracle:{kind}", level_name="flaky"))


def test_failed_labels_are_recorded_and_never_trained_on(workplace: Path, monkeypatch: pytest.MonkeyPatch):
    enough = replace(
        ALONE,
        engine=flaky(workplace, monkeypatch),
        thresholds=ALWAYS,
        packed=replace(ALONE.packed, n_frames=12),
        test=replace(ALONE.test, packed=4),
        rounds=replace(ALONE.rounds, n_rounds=1),
    )
    records = made(enough)
    failed = [record for record in records if record.failure]
    assert failed and all("not converged on the left" in record.failure for record in failed)
    assert all(np.isnan(record.energy_eV) for record in failed)
    first, last = json.loads(METRICS.read_text())["rounds"]
    entry = [r for r in records if r.source == "bootstrap" or r.source.startswith("active")]
    assert first["n_failed"] + last["n_failed"] == sum(bool(r.failure) for r in entry)
    assert last["n_labels"] == sum(not r.failure for r in entry)
    assert last["selected"] == 2


def test_what_the_stage_did_not_make_is_left_alone(workplace: Path):
    for path in (OUT, RUNS):
        path.mkdir(parents=True)
        (path / "notes.txt").write_text("mine")
    with pytest.raises(
        ValueError, match=r"(?s)aluminium_active.zarr: found something .* runs/aluminium: found something"
    ):
        generate(ALONE)
    assert all([file.name for file in path.iterdir()] == ["notes.txt"] for path in (OUT, RUNS))


def test_too_few_labels_end_the_stage_with_the_reasons(workplace: Path, monkeypatch: pytest.MonkeyPatch):
    training, test = replace(ALONE.training, n_folds=6), replace(ALONE.test, packed=8)
    params = replace(ALONE, engine=flaky(workplace, monkeypatch), training=training, test=test)
    with pytest.raises(TooFewLabels, match=r"of 6, expected at least 6.*not converged on the left"):
        generate(params)
    assert not OUT.exists()


def test_a_test_set_without_a_label_ends_the_stage_with_the_reasons(workplace, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(TooFewLabels, match=r"no label of 3 test frames.*not converged anywhere"):
        generate(replace(ALONE, engine=flaky(workplace, monkeypatch, "Never")))
    assert not OUT.exists()


@pytest.mark.slow
def test_neither_the_number_of_workers_nor_that_of_labels_per_task_changes_a_bit(workplace: Path, monkeypatch):
    generate(ALONE)
    hashes = [read_manifest(OUT).hash]
    weights = [path.read_bytes() for path in sorted(RUNS.rglob("model.safetensors"))]
    monkeypatch.setenv("LATENTLAW_SCRATCH", str(workplace / "other"))
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "local")
    monkeypatch.setenv("LATENTLAW_WORKERS", "2")
    generate(replace(ALONE, frames_per_task=1))
    hashes.append(read_manifest(OUT).hash)
    assert hashes[0] == hashes[1]
    assert weights == [path.read_bytes() for path in sorted(RUNS.rglob("model.safetensors"))]


def run_stage(folder: Path, kill_after_s: float | None) -> int:
    """The command as a user runs it; killed with all its children where a time is given."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "LATENTLAW_SCHEDULER": "serial",
        "LATENTLAW_SCRATCH": str(folder / "scratch"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "pipeline.atoms.active_learning"]
    with (folder / "log.txt").open("a") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        if kill_after_s is not None:
            n_results = sum(1 for _ in (folder / "scratch").rglob("*.task"))
            begun = time.monotonic()
            while process.poll() is None and time.monotonic() - begun < 300:
                if sum(1 for _ in (folder / "scratch").rglob("*.task")) > n_results:
                    break
                time.sleep(0.01)
            time.sleep(kill_after_s)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_it_ends_with_the_same_store(tmp_path: Path):
    section = raw_section("active_learning", "tiny")
    section["control"]["n_seeds"] = 0
    hashes = []
    for name, kills in (("undisturbed", []), ("killed", [random.Random(n).uniform(0.0, 1.5) for n in range(4)])):
        folder = tmp_path / name
        folder.mkdir()
        YAML().dump({"active_learning": section}, folder / "params.yaml")
        statuses = [run_stage(folder, after) for after in kills]
        assert not kills or -signal.SIGKILL in statuses
        assert run_stage(folder, None) == 0, (folder / "log.txt").read_text()
        hashes.append(read_manifest(folder / OUT).hash)
    assert hashes[0] == hashes[1]


def test_a_torn_or_altered_result_is_made_anew(workplace: Path, capfd):
    params = replace(ALONE, random_control=False, rounds=replace(ALONE.rounds, n_rounds=1))
    generate(params)
    expected = read_manifest(OUT).hash
    files = sorted((workplace / "scratch").rglob("*.task"))
    for file, keep in ((files[0], 100), (files[-1], 0)):
        file.write_bytes(file.read_bytes()[:keep])
    generate(params)
    assert read_manifest(OUT).hash == expected
    assert capfd.readouterr().err.count("checksum does not fit") == 2


def test_a_store_is_taken_up_again_without_a_single_task(workplace: Path, monkeypatch):
    params = replace(ALONE, random_control=False, rounds=replace(ALONE.rounds, n_rounds=1))
    generate(params)
    expected = read_manifest(OUT).hash
    monkeypatch.setattr(active_learning, "kept_workers", _no_work)
    generate(params)
    assert read_manifest(OUT).hash == expected


class _no_work:
    """In the place of workers: they get nothing to do."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None: ...

    def __call__(self, function, items):
        assert not items
        return iter(())


def section_with(**changes: object) -> dict:
    section = raw_section("active_learning", "tiny")
    for path, value in changes.items():
        *parents, last = path.split("__")
        node = section
        for parent in parents:
            node = node[parent]
        node[last] = value
    return section


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"packed__volume_A3": [5.0, 22.0]}, "impossible density"),
        ({"paths__volume_end_A3": [1.0, 24.0]}, "impossible density"),
        ({"thresholds__factor": 0.0}, "factor"),
        ({"thresholds__name": "guess"}, "held_out"),
        ({"training__n_members": 1}, "n_members"),
        ({"training__n_folds": 7}, "n_folds"),
        ({"test__packed": 0, "test__driven__n_frames": 0}, "found no frames"),
        ({"physical__minimum_distance_A": 2.5}, "starts would be discarded"),
        ({"training__energy": 0.0, "training__forces": 0.0}, "no weight of energy nor of forces"),
        ({"element": "Xx"}, "chemical symbol"),
        ({"crystals__n_frames": 7}, "crystals.n_frames"),
        ({"dynamics__check_every": 100}, "check_every"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(changes, message):
    with pytest.raises(ParamsError, match=message):
        build(ActiveLearningParams, section_with(**changes), "active_learning", "params.yaml")


def test_an_engine_that_is_not_there_is_refused_before_anything_runs(workplace: Path):
    missing = Chosen("ase", ASEEngine(factory="no_such_package:Calculator"))
    with pytest.raises(ValueError, match=r"engine: .*no_such_package"):
        generate(replace(ALONE, engine=missing))
    assert not (workplace / "scratch").exists()


@pytest.mark.parametrize("profile", ["default", "cluster", "paper"])
def test_every_profile_holds_a_loop_and_its_control(profile: str):
    params = section_params(ActiveLearningParams, "active_learning", profile)
    assert params.for_control().engine.name == "ase"


def test_crystals_start_their_share_of_the_trajectories_evenly():
    params = replace(
        TINY,
        rounds=replace(TINY.rounds, n_trajectories=8),
        crystals=replace(TINY.crystals, n_frames=2, prototypes=("fcc",), n_atoms=(4, 4)),
    )
    sources = [start_frame(params, 0, 1, index).source for index in range(8)]
    assert [index for index, source in enumerate(sources) if source != "packed"] == [3, 7]
    apart = start_frame(TINY, 0, 1, 5)
    np.testing.assert_array_equal(start_frame(params, 0, 1, 5).positions_A, apart.positions_A)


def test_starts_differ_between_rounds_seeds_and_trajectories_and_can_be_drawn_again():
    frames = [start_frame(TINY, seed, number, index) for seed in (0, 1) for number in (1, 2) for index in (0, 1)]
    volumes = [abs(float(np.linalg.det(frame.cell_A))) for frame in frames]
    assert len(set(volumes)) == len(volumes)
    np.testing.assert_array_equal(frames[0].positions_A, start_frame(TINY, 0, 1, 0).positions_A)


@settings
class Hottest:
    """Takes the most uncertain ones, however alike they are."""

    at_most: int

    def choose(self, candidates, ratios, labelled, quota):
        return Selection(chosen=np.argsort(-ratios, kind="stable")[: min(quota, self.at_most)].tolist(), duplicates=[])


@pytest.mark.slow
def test_an_acquisition_defined_elsewhere_runs_the_stage_once_it_is_registered(workplace: Path):
    section = raw_section("active_learning", "tiny")
    section["rounds"]["acquisition"] = {"name": "hottest", "at_most": 1}
    with pytest.raises(ParamsError, match=r"acquisition: found 'hottest', expected one of \['diverse'\]"):
        build(ActiveLearningParams, section, "active_learning", "params.yaml")
    with ACQUISITIONS.registered("hottest", Hottest):
        params = build(ActiveLearningParams, section, "active_learning", "params.yaml")
        records = made(
            replace(params, control=ALONE.control, rounds=replace(params.rounds, n_rounds=1), thresholds=ALWAYS)
        )
    sources = by_source(records)
    assert (sources["active round 1"], sources["random round 1"]) == (1, 1)
