"""Rounds of active learning: train an ensemble, let it run until it is unsure, label, append, train again.

Several loops ("lanes": a seed and an arm, active or random) advance side by side, so that their trainings, trajectories
and labels share the workers. The random arm of a seed spends as many labels in each round as its active twin has. All
decisions are taken here, from results of tasks that a Scratch keeps; a killed run is run again and reads them.

    round 0      bootstrap: random-packed cells
    round r      trajectories by the ensemble of round r - 1, selection, labels; then an ensemble and its errors
    final        rounds train briefly; the potential that is kept may be trained anew, for long, on all labels
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from models.active_learning.acquisition import calibrate, fingerprint, select
from models.networks.potentials.batched_dynamics import Ended, Spread, Thresholds
from models.physics.atoms.engine import ENGINES
from models.physics.atoms.structure import Structure
from models.training.potentials.configurations import Configurations
from pipeline.atoms.active_params import ActiveLearningParams
from pipeline.atoms.active_sampling import (
    BOOTSTRAP,
    CPU_S,
    TEST,
    Arm,
    LabelTask,
    SampleTask,
    TestTask,
    ended_from,
    label,
    label_driven,
    ordered_frames,
    packed_frame,
    records_from,
    sample,
)
from pipeline.atoms.active_training import (
    Errors,
    Member,
    MemberTask,
    configurations,
    errors_of,
    member_of,
    references,
    spreads_of,
    train,
)
from pipeline.runtime.kept_results import Arrays, GenerationError, KeptResults
from stores.atoms import AtomsRecord
from stores.outcome import OK

__all__ = ["Lane", "Round", "Workplace", "bootstrap_of", "finish", "run_lanes", "test_set"]

ROUND_GROUPS = 10**6  # groups of trajectories begin here, of each round anew
FINAL = 10**6  # in the place of a round's number: the training after the last one


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """Where results are kept: labels by their own content, all else by that of the whole loop."""

    labels: KeptResults
    work: KeptResults


@dataclass(kw_only=True)
class Round:
    """What one round of one lane did and what came of it."""

    number: int
    n_labels: int = 0  # frames that are trained on after it
    tried: int = 0  # trajectories
    selected: int = 0  # labels spent
    n_failed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)  # how trajectories ended
    discarded: dict[str, int] = field(default_factory=dict)  # why
    n_duplicates: int = 0
    thresholds: Thresholds | None = None
    errors: Errors | None = None
    cpu_s: dict[str, float] = field(default_factory=dict)
    atom_steps: int = 0
    frames: list[tuple[np.ndarray, Ended]] = field(default_factory=list)  # those taken
    ends: list[Ended] = field(default_factory=list)


@dataclass(kw_only=True)
class Lane:
    """One loop and its state."""

    seed: int
    arm: Arm
    records: list[AtomsRecord]  # all labels spent, failures among them
    bootstrap_cpu_s: float = 0.0
    rounds: list[Round] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    spreads: list[Spread] = field(default_factory=list)  # of the frames it was trained on
    done: bool = False
    final: Errors | None = None  # of the long training, where there is one
    final_cpu_s: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.arm}_{self.seed}"

    @property
    def labelled(self) -> list[AtomsRecord]:
        return [record for record in self.records if record.status == OK]


def test_set(params: ActiveLearningParams, place: Workplace) -> list[AtomsRecord]:
    """The frozen test set, failures among them."""
    packed = [
        replace(packed_frame(params, params.seed, TEST, i), source="test packed", group=i)
        for i in range(params.test.packed)
    ]
    told = [{"origin": "test", "kind": "packed", "index": i} for i in range(params.test.packed)]
    rows, _ = _label(params, place, packed, told)
    first = params.test.packed
    tasks = [TestTask(params=params, index=first + i, group=first + i) for i in range(params.test.driven.n_frames)]
    what = [
        params.seed,
        params.number,
        asdict(ENGINES.make(params.driver)),
        asdict(params.packed),
        asdict(params.test.driven),
    ]
    names = [f"driven_{_digest([*what, asdict(ENGINES.make(params.engine)), task.index])}" for task in tasks]
    for columns in place.labels.results(names, label_driven, tasks):
        rows += records_from(columns)
    return rows


def bootstrap_of(params: ActiveLearningParams, seed: int, place: Workplace) -> tuple[list[AtomsRecord], float]:
    """First labels of a seed, the same for both arms, and the CPU seconds they took."""
    first = params.test.packed + params.test.driven.n_frames
    drawn = [packed_frame(params, seed, BOOTSTRAP, i) for i in range(params.packed.n_frames)]
    drawn += ordered_frames(params, seed)
    frames = [replace(frame, source="bootstrap", group=first + i) for i, frame in enumerate(drawn)]
    told = [{"origin": "bootstrap", "round": 0, "index": i} for i in range(len(frames))]
    records, cpu_s = _label(params, place, frames, told)
    return records, sum(cpu_s)


def run_lanes(
    params: ActiveLearningParams, lanes: Sequence[Lane], test: Sequence[AtomsRecord], place: Workplace
) -> None:
    """Run all lanes to their end; they hold what happened.

    Raises GenerationError where a training failed or too few labels came to train or to test on.
    """
    labelled = [record for record in test if record.status == OK]
    if not labelled:
        raise GenerationError(f"found no label of {len(test)} test frames, expected some; {_reasons(test)}")
    known = configurations(labelled)
    for lane in lanes:
        failed = sum(record.status != OK for record in lane.records)
        cost = {"labels": lane.bootstrap_cpu_s}
        lane.rounds.append(Round(number=0, selected=len(lane.records), n_failed=failed, cpu_s=cost))
    for number in range(params.rounds.n_rounds + 1):
        live = [lane for lane in lanes if not lane.done]
        if not live:
            break
        _train(params, live, number, known, place)
        _tell(lanes, number)
        if number < params.rounds.n_rounds:
            _sample(params, live, number + 1, place)
            _spend(params, live, number + 1, place)


def finish(params: ActiveLearningParams, lane: Lane, test: Sequence[AtomsRecord], place: Workplace) -> None:
    """Train members anew on all labels for `training.final_steps`, if any; they replace those of the last round."""
    if params.training.final_steps:
        known = configurations([record for record in test if record.status == OK])
        tasks = _member_tasks(params, lane, FINAL, known)
        found = place.work.results([f"{lane.name}/final/member_{m}" for m in range(len(tasks))], train, tasks)
        lane.members = [member_of(params.training.model, t.config, a) for t, a in zip(tasks, found, strict=True)]
        lane.final = errors_of(found, "test", known)
        lane.final_cpu_s = sum(_told(arrays)["cpu_s"] for arrays in found)


def _train(
    params: ActiveLearningParams, lanes: Sequence[Lane], number: int, test: Configurations, place: Workplace
) -> None:
    how = params.training
    tasks, names = [], []
    for lane in lanes:
        if len(lane.labelled) < how.n_folds:
            raise GenerationError(
                f"{lane.name}, round {number}: found {len(lane.labelled)} labels of {len(lane.records)}, expected at "
                f"least {how.n_folds} (training.n_folds); {_reasons(lane.records)}"
            )
        tasks += _member_tasks(params, lane, number, test)
        names += [f"{_folder(lane, number)}/member_{m}" for m in range(how.n_members)]
    found = place.work.results(names, train, tasks)
    for i, lane in enumerate(lanes):
        own = slice(i * how.n_members, (i + 1) * how.n_members)
        lane.members = [member_of(how.model, t.config, a) for t, a in zip(tasks[own], found[own], strict=True)]
        data = configurations(lane.labelled)
        lane.spreads = spreads_of(found[own], "known", data)
        last = lane.rounds[-1]
        last.n_labels, last.errors = len(data), errors_of(found[own], "test", test)
        last.cpu_s["training"] = sum(_told(arrays)["cpu_s"] for arrays in found[own])


def _member_tasks(params: ActiveLearningParams, lane: Lane, number: int, test: Configurations) -> list[MemberTask]:
    """The members of an ensemble on all that is labelled; each leaves another fold for validation."""
    how, data = params.training, configurations(lane.labelled)
    warm = how.start == "warm" and bool(lane.members) and number != FINAL
    config = lane.members[0].config if warm else how.network.config(data.species, *references(data))
    rows = np.arange(len(data))
    tasks = []
    for m in range(how.n_members):
        held = rows % how.n_folds == m % how.n_folds
        share = how.warm_share if warm else 1.0
        tasks.append(
            MemberTask(
                model=how.model,
                config=config,
                settings=how.settings(int((~held).sum()), share, final=number == FINAL),
                seed=int(np.random.SeedSequence(lane.seed, spawn_key=(3, number, m)).generate_state(1)[0]),
                train=data.select(np.flatnonzero(~held)),
                validation=data.select(np.flatnonzero(held)),
                asked={"test": test, "known": data},
                start=lane.members[m].weights if warm else None,
                name=f"{lane.name}, {'final' if number == FINAL else f'round {number}'}, member {m}",
            )
        )
    return tasks


def _sample(params: ActiveLearningParams, lanes: Sequence[Lane], number: int, place: Workplace) -> None:
    rounds = params.rounds
    tasks, names, owners = [], [], []
    for lane in lanes:
        thresholds = calibrate(params.thresholds, lane.spreads) if lane.arm == "active" else None
        n = rounds.n_trajectories if lane.arm == "active" else min(rounds.n_trajectories, 2 * rounds.quota)
        lane.rounds.append(Round(number=number, tried=n, thresholds=thresholds))
        for first in range(0, n, rounds.trajectories_per_batch):
            size = min(rounds.trajectories_per_batch, n - first)
            tasks.append(
                SampleTask(
                    params=params,
                    members=lane.members,
                    seed=lane.seed,
                    round=number,
                    first=first,
                    n=size,
                    thresholds=thresholds,
                )
            )
            names.append(f"{_folder(lane, number)}/sample_{first}")
            owners.append(lane)
    for lane, arrays in zip(owners, place.work.results(names, sample, tasks), strict=True):
        last, told = lane.rounds[-1], _told(arrays)
        own = ended_from(arrays)
        last.frames += own
        last.ends += [end for _, end in own]
        last.cpu_s["sampling"] = last.cpu_s.get("sampling", 0.0) + told["cpu_s"]
        last.atom_steps += told["atom_steps"]
    for lane in lanes:
        last = lane.rounds[-1]
        last.reasons = dict(sorted(Counter(end.reason for end in last.ends).items()))
        last.discarded = dict(sorted(Counter(e.why.partition(":")[0] for e in last.ends if e.why).items()))


def _spend(params: ActiveLearningParams, lanes: Sequence[Lane], number: int, place: Workplace) -> None:
    """Choose and label; a seed whose ensemble is sure of too many trajectories is done."""
    spent: dict[int, int] = {}
    taken: dict[str, list[int]] = {}
    for lane in sorted(lanes, key=lambda one: one.arm):  # the active one tells how much its twin may spend
        last = lane.rounds[-1]
        if lane.arm == "active":
            rows = [i for i, (_, end) in enumerate(last.frames) if end.reason == "uncertain"]
            if len(rows) >= params.rounds.least_rate * last.tried:
                chosen, last.n_duplicates = _choose(params, lane, rows)
            else:
                chosen = []
            lane.done = not chosen
            spent[lane.seed] = len(chosen)
        else:
            rows = [i for i, (_, end) in enumerate(last.frames) if end.reason == "asked"]
            chosen = rows[: spent[lane.seed]]
            lane.done = spent[lane.seed] == 0
        taken[lane.name] = chosen
    frames: list[Structure] = []
    told: list[dict[str, Any]] = []
    for lane in lanes:
        last = lane.rounds[-1]
        for i in taken[lane.name]:
            numbers, end = last.frames[i]
            group = (number + 1) * ROUND_GROUPS + i
            source = f"{lane.arm} round {number}"
            frames.append(
                Structure(
                    numbers=numbers.astype(np.int64),
                    positions_A=end.positions_A,
                    cell_A=end.cell_A,
                    source=source,
                    group=group,
                )
            )
            told.append(_provenance(lane, number, i, end))
        last.frames = [last.frames[i] for i in taken[lane.name]]
    rows_of = zip(*_label(params, place, frames, told), strict=True)
    for lane in lanes:
        last = lane.rounds[-1]
        new, cpu_s = [], 0.0
        for record, seconds in islice(rows_of, len(taken[lane.name])):
            new.append(record)
            cpu_s += seconds
        last.cpu_s["labels"] = cpu_s
        last.selected, last.n_failed = len(new), sum(record.status != OK for record in new)
        lane.records += new


def _choose(params: ActiveLearningParams, lane: Lane, rows: Sequence[int]) -> tuple[list[int], int]:
    last = lane.rounds[-1]
    if not rows or last.thresholds is None:
        return [], 0
    ends = [last.frames[i] for i in rows]
    known = np.stack([fingerprint(r.numbers.astype(np.int64), r.positions_A, r.cell_A) for r in lane.labelled])
    found = select(
        np.stack([fingerprint(numbers.astype(np.int64), end.positions_A, end.cell_A) for numbers, end in ends]),
        [last.thresholds.ratio(end.spread) for _, end in ends],
        known,
        quota=params.rounds.quota,
        least_distance=params.rounds.least_distance,
        diversity=params.rounds.diversity,
    )
    return [rows[i] for i in found.chosen], len(found.duplicates)


def _label(
    params: ActiveLearningParams, place: Workplace, frames: Sequence[Structure], told: Sequence[Mapping[str, Any]]
) -> tuple[list[AtomsRecord], list[float]]:
    """Records and, of each, its share of the CPU seconds of its task."""
    tasks, names = [], []
    engine, size = ENGINES.make(params.engine), params.frames_per_task
    for first in range(0, len(frames), size):
        own = list(frames[first : first + size])
        tasks.append(
            LabelTask(engine=engine, limits=params.limits, structures=own, told=list(told[first : first + size]))
        )
        what = [_plain(structure) for structure in own]
        names.append(f"labels_{_digest([what, list(told[first : first + size]), asdict(engine)])}")
    found = place.labels.results(names, label, tasks)
    records = [r for columns in found for r in records_from(columns)]
    shares = zip(found, tasks, strict=True)
    return records, [float(c[CPU_S]) / len(t.structures) for c, t in shares for _ in t.structures]


def _provenance(lane: Lane, number: int, index: int, end: Ended) -> dict[str, Any]:
    spread = {name: float(f"{value:.6g}") for name, value in asdict(end.spread).items()}
    return {
        "origin": lane.arm,
        "round": number,
        "seed": lane.seed,
        "trajectory": index,
        "step": end.step,
        "temperature_K": float(f"{end.temperature_K:.6g}"),
        "spread": spread,
    }


def _plain(structure: Structure) -> list[Any]:
    arrays = [structure.numbers, structure.positions_A, structure.cell_A]
    return [
        *(None if a is None else hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() for a in arrays),
        structure.source,
        structure.group,
    ]


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:24]


def _folder(lane: Lane, number: int) -> str:
    """Both arms of a seed begin with the same ensemble."""
    return f"{lane.name if number else f'seed_{lane.seed}'}/round_{number:03d}"


def _told(arrays: Arrays) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(str(arrays["told"]))
    return told


def _reasons(records: Sequence[AtomsRecord]) -> str:
    told = Counter(record.failure for record in records if record.status != OK).most_common(3)
    return f"reasons of failures: {told}"


def _tell(lanes: Sequence[Lane], number: int) -> None:
    for arm in ("active", "random"):
        own = [lane.rounds[-1] for lane in lanes if lane.arm == arm and lane.rounds[-1].number == number]
        errors = [r.errors.force_rmse_eV_A for r in own if r.errors]
        if errors:
            labels = np.mean([r.n_labels for r in own])
            print(f"round {number}, {arm}: {labels:g} labels, force RMSE {np.mean(errors):.4f} eV/A", flush=True)
