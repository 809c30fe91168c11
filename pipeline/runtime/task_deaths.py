"""Which task kills its workers? Decided on evidence: workers die of many things, and no task should suffer for them.

A worker that dies while it has a task is evidence against the task, unless its job ended for a reason outside of it:

    the job lives                             one worker died of its task: counts
    the job ended: walltime, scancel, node    nothing, but where the task had all the walltime: it needs longer
    the job ended otherwise, one task         counts
    the job ended otherwise, several tasks    one of them, or none: counts for the one that was suspected before; where
                                              none was, all are, and from then on they run one at a time

Where nothing is known of jobs, workers that die within seconds of each other are taken as one job that ended otherwise.
A task with MAX_DEATHS such deaths is given up.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from pipeline.runtime.batch.batch_system import JobState
from pipeline.runtime.claims import MAX_DEATHS

__all__ = ["MAX_DEATHS", "TOGETHER_S", "Death", "TaskDeaths"]

TOGETHER_S = 5.0
UNDECIDED_S = 600.0  # then the queue is not waited for any longer
WHOLE_LIFE = 0.9  # of the walltime: so much of it is all of it
MEMORY = "Does it need more memory than its worker has?"


@dataclass(frozen=True, kw_only=True)
class Death:
    """A worker that died with a task, in s of a clock that only goes on."""

    task: int
    worker: str  # its address: no other worker has it
    job: str = ""  # "" where nothing is known of jobs
    started_s: float  # when the task began
    at_s: float


class TaskDeaths:
    """`end_of(job, since_s)`: what the queue said of a job after that time; None while it was not asked."""

    def __init__(
        self, end_of: Callable[[str, float], JobState | None] | None = None, walltime_s: float = float("inf")
    ) -> None:
        self.end_of, self.walltime_s = end_of, walltime_s
        self.n_deaths: Counter[int] = Counter()
        self.undecided: list[Death] = []
        self._alone: set[int] = set()  # one at a time of these
        self._why: dict[int, str] = {}
        self._known: set[tuple[int, str]] = set()

    def died(self, death: Death) -> None:
        """Learn of a death, from whichever source and however often."""
        if (death.task, death.worker) not in self._known:
            self._known.add((death.task, death.worker))
            self.undecided.append(death)

    def done(self, task: int) -> None:
        """Forget what stood against a task."""
        self._alone.discard(task)
        del self.n_deaths[task]
        self.undecided = [death for death in self.undecided if death.task != task]

    def may_begin(self, task: int, running: Collection[int]) -> bool:
        return task not in self._alone or not self._alone.intersection(running)

    def judge(self, now_s: float) -> list[Death]:
        """The deaths on which a judgement could be passed by now; `n_deaths` has counted them."""
        judged: list[Death] = []
        for deaths in self._groups():
            last_s = max(death.at_s for death in deaths)
            if not deaths[0].job or self.end_of is None:
                if now_s - last_s < TOGETHER_S:
                    continue
                self._weigh(deaths, why=MEMORY)
            elif (state := self.end_of(deaths[0].job, last_s)) is not None:
                self._weigh_job(deaths, state)
            elif now_s - last_s < UNDECIDED_S:
                continue
            judged += deaths
        self.undecided = [death for death in self.undecided if death not in judged]
        return judged

    def reason(self, task: int) -> str:
        n = self.n_deaths[task]
        died = "1 worker died while it" if n == 1 else f"{n} workers died while they"
        return f"{died} had this task. {self._why.get(task, MEMORY)}"

    def _groups(self) -> Iterator[list[Death]]:
        """Deaths that may have one cause: of one job, or within seconds where nothing is known of jobs."""
        of_jobs = sorted((death for death in self.undecided if death.job), key=lambda death: death.job)
        for _, deaths in groupby(of_jobs, key=lambda death: death.job):
            yield list(deaths)
        others = sorted((death for death in self.undecided if not death.job), key=lambda death: death.at_s)
        starts = [n for n, (a, b) in enumerate(pairwise(others), 1) if b.at_s - a.at_s > TOGETHER_S]
        for first, last in pairwise([0, *starts, len(others)]):
            if first < last:
                yield others[first:last]

    def _weigh_job(self, deaths: Sequence[Death], state: JobState) -> None:
        if not state.ended:
            for _, of_worker in groupby(sorted(deaths, key=lambda death: death.worker), key=lambda death: death.worker):
                self._weigh(list(of_worker), why=MEMORY)
        elif not state.blameless:
            self._weigh(deaths, why=f"The queue says of the last job: {state.words}. {MEMORY}")
        else:
            why = f"It had the whole walltime of its job: does it need longer than {self.walltime_s:g} s?"
            for death in deaths:
                if death.at_s - death.started_s >= WHOLE_LIFE * self.walltime_s:
                    self._weigh([death], why=why)

    def _weigh(self, deaths: Sequence[Death], *, why: str) -> None:
        """Count deaths that have one cause."""
        tasks = {death.task for death in deaths}
        suspected = {task for task in tasks if self.n_deaths[task]}
        counted = tasks
        if len(tasks) > 1:
            self._alone |= suspected or tasks
            counted = tasks if not suspected else suspected if len(suspected) == 1 else set()
        for task in counted:
            self.n_deaths[task] += 1
            self._why[task] = why
