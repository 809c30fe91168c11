"""Stage `active_learning`: from disordered starts to a potential, labelling only what an ensemble is uncertain of.

    reads   params.yaml: active_learning
    writes  data/aluminium_active.zarr            all labels: test set, bootstrap, rounds of both arms (see source)
            runs/aluminium                        the ensemble of the last active round
            reports/metrics/active_learning.json  per round of both arms: labels, errors on the frozen test set
            reports/details/active_learning.json  reasons, thresholds, spreads, frames, CPU seconds

J. S. Smith et al., Nat. Commun. 12, 1257 (2021). The rounds themselves lie in models.active_learning, workers and the
place where results of tasks are kept in active_loop; here they get a store. `engine` labels; any ASE calculator serves
as an oracle. Beside the loop runs a control of the same budget that takes its frames at random from the same
trajectories. With an oracle that costs nothing both are repeated over seeds, beside plain dynamics (`control`). Results
are kept in scratch, so that a killed stage goes on and ends with the same store.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.active_learning.rounds import ARMS, Arm, Round, Run, TooFewLabels, UnequalBudgets
from models.active_learning.settings import ActiveLearningParams
from models.frames import Frames
from models.networks.potentials.batched_dynamics import Trajectories
from models.networks.potentials.ensemble import SPREADS, save_potential
from models.physics.atoms.engine import ENGINES, EngineMissing
from pipeline.atoms.active_loop import OUT, RUNS, SHAPES_NOTHING, kept_tasks, loops_of, refuse, run_loop
from pipeline.atoms.potential_training import KIND, UNITS
from pipeline.atoms.records import ActiveLearningDetails, ActiveLearningMetrics
from pipeline.runtime.execution import kept_workers, load_execution
from pipeline.runtime.params import load_params
from pipeline.runtime.records import plain
from pipeline.runtime.stage import run_stage
from stores.atoms import ATOMS, columns_of, dataset_of
from stores.building import building
from stores.manifest import Manifest, canonical_json
from stores.zarr_store import write_store

__all__ = ["control_metrics", "generate", "main"]

ERRORS = {"energy_rmse": "eV/atom", "force_rmse": "eV/A"}
CONFIDENCE = 0.95
MAX_PICTURES = 4
MAX_TRACES = 12


def main() -> None:
    generate(load_params(ActiveLearningParams, "active_learning"))


def generate(params: ActiveLearningParams) -> Manifest:
    """Run the loop and its controls, write everything. Raises ValueError with all that hinders, at once."""
    refuse(params)
    execution = load_execution()
    loops = loops_of(params)
    with kept_workers(execution, execution.n_workers) as run:
        made = {name: run_loop(loop, kept_tasks(loop.params, run)) for name, loop in loops.items()}
    runs, control_runs = made["main"], made.get("control", [])
    manifest = _write_store(params, runs)
    _write_potential(params, runs[0], manifest)
    metrics = metrics_of(params, runs) | {"oracle_control": control_metrics(params, control_runs)}
    ActiveLearningMetrics.of(metrics).write()
    ActiveLearningDetails.of(details_of(runs) | {"oracle_control": control_details(control_runs)}).write()
    print(f"{OUT}: {manifest.sizes['config']} configurations, hash {manifest.hash[:16]}", flush=True)
    return manifest


def _write_store(params: ActiveLearningParams, runs: Sequence[Run]) -> Manifest:
    later = [run.frames.select(range(params.n_bootstrap, len(run.frames))) for run in runs[1:]]  # one bootstrap for all
    frames = Frames.concatenate([runs[0].test, runs[0].frames, *later])
    attributes = {
        "level": ENGINES.make(params.engine).level,
        "reference_energies": "{}",
        "settings": canonical_json({k: v for k, v in asdict(params).items() if k not in SHAPES_NOTHING}),
    }
    return write_store(OUT, ATOMS, dataset_of(columns_of(frames), attributes))


def _write_potential(params: ActiveLearningParams, run: Run, manifest: Manifest) -> None:
    errors = run.final or next((r.errors for r in reversed(run.rounds) if r.errors), None)
    about = {
        "level": ENGINES.make(params.engine).level,
        "units": UNITS,
        "species": list(run.config.species),
        "store": OUT.name,
        "store_hash": manifest.hash,
        "seed": run.seed,
        "settings": asdict(params.training),
        "metrics": {"n_train": len(run.labelled), **({} if errors is None else asdict(errors))},
    }
    split = np.full(manifest.sizes["config"], -1, dtype=np.int8)
    n_test = params.test.packed + params.test.driven.n_frames
    split[:n_test] = 2
    split[n_test : n_test + len(run.frames)] = np.where(run.frames.failures == "", 0, -1)
    with building(RUNS, KIND) as workplace:
        save_potential(workplace, run.networks(params.training.network_class), plain(about))
        np.save(workplace / "split.npy", split)


def metrics_of(params: ActiveLearningParams, runs: Sequence[Run]) -> dict[str, Any]:
    """Rounds of the active run and of the random one, as the report and scripts read them."""
    by_arm = {run.arm: [_round_metrics(r) for r in run.rounds if r.errors] for run in runs}
    final = runs[0].final
    return {
        "level": ENGINES.make(params.engine).level,
        "units": ERRORS,
        "rounds": by_arm.get("active", []),
        "random": by_arm.get("random", []),
        "final": final and {"force_rmse": final.force_rmse_eV_A, "energy_rmse": final.energy_rmse_eV_atom},
    }


def control_metrics(params: ActiveLearningParams, runs: Sequence[Run]) -> dict[str, Any]:
    """All arms over seeds: means with intervals, and the gains of active over the others, paired by seed."""
    if not runs:
        return {}
    arms: dict[Arm, list[Run]] = {arm: [run for run in runs if run.arm == arm] for arm in ARMS}
    n_rounds = min(len(_errors(run, "force_rmse_eV_A")) for run in runs)
    record: dict[str, Any] = {
        "level": ENGINES.make(params.control.engine).level,
        "n_seeds": len(arms["active"]),
        "first_seed": params.control.first_seed,
        "uncertain": _uncertain_shares(arms["active"]),
    }
    for arm, of_arm in arms.items():
        rounds = []
        for number in range(n_rounds):
            values = {
                name: [getattr(run.rounds[number].errors, key) for run in of_arm]
                for name, key in (("force_rmse", "force_rmse_eV_A"), ("energy_rmse", "energy_rmse_eV_atom"))
            }
            rounds.append(
                {
                    "n_labels": float(np.mean([run.rounds[number].n_labels for run in of_arm])),
                    **{name: _mean_interval(v) for name, v in values.items()},
                }
            )
        record["rounds" if arm == "active" else arm] = rounds
    for name, key in (("force", "force_rmse_eV_A"), ("energy", "energy_rmse_eV_atom")):
        for arm, against in (("random", ""), ("plain", "_over_plain")):
            pairs = zip(arms["active"], arms[arm], strict=True)
            log_ratios = [np.log(_errors(a, key)) - np.log(_errors(b, key)) for a, b in pairs]  # of seeds, (n_rounds,)
            chosen = [ratio_R for ratio_R in log_ratios if len(ratio_R) > 1]  # the others have chosen nothing
            if chosen:
                record[f"{name}_gain{against}"] = _gain(np.array([ratio_R[-1] for ratio_R in chosen]))
                record[f"{name}_gain{against}_all_rounds"] = _gain(np.array([ratio_R[1:].mean() for ratio_R in chosen]))
    return record


def _uncertain_shares(runs: Sequence[Run]) -> list[float]:
    """Of the trajectories of each round, the share that ended because the ensemble was uncertain; over all seeds."""
    by_round: dict[int, list[NDArray[np.bool_]]] = {}
    for done in (done for run in runs for done in run.rounds):
        if done.trajectories is not None:
            by_round.setdefault(done.number, []).append(done.trajectories.reasons == "uncertain")
    return [float(np.concatenate(by_round[number]).mean()) for number in sorted(by_round)]


def details_of(runs: Sequence[Run]) -> dict[str, Any]:
    """Everything about each round, with frames for pictures and spreads along trajectories."""
    arms = {"active": "rounds", "random": "random"}
    return {
        **{arms[run.arm]: [_round_details(r) for r in run.rounds] for run in runs},
        "final_cpu_s": round(runs[0].final_cpu_s, 2),
    }


def control_details(runs: Sequence[Run]) -> dict[str, Any]:
    """Error curves of every seed."""
    return {
        run.name: {
            "seed": run.seed,
            "arm": run.arm,
            "rounds": [_round_metrics(r) | {"cpu_s": _rounded(r.cpu_s)} for r in run.rounds if r.errors],
            "uncertain": [
                int((r.trajectories.reasons == "uncertain").sum()) for r in run.rounds if r.trajectories is not None
            ],
        }
        for run in runs
    }


def _round_metrics(done: Round) -> dict[str, Any]:
    assert done.errors is not None
    return {
        "n_labels": done.n_labels,
        "force_rmse": done.errors.force_rmse_eV_A,
        "energy_rmse": done.errors.energy_rmse_eV_atom,
        "selected": done.selected,
        "tried": done.tried,
        "n_failed": done.n_failed,
    }


def _round_details(done: Round) -> dict[str, Any]:
    ended = done.trajectories
    reasons = [] if ended is None else ended.reasons.tolist()
    why = [] if ended is None else [str(text).partition(":")[0] for text in ended.frames.failures if text]
    return {
        "round": done.number,
        **(_round_metrics(done) if done.errors else {"selected": done.selected, "tried": done.tried}),
        "errors": None if done.errors is None else asdict(done.errors),
        "ended": dict(sorted(Counter(reasons).items())),
        "discarded": dict(sorted(Counter(why).items())),
        "n_duplicates": done.n_duplicates,
        "thresholds": None if done.thresholds is None else asdict(done.thresholds),
        "spreads": [] if ended is None else ended.spreads.tolist(),
        "steps": [] if ended is None else ended.steps.tolist(),
        "traces": [] if ended is None else [_trace(ended, index) for index in range(min(MAX_TRACES, len(ended)))],
        "frames": [] if ended is None else [_picture(ended, index) for index in done.taken[:MAX_PICTURES]],
        "atom_steps": done.atom_steps,
        "cpu_s": _rounded(done.cpu_s),
    }


def _trace(ended: Trajectories, index: int) -> dict[str, Any]:
    """What the checks of one trajectory saw."""
    mine = ended.check_owners == index
    force_mean = ended.check_spreads[mine, SPREADS.index("force_mean_eV_A")]
    step = ended.check_steps[mine]
    return {"reason": str(ended.reasons[index]), "step": step.tolist(), "force_mean": force_mean.tolist()}


def _picture(ended: Trajectories, index: int) -> dict[str, Any]:
    """The frame at the end of one trajectory."""
    frame = ended.frames[index]
    return {
        "numbers": frame.numbers.tolist(),
        "positions_A": frame.positions_A.tolist(),
        "cell_A": frame.cells_A[0].tolist(),
        "step": int(ended.steps[index]),
        "temperature_K": float(ended.temperatures_K[index]),
        "spread": dict(zip(SPREADS, ended.spreads[index].tolist(), strict=True)),
    }


def _errors(run: Run, key: str) -> list[float]:
    return [getattr(r.errors, key) for r in run.rounds if r.errors]


def _mean_interval(values: Sequence[float]) -> dict[str, Any]:
    """Mean and Student's interval."""
    from scipy.stats import t as student

    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return {"mean": mean, "low": None, "high": None}
    half = float(student.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _gain(log_ratio_S: NDArray[np.float64]) -> dict[str, Any]:
    """1 - active / random in the geometric mean: errors differ by factors, so their logarithms are averaged."""
    of_log = _mean_interval(log_ratio_S.tolist())
    mean, low, high = (None if of_log[k] is None else float(1 - np.exp(of_log[k])) for k in ("mean", "high", "low"))
    return {"mean": mean, "low": low, "high": high}


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in seconds.items()}


if __name__ == "__main__":
    run_stage("active_learning", main, also_explained=(EngineMissing, TooFewLabels, UnequalBudgets))
