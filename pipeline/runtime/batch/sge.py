"""Grid Engine (Sun, Son of, Univa, Open): qsub, qstat, qdel. Its manual pages qsub(1), qstat(1), sge_pe(5), complex(5).

A job of several cores asks for a parallel environment, whose name each site chooses: `smp`, unless the directives name
another (`-pe NAME 8`). Memory is asked for as `mem_free` of each slot. `qstat` tells nothing of jobs that have ended.
"""

import getpass
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.runtime.batch.batch_system import BATCH_SYSTEMS, JobState
from pipeline.runtime.batch.job_settings import JobSettings
from pipeline.runtime.batch.queue_programs import answer_of, submitted

__all__ = ["Sge"]

NUMBER = r"^Your job(-array)? (?P<job_id>\d+)"
WORDS = {
    "qw": "waits in the queue",
    "hqw": "held",
    "r": "running",
    "t": "is moved to its node",
    "Eqw": "refused by its node",
}


@BATCH_SYSTEMS.register("sge")
class Sge:
    title = "SGE"
    programs = ("qsub", "qstat", "qdel")
    directive = "#$"
    array_variable = "SGE_TASK_ID"

    def cluster_class(self) -> Any:  # noqa: ANN401
        from dask_jobqueue.sge import SGECluster, SGEJob

        job = type("Job", (SGEJob,), {"job_id_regexp": f"(?m){NUMBER}"})
        return type("Cluster", (SGECluster,), {"job_cls": job})

    def job_options(self, settings: JobSettings) -> dict[str, Any]:
        named = any(line.startswith("-pe ") for line in settings.directives)
        environment = [f"-pe smp {settings.cores}"] if settings.cores > 1 and not named else []
        megabytes = -(-settings.n_bytes // settings.cores // 10**6)
        return {
            "project": settings.account,
            "walltime": settings.hours,
            "resource_spec": f"mem_free={megabytes}M",
            "job_extra_directives": ["-S /bin/bash", *environment, *settings.directives],
        }

    def array_directives(self, name: str, n_tasks: int, folder: Path) -> list[str]:
        return [f"-N {name}", f"-t 1-{n_tasks}", f"-o {folder}/"]

    def submit(self, script: Path) -> str:
        return submitted(["qsub", str(script)], NUMBER)

    def states(self, numbers: Collection[str]) -> Mapping[str, JobState]:
        rows = [line.split() for line in answer_of(["qstat", "-u", getpass.getuser()]).splitlines()]
        rows = [row for row in rows if len(row) > 4 and row[0] in numbers]
        return {row[0]: JobState(WORDS.get(row[4], row[4]), ending=bool(re.match("d", row[4]))) for row in rows}

    def cancel(self, numbers: Sequence[str]) -> None:
        answer_of(["qdel", *numbers], nothing=("does not exist",))
