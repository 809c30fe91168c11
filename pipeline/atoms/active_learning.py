"""Stage `active_learning`: from disordered starts to a potential, labelling only what an ensemble is unsure of.

    reads   params.yaml: active_learning
    writes  data/aluminium_active.zarr            all labels: test set, bootstrap, rounds of both arms (source tells)
            runs/aluminium                        the ensemble of the last active round
            reports/metrics/active_learning.json  per round of both arms: labels, errors on the frozen test set
            reports/details/active_learning.json  reasons, thresholds, spreads, frames, CPU seconds

J. S. Smith et al., Nat. Commun. 12, 1257 (2021). `engine` labels; any ASE calculator serves as an oracle. Beside the
loop runs a control of the same budget that takes its frames at random, and with an oracle that costs nothing both are
repeated over seeds (`control`). Rounds are kept in scratch, so that a killed
stage goes on and ends with the same store.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from models.networks.potentials.ensemble import save_potential
from models.physics.atoms.engine import ENGINES, EngineMissing
from models.physics.atoms.structure import Structure
from pipeline.atoms.active_params import ActiveLearningParams
from pipeline.atoms.active_report import control_details, control_metrics, details_of, metrics_of
from pipeline.atoms.active_rounds import Lane, Workplace, bootstrap_of, finish, run_lanes, test_set
from pipeline.atoms.active_sampling import CPU_S
from pipeline.atoms.labelling import CODE, engine_problems, engine_versions
from pipeline.atoms.potential_training import KIND, UNITS
from pipeline.atoms.records import ActiveLearningDetails, ActiveLearningMetrics
from pipeline.runtime.content_key import content_key
from pipeline.runtime.execution import TaskRunner, kept_workers, load_execution
from pipeline.runtime.kept_results import KeptResults, scratch_folder
from pipeline.runtime.params import load_params
from pipeline.runtime.records import plain
from pipeline.runtime.stage import run_stage
from stores.atoms import ATOMS, AtomsRecord, columns_of, dataset_of
from stores.building import building, refusal, store_kind
from stores.manifest import Manifest, canonical_json
from stores.outcome import OK
from stores.zarr_store import write_store

__all__ = ["OUT", "generate", "main"]

OUT = Path("data/aluminium_active.zarr")
RUNS = Path("runs/aluminium")
SHAPES_NOTHING = ("frames_per_task",)


def main() -> None:
    generate(load_params(ActiveLearningParams, "active_learning"))


def generate(params: ActiveLearningParams) -> Manifest:
    """Run the loop and its controls, write everything. Raises ValueError with all that hinders, at once."""
    _refuse(params)
    execution = load_execution()
    with kept_workers(execution, execution.n_workers) as run:
        test, lanes = _loop(params, [params.seed], run)
        control = params.control
        seeds = range(control.n_seeds)
        control_lanes = _loop(params.for_control(), seeds, run)[1] if control.n_seeds else []
    manifest = _write_store(params, test, lanes)
    _write_potential(params, lanes[0], manifest)
    metrics = metrics_of(params, lanes) | {"oracle_control": control_metrics(params, control_lanes)}
    ActiveLearningMetrics.of(metrics).write()
    ActiveLearningDetails.of(details_of(lanes) | {"oracle_control": control_details(control_lanes)}).write()
    print(f"{OUT}: {manifest.sizes['config']} configurations, hash {manifest.hash[:16]}", flush=True)
    return manifest


def _refuse(params: ActiveLearningParams) -> None:
    fewest = params.packed.n_atoms[0]
    example = Structure(
        numbers=np.full(fewest, params.number, dtype=np.int64), positions_A=np.zeros((1, 3)), cell_A=np.eye(3)
    )
    problems = engine_problems(ENGINES.make(params.engine), [example], "engine")
    if params.test.driven.n_frames:
        problems += engine_problems(ENGINES.make(params.driver), [example], "driver")
    if params.control.n_seeds:
        problems += engine_problems(ENGINES.make(params.control.engine), [example], "control.engine")
    for path, kind in ((OUT, store_kind(ATOMS)), (RUNS, KIND)):
        problems += [f"{path}: {reason}"] if (reason := refusal(path, kind)) else []
    if problems:
        raise ValueError("\n".join(["active learning cannot begin:", *(f"  {problem}" for problem in problems)]))


def _loop(params: ActiveLearningParams, seeds: Sequence[int], run: TaskRunner) -> tuple[list[AtomsRecord], list[Lane]]:
    """The test set, and the lanes of these seeds at their end: both arms of each seed, active first."""
    place = _place(params, run)
    test = test_set(params, place)
    starts = {seed: bootstrap_of(params, seed, place) for seed in seeds}
    arms = ("active", "random") if params.random_control else ("active",)
    lanes = [
        Lane(seed=seed, arm=arm, records=list(starts[seed][0]), bootstrap_cpu_s=starts[seed][1])  # type: ignore[arg-type]
        for seed in seeds
        for arm in arms
    ]
    run_lanes(params, lanes, test, place)
    finish(params, lanes[0], test, place)
    return test, lanes


def _place(params: ActiveLearningParams, run: TaskRunner) -> Workplace:
    """Scratch of this loop; what shapes it is in its name."""
    labels = content_key("active_learning", asdict(params.limits), engine_versions(), CPU_S, only=CODE)
    shaping = {k: v for k, v in asdict(params).items() if k not in (*SHAPES_NOTHING, "control")}
    work = content_key("active_learning", shaping, engine_versions())
    return Workplace(
        labels=KeptResults(scratch_folder(f"labels_{labels}"), run),
        work=KeptResults(scratch_folder(f"rounds_{work}"), run),
    )


def _write_store(params: ActiveLearningParams, test: Sequence[AtomsRecord], lanes: Sequence[Lane]) -> Manifest:
    records = [*test, *lanes[0].records]
    for lane in lanes[1:]:
        records += lane.records[params.n_bootstrap :]  # the bootstrap is the same
    told = {k: v for k, v in asdict(params).items() if k not in SHAPES_NOTHING}
    attributes = {
        "level": ENGINES.make(params.engine).level,
        "reference_energies": "{}",
        "settings": canonical_json(told),
    }
    return write_store(OUT, ATOMS, dataset_of(columns_of(records), attributes))


def _write_potential(params: ActiveLearningParams, lane: Lane, manifest: Manifest) -> None:
    errors = lane.final or next((r.errors for r in reversed(lane.rounds) if r.errors), None)
    about = {
        "level": ENGINES.make(params.engine).level,
        "units": UNITS,
        "species": list(lane.members[0].config.species),
        "store": OUT.name,
        "store_hash": manifest.hash,
        "seed": lane.seed,
        "settings": asdict(params.training),
        "metrics": {"n_train": len(lane.labelled), **({} if errors is None else asdict(errors))},
    }
    split = np.full(manifest.sizes["config"], -1, dtype=np.int8)
    n_test = params.test.packed + params.test.driven.n_frames
    split[:n_test] = 2
    split[n_test : n_test + len(lane.records)] = [0 if r.status == OK else -1 for r in lane.records]
    with building(RUNS, KIND) as workplace:
        save_potential(workplace, [member.network() for member in lane.members], plain(about))
        np.save(workplace / "split.npy", split)


if __name__ == "__main__":
    run_stage("active_learning", main, also_explained=(EngineMissing,))
