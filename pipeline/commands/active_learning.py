"""`latentlaw active-learning`: the loop of params.yaml, or one kind of its tasks at a time.

    latentlaw active-learning --phase label       on nodes that run quantum mechanics
    latentlaw active-learning --phase train       on a node with a GPU

Every decision of the loop follows from results of its tasks, and these are kept under names of their content. So the
loop is gone through from its beginning each time: what is kept is taken, missing tasks of the phase are made, and at
the first task of another phase it ends and names that. Order and place of the phases change no result.
"""

import fcntl
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from models.active_learning.rounds import Results, TooFewLabels, UnequalBudgets
from models.active_learning.sampling import LabelTask, SampleTask, TestTask
from models.active_learning.settings import ActiveLearningParams
from models.physics.atoms.engine import EngineMissing
from models.training.potentials.ensembles import MemberTask
from pipeline.atoms.active_loop import kept_tasks, loops_of, refuse, run_loop
from pipeline.commands.options.active_learning import ActiveLearningOptions, Phase
from pipeline.runtime.check_params import wrong_params
from pipeline.runtime.execution import kept_workers, load_execution
from pipeline.runtime.kept_results import KeptResults, scratch_folder
from pipeline.runtime.params import load_params
from stores.building import NO_LOCKS

__all__ = ["Waiting", "main", "phase_of"]

Result = TypeVar("Result")
WORDS = {
    "test": "labels of the test set",
    "label": "labels",
    "train": "trainings",
    "sample": "batches of trajectories",
}


class Waiting(Exception):
    """The loop cannot go on before these tasks of other phases are done."""

    def __init__(self, tasks: Counter[Phase]) -> None:
        super().__init__(", ".join(f"{number} {WORDS[phase]}" for phase, number in tasks.items()))
        self.tasks = tasks


def main(options: ActiveLearningOptions) -> int:
    if not Path("dvc.yaml").is_file():
        raise ValueError(f"found no dvc.yaml in {Path.cwd()}, expected the top folder of the clone")
    if wrong := wrong_params(Path.cwd()):
        raise ValueError(wrong)
    params = load_params(ActiveLearningParams, "active_learning")
    refuse(params)
    execution = load_execution()
    waiting: Counter[Phase] = Counter()
    with _alone(), kept_workers(execution, execution.n_workers) as run:
        for name, loop in loops_of(params).items():
            try:
                run_loop(loop, kept_tasks(loop.params, run, taken=partial(_of_phase, options.phase)))
                print(f"{name}: all rounds are done", flush=True)
            except Waiting as others:
                waiting.update(others.tasks)
                print(f"{name}: waits for {others}", flush=True)
            except (EngineMissing, TooFewLabels, UnequalBudgets) as error:
                raise ValueError(f"{name}: {error}") from error
    if waiting:
        print(f"next: {' and '.join(f'latentlaw active-learning --phase {phase}' for phase in waiting)}")
    else:
        print("next: latentlaw repro active_learning, which writes the store and the potential")
    return 0


def phase_of(item: object) -> Phase:
    """Which phase a task belongs to."""
    if isinstance(item, MemberTask):
        return "train"
    if isinstance(item, SampleTask):
        return "sample"
    if isinstance(item, TestTask):
        return "test"
    if isinstance(item, LabelTask):
        return "test" if all(entry["origin"] == "test" for entry in item.provenances) else "label"
    raise TypeError(f"found {type(item).__name__}, expected a task of active learning")


def _of_phase(phase: Phase | None, kept: KeptResults) -> Results:
    """Results of this folder, of which no others are made than those of the phase; then it raises Waiting."""

    def results(
        kind: type[Result], names: Sequence[str], function: Callable[[Any], Result], items: Sequence[Any]
    ) -> list[Result]:
        tasks = dict(zip(names, items, strict=True))
        mine = {n: item for n, item in tasks.items() if phase in (None, phase_of(item)) or kept.exists(n)}
        made = kept.results(kind, list(mine), function, list(mine.values()))
        if others := Counter(phase_of(item) for name, item in tasks.items() if name not in mine):
            raise Waiting(others)
        by_name = dict(zip(mine, made, strict=True))
        return [by_name[name] for name in names]

    return results


@contextmanager
def _alone() -> Iterator[None]:
    """Raises ValueError while another one runs with the same scratch folder: both would make the same results."""
    lock = scratch_folder("active_learning.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"{lock}: found another `latentlaw active-learning` at work, expected one at a time; wait for its end"
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield
