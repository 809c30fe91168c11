"""PBS Professional and OpenPBS: qsub, qstat, qdel. Altair PBS Professional 2022.1, reference guide.

Why a job ended is told where the server keeps its history (job_history_enable): Exit_status of a job that was killed
for its walltime is -29, by a signal 256 + signal.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.runtime.batch.batch_system import BATCH_SYSTEMS, JobState
from pipeline.runtime.batch.job_settings import JobSettings
from pipeline.runtime.batch.queue_programs import answer_of, submitted

__all__ = ["Pbs"]

NUMBER = r"^(?P<job_id>\d+(\[\])?)(\.\S+)?$"
WORDS = {"Q": "queued", "R": "running", "H": "held", "W": "waits for its time", "S": "suspended", "T": "moves"}
WORDS |= {"E": "ends", "F": "ended", "X": "ended", "B": "array has begun", "U": "suspended", "M": "moved", "C": "ended"}
WALLTIME_EXCEEDED = -29
TERMINATED = 256 + 15  # by qdel, or by the walltime on older servers
UNKNOWN = ("Unknown Job Id", "has finished", "Job has finished")


@BATCH_SYSTEMS.register("pbs")
class Pbs:
    title = "PBS"
    programs = ("qsub", "qstat", "qdel")
    directive = "#PBS"
    array_variable = "PBS_ARRAY_INDEX"

    def cluster_class(self) -> Any:  # noqa: ANN401
        from dask_jobqueue.pbs import PBSCluster, PBSJob

        job = type("Job", (PBSJob,), {"job_id_regexp": f"(?m){NUMBER}"})
        return type("Cluster", (PBSCluster,), {"job_cls": job})

    def job_options(self, settings: JobSettings) -> dict[str, Any]:
        return {"account": settings.account, "walltime": settings.hours}

    def array_directives(self, name: str, n_tasks: int, folder: Path) -> list[str]:
        array = [f"-J 1-{n_tasks}"] if n_tasks > 1 else []  # qsub refuses an array of one
        return [f"-N {name}", *array, "-j oe", f"-o {folder}/"]

    def submit(self, script: Path) -> str:
        return submitted(["qsub", str(script)], NUMBER)

    def states(self, numbers: Collection[str]) -> Mapping[str, JobState]:
        if not numbers:
            return {}
        answer = answer_of(["qstat", "-x", "-f", *sorted(numbers)], nothing=UNKNOWN)
        states = {}
        for block in re.split(r"^Job Id: ", answer, flags=re.MULTILINE)[1:]:
            fields = dict(re.findall(r"^\s+(\w+) = (.*)$", block, re.MULTILINE))
            states[block.partition(".")[0].strip()] = _state(fields)
        return {number: state for number, state in states.items() if number in numbers}

    def cancel(self, numbers: Sequence[str]) -> None:
        answer_of(["qdel", *numbers], nothing=UNKNOWN)


def _state(fields: Mapping[str, str]) -> JobState:
    letter, status = fields.get("job_state", "?"), fields.get("Exit_status", "")
    ended = letter in ("F", "X", "C", "M")
    reason = f"exit status {status}" if ended and status else fields.get("comment", "")
    words = WORDS.get(letter, letter)
    return JobState(
        f"{words} ({reason})" if reason else words,
        ended=ended,
        blameless=ended and status in (str(WALLTIME_EXCEEDED), str(TERMINATED)),
        ending=letter == "E",
    )
