"""The jobs of one SLURMCluster while tasks remain: those that ended are replaced, as dask-jobqueue does not.

A job ends by itself at its walltime, when it is preempted, or when its node fails. So the jobs asked for are compared
with `squeue`, whenever workers are missing. What cannot end well ends the run with one message: sbatch refuses and no
job is left, or jobs end again and again before a worker of theirs came.
"""

import itertools
import math
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from pipeline.runtime.progress import note

__all__ = ["SlurmJobs", "require_slurm"]

PROGRAMS = ("sbatch", "squeue", "scancel")
ASK_EVERY_S = 30.0  # centres ask not to call squeue more often
ANSWER_S = 60.0
SUBMIT_AGAIN_S = 60.0  # after sbatch refused
MAX_REFUSALS = 10  # one after the other, while no job is left
BARREN_ROUNDS = 3  # times the number of jobs: so many ended before a worker of theirs came


def require_slurm() -> None:
    """Raises ValueError that lists what is missing to submit jobs."""
    missing = [f"no `{program}` on the PATH" for program in PROGRAMS if shutil.which(program) is None]
    cures = ["run this on a node that submits jobs (perhaps after `module load slurm`)"] if missing else []
    if find_spec("dask_jobqueue") is None:
        missing.append("no dask-jobqueue")
        cures.append("`pip install -e '.[slurm]'`")
    if missing:
        raise ValueError(
            f"scheduler slurm: found {', '.join(missing)}; {' and '.join(cures)}, or choose another scheduler: "
            "LATENTLAW_SCHEDULER=local is this machine"
        )


class SlurmJobs:
    """As many jobs as the remaining tasks can use, `n_jobs` at most; each is `n_cores` workers."""

    def __init__(self, cluster: Any, n_jobs: int, n_cores: int) -> None:  # noqa: ANN401 - dask_jobqueue has no types
        self.cluster, self.n_jobs, self.n_cores = cluster, n_jobs, n_cores
        self._names = (f"job{number}" for number in itertools.count())  # none twice: a dying worker still holds its own
        self._fruitful: set[str] = set()  # names of jobs of which a worker came
        self._n_barren = self._n_refused = self._n_submitted = 0
        self._ask_at = self._submit_at = 0.0
        self._state = ""

    def see_workers(self) -> None:
        names = [str(state.name) for state in list(self.cluster.scheduler.workers.values())]
        self._fruitful.update(name.partition("-")[0] for name in names)  # job0, or job0-1 where a job has several

    def keep(self, n_tasks: int, n_workers: int) -> str:
        """Drop jobs that ended and submit what lacks. Returns what the jobs do.

        Raises ValueError when sbatch refuses the first jobs, ConnectionError when no worker can be had later.
        """
        n_asked, n_wanted = len(self.cluster.worker_spec), min(self.n_jobs, math.ceil(n_tasks / self.n_cores))
        if (n_asked >= n_wanted and n_workers >= n_asked * self.n_cores) or time.monotonic() < self._ask_at:
            return self._state
        try:
            states = _squeue() if n_asked else {}
            ended = {name: job_id for name, job_id in self._job_ids().items() if job_id not in states}
            self._require_fruit(ended, n_workers, n_wanted)
            refusal = self._replace(ended, n_wanted, n_tasks)
            counts = Counter(states.get(str(job_id), "submitted") for job_id in self._job_ids().values())
            self._state = "; ".join([f"SLURM jobs: {n} {state}" for state, n in counts.items()] + refusal)
        except subprocess.SubprocessError as error:
            self._state = f"squeue does not answer: {_words(error)}"
        self._ask_at = time.monotonic() + ASK_EVERY_S
        return self._state

    def _job_ids(self) -> dict[str, str | None]:
        """SLURM's number of every job asked for; None where sbatch refused."""
        jobs = self.cluster.workers
        return {name: jobs[name].job_id if name in jobs else None for name in self.cluster.worker_spec}

    def _require_fruit(self, ended: Mapping[str, str | None], n_workers: int, n_wanted: int) -> None:
        barren = [job_id for name, job_id in ended.items() if name not in self._fruitful]
        self._n_barren = 0 if n_workers or len(barren) < len(ended) else self._n_barren + len(barren)
        if barren and self._n_barren >= BARREN_ROUNDS * n_wanted:
            raise ConnectionError(
                f"scheduler slurm: {self._n_barren} jobs ended before a worker of theirs came. Read the output of the "
                f"last (slurm-{barren[-1]}.out) and see `slurm` in local.yaml: does its prologue run, is this clone at "
                f"the same path on the nodes, and can they reach {self.cluster.scheduler.address}?"
            )

    def _replace(self, ended: Mapping[str, str | None], n_wanted: int, n_tasks: int) -> list[str]:
        """Returns sbatch's words where it refused; raises them when no job is left."""
        asked = self.cluster.worker_spec
        for name in ended:
            del asked[name]
        may_submit = time.monotonic() >= self._submit_at
        new = list(itertools.islice(self._names, max(0, n_wanted - len(asked)) if may_submit else 0))
        if not new and not ended:
            return []
        asked.update(dict.fromkeys(new, self.cluster.new_spec))
        gone = [self.cluster.workers[name] for name in ended if name in self.cluster.workers]
        refusal = self._submit()
        for name in [name for name, job_id in self._job_ids().items() if job_id is None]:
            del asked[name]
            gone += [self.cluster.workers[name]] if name in self.cluster.workers else []
        for job in gone:  # dask-jobqueue forgets to say so, and Dask asserts it in the end
            job.status = type(job.status).closed
        n_new = len(asked.keys() & set(new))
        self._n_submitted += n_new
        if ended:
            numbers = ", ".join(sorted(map(str, ended.values()), key=lambda job_id: (len(job_id), job_id)))
            note(f"SLURM: jobs ended: {numbers}; submitted in their place: {n_new}; tasks left: {n_tasks}")
        if not refusal:
            self._n_refused = 0
            return []
        self._n_refused += 1
        self._submit_at = time.monotonic() + SUBMIT_AGAIN_S
        if not asked and not self._n_submitted:
            raise ValueError(f"scheduler slurm: sbatch refused: {refusal}; correct `slurm` in local.yaml")
        if not asked and self._n_refused >= MAX_REFUSALS:
            raise ConnectionError(
                f"scheduler slurm: no job is left and sbatch refused {self._n_refused} times: {refusal}. "
                "Run the same command again when it takes jobs: finished shards are kept"
            )
        return [f"sbatch refused: {refusal}"]

    def _submit(self) -> str:
        """Have sbatch and scancel called for what changed in `worker_spec`; what was refused, or ""."""

        async def settled() -> None:
            await self.cluster

        try:
            self.cluster.sync(settled, callback_timeout=ANSWER_S)
        except (OSError, RuntimeError, ValueError) as error:
            return _words(error)
        return ""


def _squeue() -> dict[str, str]:
    """State of every job of this user, such as "PENDING (Priority)", by its number."""
    command = ["squeue", "--noheader", f"--user={os.getuid()}", "--format=%i|%T|%r"]
    reply = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=True)
    rows = [line.strip().split("|", 2) for line in reply.stdout.splitlines() if line.count("|") >= 2]
    return {job_id: state if reason == "None" else f"{state} ({reason})" for job_id, state, reason in rows}


def _words(error: Exception) -> str:
    """What the program said, in one line."""
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error).partition("stderr:")[2]
    return " ".join((said or str(error) or type(error).__name__).split())
