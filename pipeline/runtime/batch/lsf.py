"""IBM Spectrum LSF: bsub, bjobs, bkill. Its documentation, version 10.1.0, command reference and "bjobs -o"."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from pipeline.runtime.batch.batch_system import BATCH_SYSTEMS, JobState
from pipeline.runtime.batch.job_settings import JobSettings
from pipeline.runtime.batch.queue_programs import answer_of, submitted

__all__ = ["Lsf"]

NUMBER = r"^Job <(?P<job_id>\d+)>"
FIELDS = "jobid stat exit_reason pend_reason delimiter='|'"
NOTHING = ("No job found", "No unfinished job found", "is not found", "Job has already finished")
# The first words of `exit_reason`; what a task may be blamed for, such as TERM_MEMLIMIT, is not among them.
BLAMELESS = ("RUNLIMIT", "OWNER", "ADMIN", "PREEMPT", "LOAD", "WINDOW", "FORCE_", "REQUEUE_")


@BATCH_SYSTEMS.register("lsf")
class Lsf:
    title = "LSF"
    programs = ("bsub", "bjobs", "bkill")
    directive = "#BSUB"
    array_variable = "LSB_JOBINDEX"

    def cluster_class(self) -> Any:  # noqa: ANN401
        from dask_jobqueue.lsf import LSFCluster, LSFJob

        async def submit_job(job: Any, script: str) -> str:  # noqa: ANN401
            """As dask-jobqueue does it, which throws the message of a refusal away."""
            return str(await job._call([f"{job.submit_command} < {quote(script)}"], shell=True))

        job = type("Job", (LSFJob,), {"job_id_regexp": f"(?m){NUMBER}", "_submit_job": submit_job})
        return type("Cluster", (LSFCluster,), {"job_cls": job})

    def job_options(self, settings: JobSettings) -> dict[str, Any]:
        """LSF reads hours:minutes where the others read minutes:seconds; seconds are rounded up."""
        minutes = -(-int(settings.life.total_seconds()) // 60)
        return {"project": settings.account, "walltime": f"{minutes // 60:02d}:{minutes % 60:02d}"}

    def array_directives(self, name: str, n_tasks: int, folder: Path) -> list[str]:
        return [f'-J "{name}[1-{n_tasks}]"', f'-o "{folder}/%J_%I.out"']

    def submit(self, script: Path) -> str:
        return submitted(["bsub"], NUMBER, script=script)

    def states(self, numbers: Collection[str]) -> Mapping[str, JobState]:
        """Those that ended within the last hour (CLEAN_PERIOD) are told too."""
        if not numbers:
            return {}
        answer = answer_of(["bjobs", "-a", "-noheader", "-o", FIELDS, *sorted(numbers)], nothing=NOTHING)
        rows = [line.strip().split("|", 3) for line in answer.splitlines() if line.count("|") >= 3]
        return {number: _state(*fields) for number, *fields in rows if number in numbers}

    def cancel(self, numbers: Sequence[str]) -> None:
        answer_of(["bkill", *numbers], nothing=NOTHING)


def _state(state: str, exit_reason: str, pend_reason: str) -> JobState:
    reason = next((reason for reason in (exit_reason, pend_reason) if reason.strip("- ")), "")
    blameless = any(exit_reason.startswith(f"TERM_{word}") for word in BLAMELESS)
    return JobState(f"{state} ({reason})" if reason else state, ended=state in ("DONE", "EXIT"), blameless=blameless)
