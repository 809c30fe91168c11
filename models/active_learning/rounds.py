"""Rounds of active learning: train an ensemble, let it run until it is uncertain, label, append, train again.

Several runs (a seed and an arm) advance side by side, so that their trainings, trajectories and labels share the
workers. All decisions are taken here, from results of pure tasks; who keeps these results may be killed and go on with
them. Arms of a seed have the same first labels, starts, paths and test set, and spend the same number of labels in each
round, which is checked:

    active       frames at which its ensemble is uncertain, chosen by an acquisition
    random       frames drawn at random, without looking at the spread, from trajectories by the ensemble of its active
                 twin: the same starts, paths, noise and potential, gone on with where the twin's have stopped
    plain        frames at fixed times of trajectories by its own ensemble: dynamics with the mean potential that it has
                 learnt, and nothing of the twin but the number of labels

    round 0      bootstrap: random-packed cells
    round r      trajectories by the ensemble of round r - 1, selection, labels; then an ensemble and its errors
    final        rounds train briefly; the potential that is kept may be trained anew, for long, on all labels

Frames come in and go out as models.frames.Frames; stores, folders and processes are the caller's.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from models.active_learning.acquisition import ACQUISITIONS
from models.active_learning.sampling import (
    BOOTSTRAP,
    TEST,
    Labels,
    LabelTask,
    Sampled,
    SampleTask,
    TestTask,
    label,
    label_driven,
    ordered_frames,
    packed_frame,
    sample,
)
from models.active_learning.settings import ActiveLearningParams
from models.active_learning.threshold_rule import THRESHOLD_RULES, Calibration
from models.frames import Frames
from models.networks.potentials.batched_dynamics import Thresholds, Trajectories
from models.networks.potentials.ensemble import SPREADS
from models.networks.potentials.potential import PotentialNetwork
from models.physics.atoms.engine import ENGINES
from models.training.potentials.ensembles import (
    Errors,
    Member,
    MemberTask,
    errors_of,
    frame_errors,
    mean_prediction,
    network_of,
    references_of,
    spreads_of,
)

__all__ = [
    "ARMS",
    "Arm",
    "Results",
    "Round",
    "Run",
    "Tasks",
    "TooFewLabels",
    "UnequalBudgets",
    "bootstrap",
    "finish",
    "run_rounds",
    "test_set",
]

Arm = Literal["active", "random", "plain"]
ARMS: tuple[Arm, ...] = get_args(Arm)
ROUND_GROUPS = 10**6  # groups of trajectories begin here, of each round anew
DRAWN = 5  # in spawn keys: which trajectories of a random run are labelled
FINAL = 10**6  # in the place of a round's number: the training after the last one
Result = TypeVar("Result")


class TooFewLabels(RuntimeError):
    """Nothing to train or to test on; the message gives the reasons of the failures."""


class UnequalBudgets(RuntimeError):
    """A control cannot spend as many labels as its active twin; the message says which and why."""


class Results(Protocol):
    """Applies a pure function to items and gives a `kind` for each, in their order; a name says all that shapes one."""

    def __call__(
        self, kind: type[Result], names: Sequence[str], function: Callable[[Any], Result], items: Sequence[Any]
    ) -> list[Result]: ...


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """Who works: `labels` by names that say all, `work` by names within this one loop. `train` makes a Member."""

    labels: Results
    work: Results
    train: Callable[[MemberTask], Member]
    report: Callable[[str], None] = print


@dataclass(kw_only=True)
class Round:
    """What one round of one run did and what came of it."""

    number: int
    n_labels: int = 0  # frames that are trained on after it
    tried: int = 0  # trajectories
    selected: int = 0  # labels spent
    n_failed: int = 0
    n_duplicates: int = 0
    thresholds: Thresholds | None = None
    errors: Errors | None = None
    cpu_s: dict[str, float] = field(default_factory=dict)
    atom_steps: int = 0
    trajectories: Trajectories | None = None
    taken: list[int] = field(default_factory=list)  # trajectories whose end was labelled


@dataclass(kw_only=True)
class Run:
    """One loop and its state."""

    seed: int
    arm: Arm
    frames: Frames  # all labels spent, failures among them
    test: Frames  # never trained on, failures among them
    bootstrap_cpu_s: float = 0.0
    rounds: list[Round] = field(default_factory=list)
    config: Any = None  # of the networks
    members: list[Member] = field(default_factory=list)
    calibration: Calibration | None = None  # of the ensemble
    done: bool = False
    final: Errors | None = None  # of the long training, where there is one
    final_cpu_s: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.arm}_{self.seed}"

    @property
    def labelled(self) -> Frames:
        return _labelled(self.frames)

    def networks(self, network: Callable[[Any], PotentialNetwork]) -> list[PotentialNetwork]:
        """Its ensemble as it stands."""
        return [network_of(network, self.config, member.weights) for member in self.members]


def test_set(params: ActiveLearningParams, tasks: Tasks) -> Frames:
    """The frozen test set of `params.seed`, failures among them."""
    n_packed, n_driven = params.test.packed, params.test.driven.n_frames
    packed = [
        packed_frame(params, params.seed, TEST, i).changed(source="test packed", group=i) for i in range(n_packed)
    ]
    known = [{"origin": "test", "kind": "packed", "index": i} for i in range(n_packed)]
    labelled, _ = _label(params, tasks, packed, known)
    n = n_packed + n_driven
    driven = [
        TestTask(params=params, indices=range(first, min(first + params.frames_per_task, n)))
        for first in range(n_packed, n, params.frames_per_task)
    ]
    what = [
        params.seed,
        params.number,
        asdict(ENGINES.make(params.driver)),
        asdict(params.packed),
        asdict(params.test.driven),
    ]
    names = [f"driven_{_digest([*what, asdict(ENGINES.make(params.engine)), list(task.indices)])}" for task in driven]
    driven_labels = tasks.labels(Labels, names, label_driven, driven)
    return Frames.concatenate([*labelled, *(labels.frames for labels in driven_labels)])


def bootstrap(params: ActiveLearningParams, seed: int, tasks: Tasks) -> tuple[Frames, float]:
    """First labels of a seed, the same for all arms, and the CPU seconds they took."""
    first = params.test.packed + params.test.driven.n_frames
    drawn = [packed_frame(params, seed, BOOTSTRAP, i) for i in range(params.packed.n_frames)]
    drawn += ordered_frames(params, seed)
    frames = [frame.changed(source="bootstrap", group=first + i) for i, frame in enumerate(drawn)]
    known = [{"origin": "bootstrap", "round": 0, "index": i} for i in range(len(frames))]
    labelled, cpu_s = _label(params, tasks, frames, known)
    return Frames.concatenate(labelled), sum(cpu_s)


def run_rounds(params: ActiveLearningParams, runs: Sequence[Run], tasks: Tasks) -> None:
    """Advance all runs to their end; they hold what happened. Each seed has an active one.

    Raises TooFewLabels, UnequalBudgets, and what the tasks raise where a training failed.
    """
    for run in runs:
        if not len(_labelled(run.test)):
            raise TooFewLabels(
                f"{run.name}: found no label of {len(run.test)} test frames, expected some; {_reasons(run.test)}"
            )
        failed = len(run.frames) - len(run.labelled)
        cost = {"labels": run.bootstrap_cpu_s}
        run.rounds.append(Round(number=0, selected=len(run.frames), n_failed=failed, cpu_s=cost))
    for number in range(params.rounds.n_rounds + 1):
        live = [run for run in runs if not run.done]
        if not live:
            break
        _train(params, live, number, tasks)
        _report(runs, number, tasks)
        if number < params.rounds.n_rounds:
            _sample(params, live, number + 1, tasks)
            _spend(params, live, number + 1, tasks)
            _check_budgets(live)


def finish(params: ActiveLearningParams, run: Run, tasks: Tasks) -> None:
    """Train members anew on all labels for `training.final_steps`, if any; they replace those of the last round."""
    if params.training.final_steps:
        members = _member_tasks(params, run, FINAL)
        names = [f"{run.name}/final/member_{m}" for m in range(len(members))]
        run.members = tasks.work(Member, names, tasks.train, members)
        run.config = members[0].config
        run.final = errors_of(mean_prediction([m.predictions["test"] for m in run.members]), _labelled(run.test))
        run.final_cpu_s = sum(member.cpu_s for member in run.members)


def _train(params: ActiveLearningParams, runs: Sequence[Run], number: int, tasks: Tasks) -> None:
    n_members, n_folds = params.training.n_members, params.training.n_folds
    members, names = [], []
    for run in runs:
        if len(run.labelled) < n_folds:
            raise TooFewLabels(
                f"{run.name}, round {number}: found {len(run.labelled)} labels of {len(run.frames)}, expected at "
                f"least {n_folds} (training.n_folds); {_reasons(run.frames)}"
            )
        members += _member_tasks(params, run, number)
        names += [f"{_folder(run, number)}/member_{m}" for m in range(n_members)]
    trained = tasks.work(Member, names, tasks.train, members)
    for i, run in enumerate(runs):
        mine = slice(i * n_members, (i + 1) * n_members)
        run.members, run.config = trained[mine], members[mine][0].config
        run.calibration = _calibration(params, run)
        last = run.rounds[-1]
        last.n_labels = len(run.labelled)
        last.errors = errors_of(mean_prediction([m.predictions["test"] for m in run.members]), _labelled(run.test))
        last.cpu_s["training"] = sum(member.cpu_s for member in run.members)


def _calibration(params: ActiveLearningParams, run: Run) -> Calibration:
    known = run.labelled
    said = [member.predictions["known"] for member in run.members]
    left_out = [frame_errors(one, known)[_left_out(params, len(known), m)] for m, one in enumerate(said)]
    return Calibration(spreads=spreads_of(said, known), held_out_errors=np.concatenate(left_out))


def _left_out(params: ActiveLearningParams, n_known: int, member: int) -> NDArray[np.bool_]:
    """(n_known,) which frames a member is not trained on."""
    n_folds = params.training.n_folds
    return np.asarray(np.arange(n_known) % n_folds == member % n_folds)


def _member_tasks(params: ActiveLearningParams, run: Run, number: int) -> list[MemberTask]:
    """The members of an ensemble on all that is labelled; each leaves another fold for validation."""
    training, known = params.training, run.labelled
    warm = training.start == "warm" and bool(run.members) and number != FINAL
    share = training.warm_share if warm else 1.0
    force_eV_A = float(np.sqrt(np.nanmean(known.forces_eV_A**2)))
    data = (known.species, references_of(known), force_eV_A if force_eV_A > 0 else 1.0)
    config = run.config if warm else training.network.settings.config(*data)
    test = _labelled(run.test)
    tasks = []
    for m in range(training.n_members):
        held = _left_out(params, len(known), m)
        tasks.append(
            MemberTask(
                name=f"{run.name}, {'final' if number == FINAL else f'round {number}'}, member {m}",
                network=training.network_class,
                config=config,
                settings=training.settings(int((~held).sum()), share, final=number == FINAL),
                seed=int(np.random.SeedSequence(run.seed, spawn_key=(3, number, m)).generate_state(1)[0]),
                sets={"train": known.select(~held), "validation": known.select(held), "test": test, "known": known},
                start=run.members[m].weights if warm else None,
            )
        )
    return tasks


def _sample(params: ActiveLearningParams, runs: Sequence[Run], number: int, tasks: Tasks) -> None:
    rounds, rule = params.rounds, THRESHOLD_RULES.make(params.thresholds)
    active = {run.seed: run for run in runs if run.arm == "active"}
    items, names = [], []
    owners: list[Run] = []
    for run in runs:
        assert run.calibration is not None
        thresholds = rule.thresholds(run.calibration) if run.arm == "active" else None
        mover = active[run.seed] if run.arm == "random" else run
        run.rounds.append(Round(number=number, tried=rounds.n_trajectories, thresholds=thresholds))
        for first in range(0, rounds.n_trajectories, rounds.trajectories_per_batch):
            items.append(
                SampleTask(
                    params=params,
                    network=params.training.network_class,
                    config=mover.config,
                    weights=[member.weights for member in mover.members],
                    seed=run.seed,
                    round=number,
                    first=first,
                    n=min(rounds.trajectories_per_batch, rounds.n_trajectories - first),
                    thresholds=thresholds,
                    fixed_times=run.arm == "plain",
                )
            )
            names.append(f"{_folder(run, number)}/sample_{first}")
            owners.append(run)
    samples = tasks.work(Sampled, names, sample, items)
    for run in runs:
        mine = [sampled for owner, sampled in zip(owners, samples, strict=True) if owner is run]
        last = run.rounds[-1]
        last.trajectories = Trajectories.concatenate([sampled.trajectories for sampled in mine])
        last.cpu_s["sampling"] = sum(sampled.cpu_s for sampled in mine)
        last.atom_steps = sum(sampled.atom_steps for sampled in mine)


def _spend(params: ActiveLearningParams, runs: Sequence[Run], number: int, tasks: Tasks) -> None:
    """Choose and label; a seed whose ensemble is certain of enough trajectories is done."""
    spent: dict[int, int] = {}
    for run in (run for run in runs if run.arm == "active"):
        last = run.rounds[-1]
        rows = _ended(last, "uncertain")
        if len(rows) >= params.rounds.least_rate * last.tried:
            last.taken = _choose(params, run, rows)
        spent[run.seed] = len(last.taken)
    for run in runs:
        if run.arm != "active":
            run.rounds[-1].taken = _drawn(run, number, spent[run.seed])
        run.done = spent[run.seed] == 0
    frames, known = [], []
    for run in runs:
        for i in run.rounds[-1].taken:
            group = (number + 1) * ROUND_GROUPS + i
            frames.append(_end(run, i).changed(source=f"{run.arm} round {number}", group=group))
            known.append(_provenance(run, number, i))
    labelled, cpu_s = _label(params, tasks, frames, known)
    first = 0
    for run in runs:
        last = run.rounds[-1]
        mine = slice(first, first := first + len(last.taken))
        new = Frames.concatenate(labelled[mine])
        last.cpu_s["labels"] = sum(cpu_s[mine])
        last.selected, last.n_failed = len(new), len(new) - len(_labelled(new))
        run.frames = Frames.concatenate([run.frames, new])


def _choose(params: ActiveLearningParams, run: Run, rows: Sequence[int]) -> list[int]:
    last = run.rounds[-1]
    if not rows or last.thresholds is None or last.trajectories is None:
        return []
    candidates = last.trajectories.frames.select(rows)
    ratios = last.thresholds.ratios(last.trajectories.spreads[rows])
    acquisition = ACQUISITIONS.make(params.rounds.acquisition)
    selection = acquisition.choose(candidates, ratios, run.labelled, params.rounds.quota)
    last.n_duplicates = len(selection.duplicates)
    return [rows[i] for i in selection.chosen]


def _drawn(run: Run, number: int, n: int) -> list[int]:
    """n of the frames of a control. Raises UnequalBudgets where it has fewer."""
    rows = _ended(run.rounds[-1], "asked")
    if len(rows) < n:
        raise UnequalBudgets(
            f"{run.name}, round {number}: found {len(rows)} physical frames of {run.rounds[-1].tried} trajectories, "
            f"expected at least the {n} labels that its active twin spends; raise rounds.n_trajectories"
        )
    if run.arm == "random":
        rng = np.random.default_rng(np.random.SeedSequence(run.seed, spawn_key=(DRAWN, number)))
        rows = rng.permutation(rows).tolist()
    return rows[:n]


def _check_budgets(runs: Sequence[Run]) -> None:
    """Raises UnequalBudgets where arms of a seed have not spent the same number of labels."""
    spent: dict[int, dict[str, int]] = {}
    for run in runs:
        spent.setdefault(run.seed, {})[run.arm] = sum(done.selected for done in run.rounds)
    unequal = [f"seed {seed}: {arms}" for seed, arms in spent.items() if len(set(arms.values())) > 1]
    if unequal:
        raise UnequalBudgets(f"labels spent: found {'; '.join(unequal)}, expected the same in all arms of a seed")


def _label(
    params: ActiveLearningParams, tasks: Tasks, frames: Sequence[Frames], provenances: Sequence[Mapping[str, Any]]
) -> tuple[list[Frames], list[float]]:
    """Each frame with its label and its share of the CPU seconds of its task."""
    items = []
    engine, size = ENGINES.make(params.engine), params.frames_per_task
    for first in range(0, len(frames), size):
        mine = slice(first, first + size)
        together = Frames.concatenate(frames[mine])
        items.append(LabelTask(engine=engine, limits=params.limits, frames=together, provenances=provenances[mine]))
    names = [f"labels_{_digest([_contents(t.frames), list(t.provenances), asdict(engine)])}" for t in items]
    labelled = tasks.labels(Labels, names, label, items)
    shares = [labels.cpu_s / len(labels.frames) for labels in labelled for _ in labels.frames]
    return [frame for labels in labelled for frame in labels.frames], shares


def _ended(last: Round, reason: str) -> list[int]:
    """Trajectories that ended for this reason."""
    return [] if last.trajectories is None else np.flatnonzero(last.trajectories.reasons == reason).tolist()


def _end(run: Run, index: int) -> Frames:
    trajectories = run.rounds[-1].trajectories
    assert trajectories is not None
    return trajectories.frames[index]


def _provenance(run: Run, number: int, index: int) -> dict[str, Any]:
    trajectories = run.rounds[-1].trajectories
    assert trajectories is not None
    spread = [float(f"{value:.6g}") for value in trajectories.spreads[index]]
    return {
        "origin": run.arm,
        "round": number,
        "seed": run.seed,
        "trajectory": index,
        "step": int(trajectories.steps[index]),
        "temperature_K": float(f"{trajectories.temperatures_K[index]:.6g}"),
        "spread": dict(zip(SPREADS, spread, strict=True)),
    }


def _labelled(frames: Frames) -> Frames:
    return frames.select(frames.failures == "")


def _contents(frames: Frames) -> list[Any]:
    arrays = (frames.numbers, frames.n_atoms, frames.positions_A, frames.cells_A)
    hashes = [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays]
    return [*hashes, frames.sources.tolist(), frames.groups.tolist()]


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:24]


def _folder(run: Run, number: int) -> str:
    """All arms of a seed begin with the same ensemble."""
    return f"{run.name if number else f'seed_{run.seed}'}/round_{number:03d}"


def _reasons(frames: Frames) -> str:
    common = Counter(str(failure) for failure in frames.failures if failure).most_common(3)
    return f"reasons of failures: {common}"


def _report(runs: Sequence[Run], number: int, tasks: Tasks) -> None:
    for arm in ARMS:
        last = [run.rounds[-1] for run in runs if run.arm == arm and run.rounds[-1].number == number]
        errors = [r.errors.force_rmse_eV_A for r in last if r.errors]
        if errors:
            labels = np.mean([r.n_labels for r in last])
            tasks.report(f"round {number}, {arm}: {labels:g} labels, force RMSE {np.mean(errors):.4f} eV/A")
