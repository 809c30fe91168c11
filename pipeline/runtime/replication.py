"""The claims of the lanes measured again on fresh seeds, with intervals over data seeds and training seeds.

A lane says how (`replicated`, in pipeline/<lane>/claims.py): which stages to run, what the seeds change in params, and
what to read off afterwards. For every box of parameters and every data seed the stages run in a folder of their own,

    runs/replication/<lane>_<box>_<seed>/     params.yaml, data/, runs/, reports/: as in the clone

by the same code as `dvc repro`. What was measured is kept under a hash of code and params in a small file,

    reports/metrics/replication/<lane>_<box>_<seed>.json

which belongs to git: a run that was stopped goes on, one with nothing to do ends at once, and data seeds can be divided
among machines and days, whose files are then committed together.

Intervals. The unit is the data seed: drawing, training and fitting are repeated for it. The values of its trainings are
averaged, and Student's t over the data seeds gives the 95 % interval, for a rank correlation on Fisher's scale
artanh(rho). A rate has the interval of Clopper and Pearson. One seed has no interval.
"""

import importlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import stats

from pipeline.runtime.content_key import content_key
from pipeline.runtime.params import read_yaml
from pipeline.runtime.profiles import apply_profile
from pipeline.runtime.replication_records import Claim, Measurement, Number, ReplicationMetrics
from stores.atomic import write_text

__all__ = ["Measured", "ReplicatedLane", "claims_of", "differs", "measure", "replicated", "replicated_lanes"]

CODE = Path(__file__).parents[2]
RUNS = Path("runs/replication")
MEASURED = Path("reports/metrics/replication")
Kind = Literal["correlation", "number", "rate"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One number of one data seed; `training_seed` of None: no training is involved, or it is over all of them."""

    claim: str
    rows: str  # what it was measured on, in words
    kind: Kind  # rate: value is 0 or 1
    value: float
    training_seed: int | None = None
    baseline: str = ""
    baseline_value: float | None = None


Measure = Callable[[Path, int], list[Measured]]


@dataclass(frozen=True, kw_only=True)
class ReplicatedLane:
    """How the claims of a lane are measured again."""

    stages: tuple[str, ...]  # "impurity.spectra": modules of pipeline, in this order
    changes: Callable[[int, Sequence[int]], dict[str, Any]]  # data seed, training seeds -> what differs in params
    also: tuple[str, ...]  # code and settings beside the deps of its last stage that shape what is measured
    measure: Measure  # of a folder in which the stages have run, and the data seed


LANES: dict[str, ReplicatedLane] = {}


def replicated(
    name: str,
    *,
    stages: tuple[str, ...] = (),
    changes: Callable[[int, Sequence[int]], dict[str, Any]] = lambda data_seed, training_seeds: {},
    also: tuple[str, ...] = (),
) -> Callable[[Measure], Measure]:
    """Decorator of the function that measures."""

    def register(measure: Measure) -> Measure:
        LANES[name] = ReplicatedLane(stages=stages, changes=changes, also=also, measure=measure)
        return measure

    return register


def replicated_lanes() -> dict[str, ReplicatedLane]:
    """All lanes with a claims.py."""
    for file in sorted(CODE.glob("pipeline/*/claims.py")):
        importlib.import_module(f"pipeline.{file.parent.name}.claims")
    return LANES


def measure(
    name: str, box: str, overlay: Mapping[str, Any], seed: int, training_seeds: Sequence[int], *, base: str
) -> Measurement:
    """Run the stages of lane `name` for one data seed and read its claims off; what is kept is taken.

    `base` is the text of params.yaml, `overlay` what the box changes in it. Raises subprocess.CalledProcessError where
    a stage fails; what is finished is kept.
    """
    lane = replicated_lanes()[name]
    folder = RUNS / f"{name}_{box}_{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    source = f"the box {box} of the protocol"
    text = apply_profile(base, {k: v for k, v in overlay.items() if k in sections(lane)}, source)
    write_text(folder / "params.yaml", apply_profile(text, lane.changes(seed, training_seeds), "the seeds"))
    params = read_yaml(folder / "params.yaml")
    keys: dict[str, str] = {}
    for stage, section in zip(lane.stages, sections(lane), strict=True):  # its code and params, and what came before
        before = list(keys.values())[-1:]
        keys[stage] = content_key(section, {"params": params[section], "after": before})
    kept = MEASURED / f"{name}_{box}_{seed}.json"
    last = _name(lane.stages[-1]) if lane.stages else None
    key = content_key(last, keys, also=[f"pipeline/{name}/claims.py", *lane.also])
    if not kept.is_file() or json.loads(kept.read_text())["key"] != key:
        for stage in lane.stages:
            _run_stage(stage, folder, keys[stage])
        measured = [asdict(one) for one in lane.measure(folder, seed)]
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, json.dumps({"key": key, "measured": measured}, indent=1) + "\n")
    return Measurement.model_validate(
        {"lane": name, "box": box, "data_seed": seed, "measured": json.loads(kept.read_text())["measured"]}
    )


def sections(lane: ReplicatedLane) -> list[str]:
    return [_name(stage) for stage in lane.stages]


def differs(name: str, overlay: Mapping[str, Any]) -> bool:
    """Whether a box is one of its own for this lane: params as they are, or something changed in them."""
    return not overlay or bool(overlay.keys() & sections(replicated_lanes()[name]))


def claims_of(measurements: Iterable[Measurement]) -> list[Claim]:
    """One claim for each lane, box and name, in the order in which they come."""
    groups: dict[tuple[str, str, str], dict[int, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for one in measurements:
        for measured in one.measured:
            groups[one.lane, one.box, measured.claim][one.data_seed].append(measured)
    return [_claim(box, name, by_seed) for (_, box, name), by_seed in groups.items()]


def _claim(box: str, name: str, by_seed: Mapping[int, Sequence[Any]]) -> Claim:
    first = next(iter(by_seed.values()))[0]
    values = [float(np.mean([m.value for m in of])) for of in by_seed.values()]
    value, low, high = interval(values, first.kind)
    baselines = Counter(m.baseline for of in by_seed.values() for m in of)
    beside = [m.baseline_value for of in by_seed.values() for m in of if m.baseline_value is not None]
    ahead = [
        float(np.mean([m.value - m.baseline_value for m in of]))
        for of in by_seed.values()
        if all(m.baseline_value is not None for m in of)
    ]
    difference = interval(ahead, "number") if ahead else (None, None, None)
    trainings = [m.value for of in by_seed.values() for m in of]
    return Claim(
        claim=name,
        box=box,
        rows=first.rows,
        n_data_seeds=len(by_seed),
        n_trainings=len(trainings),
        value=value,
        low=low,
        high=high,
        lowest=min(trainings),
        baseline=" or ".join(name for name, _ in baselines.most_common()),
        baseline_value=float(np.mean(beside)) if beside else None,
        ahead=difference[0],
        ahead_low=difference[1],
        ahead_high=difference[2],
    )


def interval(values: Sequence[float], kind: Kind) -> tuple[float, Number, Number]:
    """Mean with its 95 % interval over data seeds; None where there is none."""
    n = len(values)
    if kind == "rate":
        successes = round(sum(values))
        exact = stats.binomtest(successes, n).proportion_ci(0.95, method="exact")
        return successes / n, float(exact.low), float(exact.high)
    scale, back = (np.arctanh, np.tanh) if kind == "correlation" else (np.asarray, np.asarray)
    scaled = scale(np.clip(values, -1 + 1e-12, 1 - 1e-12) if kind == "correlation" else values)
    mean = float(scaled.mean())
    if n < 2:
        return float(back(mean)), None, None
    half = float(stats.t.ppf(0.975, n - 1) * scaled.std(ddof=1) / np.sqrt(n))
    return float(back(mean)), float(back(mean - half)), float(back(mean + half))


def replication_metrics(
    measurements: Sequence[Measurement], data_seeds: Sequence[int], training_seeds: Sequence[int]
) -> ReplicationMetrics:
    return ReplicationMetrics(
        data_seeds=list(data_seeds),
        training_seeds=list(training_seeds),
        claims=claims_of(measurements),
        measurements=list(measurements),
    )


def _run_stage(stage: str, folder: Path, key: str) -> None:
    """In a process of its own, in its folder, unless it ran there with this code and these params."""
    stamp = folder / f".{stage}.done"
    if stamp.is_file() and stamp.read_text() == key:
        return
    environment = os.environ | {"PYTHONPATH": str(CODE)}
    subprocess.run([sys.executable, "-m", f"pipeline.{stage}"], cwd=folder, env=environment, check=True)
    write_text(stamp, key)


def _name(stage: str) -> str:
    return stage.rpartition(".")[2]
