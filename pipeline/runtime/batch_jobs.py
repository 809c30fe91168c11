"""The jobs of one cluster of dask-jobqueue while tasks remain: those that ended are replaced, as it does not itself.

A job ends by itself at its walltime, when it is preempted, or when its node fails. So the jobs asked for are compared
with what the queue says, whenever workers are missing. What cannot end well ends the run with one message: the queue
refuses and no job is left, or jobs end again and again before a worker of theirs came.
"""

import itertools
import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from typing import Any

from pipeline.runtime.batch.batch_system import BatchSystem, JobState
from pipeline.runtime.batch.job_settings import JobSettings
from pipeline.runtime.batch.queue_programs import QueueSilent
from pipeline.runtime.driver_folder import OUTPUT
from pipeline.runtime.progress import note

__all__ = ["BatchJobs", "job_of", "require_programs"]

ASK_EVERY_S = 30.0  # centres ask not to call squeue more often
ANSWER_S = 60.0  # of all new jobs together
SUBMIT_AGAIN_S = 60.0  # after a refusal
SEEN_AFTER_S = 30.0  # so long the queue may take to know a job that it took
SETTLED_S = 10.0  # after the death of a worker the queue knows whether its job lives
MAX_REFUSALS = 10  # one after the other, while no job is left
BARREN_ROUNDS = 3  # times the number of jobs: so many ended before a worker of theirs came
NEAR_ITS_END = 0.8  # of the walltime: a job that is gone and had so much of it was ended by it
START_S = 60.0  # of its walltime may be over before its first worker comes


def require_programs(system: BatchSystem, scheduler: str) -> None:
    """Raises ValueError that lists what is missing to submit jobs."""
    missing = [f"no `{program}` on the PATH" for program in system.programs if shutil.which(program) is None]
    cures = [f"run this on a node that submits jobs (perhaps after `module load {scheduler}`)"] if missing else []
    if find_spec("dask_jobqueue") is None:
        missing.append("no dask-jobqueue")
        cures.append("`pip install -e '.[cluster]'`")
    if missing:
        raise ValueError(
            f"scheduler {scheduler}: found {', '.join(missing)}; {' and '.join(cures)}, or choose another scheduler: "
            "LATENTLAW_SCHEDULER=local is this machine"
        )


class BatchJobs:
    """As many jobs as the remaining tasks can use, `n_jobs` at most; each is `settings.cores` workers.

    `record` gets the numbers of new jobs as soon as the queue gave them.
    """

    def __init__(
        self,
        system: BatchSystem,
        cluster: Any,  # noqa: ANN401 - dask_jobqueue has no types
        settings: JobSettings,
        n_jobs: int,
        record: Callable[[list[str]], None] = lambda numbers: None,
    ) -> None:
        self.system, self.cluster, self.n_jobs, self.record = system, cluster, n_jobs, record
        self.n_cores, self.walltime_s = settings.cores, settings.life.total_seconds()
        self._names = (f"job{number}" for number in itertools.count())  # none twice: a dying worker still holds its own
        self._first_worker_s: dict[str, float] = {}  # by the name of the job
        self._submitted_s: dict[str, float] = {}
        self._states: dict[str, JobState] = {}  # by name, what the queue said last; of those that ended, for ever
        self._asked_s = 0.0
        self._n_barren = self._n_refused = self._n_submitted = 0
        self._ask_at = self._submit_at = 0.0
        self._answer = self._refusal = ""

    def see_workers(self) -> None:
        for state in list(self.cluster.scheduler.workers.values()):
            self._first_worker_s.setdefault(job_of(state.name), time.monotonic())

    def began_s(self, job: str) -> float:
        """When the first worker of a job was seen."""
        return self._first_worker_s.get(job, 0.0)

    def end_of(self, job: str, since_s: float) -> JobState | None:
        """What the queue says of a job of which a worker died at that time; None while it was not asked since."""
        state = self._states.get(job)
        if state is None or state.ended:
            return state
        return None if state.ending or self._asked_s < since_s + SETTLED_S else state

    def keep(self, n_tasks: int, n_workers: int, *, questioned: bool = False) -> str:
        """Drop jobs that ended and submit what lacks. Returns what the jobs do.

        `questioned`: somebody wants to know how jobs ended. Raises ValueError when the queue refuses the first jobs,
        ConnectionError when no worker can be had later.
        """
        n_asked, n_wanted = len(self.cluster.worker_spec), min(self.n_jobs, math.ceil(n_tasks / self.n_cores))
        complete = n_asked >= n_wanted and n_workers >= n_asked * self.n_cores
        if (complete and not questioned) or time.monotonic() < self._ask_at:
            return self._answer
        try:
            self._ask()
            ended = {name: number for name, number in self._numbers().items() if self._states[name].ended}
            self._require_fruit(ended, n_workers, n_wanted)
            refusal = self._replace(ended, n_wanted, n_tasks)
            counts = Counter(self._states[name].words for name in self.cluster.worker_spec)
            counted = [f"{self.system.title} jobs: " + ", ".join(f"{n} {words}" for words, n in counts.items())]
            self._answer = "; ".join((counted if counts else []) + refusal)
        except QueueSilent as error:
            self._answer = f"{self.system.title} does not answer: {error}"
        self._ask_at = time.monotonic() + ASK_EVERY_S
        return self._answer

    def say_closed(self) -> None:
        """Before the cluster closes, which cancels the jobs."""
        _say_closed(self.cluster.workers.values())

    def _numbers(self) -> dict[str, str | None]:
        """The number of every job asked for; None where the queue refused."""
        jobs = self.cluster.workers
        return {name: jobs[name].job_id if name in jobs else None for name in self.cluster.worker_spec}

    def _ask(self) -> None:
        numbers, now_s = self._numbers(), time.monotonic()
        known = self.system.states([number for number in numbers.values() if number]) if numbers else {}
        self._asked_s = now_s
        for name, number in numbers.items():
            if number is not None and number in known:
                self._states[name] = known[number]
            elif number is None or now_s >= self._submitted_s[name] + SEEN_AFTER_S:
                self._states[name] = self._gone(name, now_s)

    def _gone(self, name: str, now_s: float) -> JobState:
        """The end of a job that the queue knows nothing about any more."""
        if name not in self._first_worker_s:
            return JobState("ended", ended=True)
        age_s = now_s - self._first_worker_s[name]
        if age_s >= NEAR_ITS_END * self.walltime_s - START_S:
            return JobState("ended at its walltime", ended=True, blameless=True)
        return JobState("ended", ended=True)

    def _require_fruit(self, ended: Mapping[str, str | None], n_workers: int, n_wanted: int) -> None:
        barren = [number for name, number in ended.items() if name not in self._first_worker_s]
        self._n_barren = 0 if n_workers or len(barren) < len(ended) else self._n_barren + len(barren)
        if barren and self._n_barren >= BARREN_ROUNDS * n_wanted:
            raise ConnectionError(
                f"{self.system.title}: {self._n_barren} jobs ended before a worker of theirs came. Read what the last "
                f"printed ({OUTPUT}/*{barren[-1]}*) and see `jobs` in local.yaml: does its prologue run, is this clone "
                f"at the same path on the nodes, and can they reach {self.cluster.scheduler.address}?"
            )

    def _replace(self, ended: Mapping[str, str | None], n_wanted: int, n_tasks: int) -> list[str]:
        """Returns the words of the queue where it refused; raises them when no job is left."""
        asked = self.cluster.worker_spec
        for name in ended:
            del asked[name]
        may_submit = time.monotonic() >= self._submit_at
        new = list(itertools.islice(self._names, max(0, n_wanted - len(asked)) if may_submit else 0))
        still_refused = [f"refused: {self._refusal}"] if self._refusal else []
        if not new and not ended:
            return still_refused
        asked.update(dict.fromkeys(new, self.cluster.new_spec))
        gone = [self.cluster.workers[name] for name in ended if name in self.cluster.workers]
        refusal = self._submit()
        for name in [name for name, number in self._numbers().items() if number is None]:
            del asked[name]
            gone += [self.cluster.workers[name]] if name in self.cluster.workers else []
        _say_closed(gone)
        taken = [name for name in new if name in asked]
        self._submitted_s |= dict.fromkeys(taken, time.monotonic())
        self._states |= dict.fromkeys(taken, JobState("submitted"))
        self._n_submitted += len(taken)
        if ended:
            numbers = sorted(ended, key=lambda name: int(name.removeprefix("job")))
            jobs = ", ".join(f"{ended[name]} {self._states[name].words}" for name in numbers)
            replaced = f"submitted in their place: {len(taken)}; tasks left: {n_tasks}"
            note(f"{self.system.title}: jobs ended: {jobs}; {replaced}")
        return self._refused(refusal) if new else still_refused

    def _refused(self, refusal: str) -> list[str]:
        if not refusal:
            self._n_refused, self._refusal = 0, ""
            return []
        self._n_refused += 1
        self._submit_at = time.monotonic() + SUBMIT_AGAIN_S
        title, n_left = self.system.title, len(self.cluster.worker_spec)
        if not n_left and not self._n_submitted:
            raise ValueError(f"{title} refused the job: {refusal}; correct `jobs` in local.yaml")
        if not n_left and self._n_refused >= MAX_REFUSALS:
            raise ConnectionError(
                f"{title}: no job is left and {self._n_refused} times it refused new ones: {refusal}. "
                "Run the same command again when it takes jobs: finished shards are kept"
            )
        if refusal != self._refusal:
            note(f"{title} refused all but {n_left} jobs: {refusal}; asked again every {SUBMIT_AGAIN_S:g} s")
        self._refusal = refusal
        return [f"refused: {refusal}"]

    def _submit(self) -> str:
        """Have jobs submitted and cancelled for what changed in `worker_spec`; what was refused, or ""."""

        async def settled() -> None:
            await self.cluster

        before = set(filter(None, self._numbers().values()))
        try:
            self.cluster.sync(settled, callback_timeout=ANSWER_S)
        except (OSError, RuntimeError, ValueError) as error:
            return _words(error)
        finally:
            self.record(sorted(set(filter(None, self._numbers().values())) - before))
        return ""


def _say_closed(jobs: Iterable[Any]) -> None:
    """dask-jobqueue forgets to, and Dask asserts it in the end of all that are not yet collected as garbage."""
    for job in jobs:
        job.status = type(job.status).closed


def job_of(worker_name: object) -> str:
    """job0 of job0 itself, or of job0-1 where a job has several workers."""
    return str(worker_name).partition("-")[0]


def _words(error: Exception) -> str:
    """What the program said, in one line."""
    printed, _, said = str(error).partition("stdout:")[2].partition("stderr:")
    return " ".join((said.strip() or printed.strip() or str(error) or type(error).__name__).split())
