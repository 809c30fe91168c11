"""SLURM: sbatch, squeue, scancel. https://slurm.schedmd.com/squeue.html, section job state codes."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.runtime.batch.batch_system import BATCH_SYSTEMS, JobState
from pipeline.runtime.batch.job_settings import JobSettings
from pipeline.runtime.batch.queue_programs import answer_of, submitted

__all__ = ["Slurm"]

NUMBER = r"^Submitted batch job (?P<job_id>\d+)"
BLAMELESS = {"TIMEOUT", "CANCELLED", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "REVOKED"}
ENDED = BLAMELESS | {"COMPLETED", "FAILED", "OUT_OF_MEMORY"}


@BATCH_SYSTEMS.register("slurm")
class Slurm:
    title = "SLURM"
    programs = ("sbatch", "squeue", "scancel")
    directive = "#SBATCH"
    array_variable = "SLURM_ARRAY_TASK_ID"

    def cluster_class(self) -> Any:  # noqa: ANN401
        from dask_jobqueue.slurm import SLURMCluster, SLURMJob

        job = type("Job", (SLURMJob,), {"job_id_regexp": f"(?m){NUMBER}"})
        return type("Cluster", (SLURMCluster,), {"job_cls": job})

    def job_options(self, settings: JobSettings) -> dict[str, Any]:
        return {"account": settings.account, "walltime": settings.walltime}

    def array_directives(self, name: str, n_tasks: int, folder: Path) -> list[str]:
        return [f"--job-name={name}", f"--array=1-{n_tasks}", f"--output={folder}/%A_%a.out"]

    def submit(self, script: Path) -> str:
        return submitted(["sbatch", str(script)], NUMBER)

    def states(self, numbers: Collection[str]) -> Mapping[str, JobState]:
        """Those that ended some minutes ago (MinJobAge) are told too."""
        command = ["squeue", "--noheader", "--states=all", f"--user={os.getuid()}", "--format=%i|%T|%r"]
        rows = [line.strip().split("|", 2) for line in answer_of(command).splitlines() if line.count("|") >= 2]
        return {number: _state(state, reason) for number, state, reason in rows if number in numbers}

    def cancel(self, numbers: Sequence[str]) -> None:
        answer_of(["scancel", *numbers], nothing=("Invalid job id", "already completed"))


def _state(state: str, reason: str) -> JobState:
    words = state if reason == "None" else f"{state} ({reason})"
    return JobState(words, ended=state in ENDED, blameless=state in BLAMELESS, ending=state == "COMPLETING")
