"""Numbers of the loops for metrics, and what the report draws of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.physics.atoms.engine import ENGINES
from pipeline.atoms.active_params import ActiveLearningParams
from pipeline.atoms.active_rounds import Lane, Round

__all__ = ["control_details", "control_metrics", "details_of", "metrics_of"]

UNITS = {"energy_rmse": "eV/atom", "force_rmse": "eV/A"}
CONFIDENCE = 0.95
MAX_PICTURES = 4
MAX_TRACES = 12


def metrics_of(params: ActiveLearningParams, lanes: Sequence[Lane]) -> dict[str, Any]:
    """Rounds of the active lane and of the random one, as the report and scripts read them."""
    by_arm = {lane.arm: [_round_metrics(r) for r in lane.rounds if r.errors] for lane in lanes}
    final = lanes[0].final
    told = None if final is None else {"force_rmse": final.force_rmse_eV_A, "energy_rmse": final.energy_rmse_eV_atom}
    return {
        "level": ENGINES.make(params.engine).level,
        "units": UNITS,
        "rounds": by_arm.get("active", []),
        "random": by_arm.get("random", []),
        "final": told,
    }


def control_metrics(params: ActiveLearningParams, lanes: Sequence[Lane]) -> dict[str, Any]:
    """Both arms over seeds: means with intervals, and the gain of active over random, paired by seed."""
    if not lanes:
        return {}
    arms = {arm: [lane for lane in lanes if lane.arm == arm] for arm in ("active", "random")}
    n_rounds = min(len(_errors(lane, "force_rmse_eV_A")) for lane in lanes)
    told: dict[str, Any] = {"level": ENGINES.make(params.control.engine).level, "n_seeds": len(arms["active"])}
    for arm, own in arms.items():
        rounds = []
        for number in range(n_rounds):
            values = {
                name: [getattr(lane.rounds[number].errors, key) for lane in own]
                for name, key in (("force_rmse", "force_rmse_eV_A"), ("energy_rmse", "energy_rmse_eV_atom"))
            }
            rounds.append(
                {
                    "n_labels": float(np.mean([lane.rounds[number].n_labels for lane in own])),
                    **{name: _mean_interval(v) for name, v in values.items()},
                }
            )
        told["rounds" if arm == "active" else "random"] = rounds
    for name, key in (("force", "force_rmse_eV_A"), ("energy", "energy_rmse_eV_atom")):
        logs = {arm: np.log([_errors(lane, key)[:n_rounds] for lane in own]) for arm, own in arms.items()}
        ratio_SR = logs["active"] - logs["random"]  # seeds, rounds
        told[f"{name}_gain"] = _gain(ratio_SR[:, -1])
        told[f"{name}_gain_all_rounds"] = _gain(ratio_SR[:, 1:].mean(axis=1))
    return told


def details_of(lanes: Sequence[Lane]) -> dict[str, Any]:
    """Everything about each round, with frames for pictures and spreads along trajectories."""
    arms = {"active": "rounds", "random": "random"}
    return {
        **{arms[lane.arm]: [_round_details(r) for r in lane.rounds] for lane in lanes},
        "final_cpu_s": round(lanes[0].final_cpu_s, 2),
    }


def control_details(lanes: Sequence[Lane]) -> dict[str, Any]:
    """Error curves of every seed."""
    return {
        lane.name: {
            "seed": lane.seed,
            "arm": lane.arm,
            "rounds": [_round_metrics(r) | {"cpu_s": _rounded(r.cpu_s)} for r in lane.rounds if r.errors],
        }
        for lane in lanes
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
    return {
        "round": done.number,
        **(_round_metrics(done) if done.errors else {"selected": done.selected, "tried": done.tried}),
        "errors": None if done.errors is None else asdict(done.errors),
        "ended": done.reasons,
        "discarded": done.discarded,
        "n_duplicates": done.n_duplicates,
        "thresholds": None if done.thresholds is None else asdict(done.thresholds),
        "spreads": [list(asdict(end.spread).values()) for end in done.ends],
        "steps": [end.step for end in done.ends],
        "traces": [
            {"reason": end.reason, "step": [step for step, _ in end.checks], "force_mean": _force_means(end.checks)}
            for end in done.ends[:MAX_TRACES]
        ],
        "frames": [
            {
                "numbers": numbers.tolist(),
                "positions_A": end.positions_A.tolist(),
                "cell_A": end.cell_A.tolist(),
                "step": end.step,
                "temperature_K": end.temperature_K,
                "spread": asdict(end.spread),
            }
            for numbers, end in done.frames[:MAX_PICTURES]
        ],
        "atom_steps": done.atom_steps,
        "cpu_s": _rounded(done.cpu_s),
    }


def _force_means(checks: Sequence[tuple[int, Any]]) -> list[float]:
    return [spread.force_mean_eV_A for _, spread in checks]


def _errors(lane: Lane, key: str) -> list[float]:
    return [getattr(r.errors, key) for r in lane.rounds if r.errors]


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
