"""The contract of a batch system: what a file of this folder says about one kind of queue.

    @BATCH_SYSTEMS.register("slurm")
    class Slurm: ...                        # fulfils BatchSystem; without settings of its own

All take the same settings, `JobSettings`. The heads of their scripts are those of dask-jobqueue.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from models.registry import Registry
from pipeline.runtime.batch.job_settings import JobSettings

__all__ = ["BATCH_SYSTEMS", "BatchSystem", "JobState"]


@dataclass(frozen=True)
class JobState:
    """What the queue says of a job. `blameless`: it ended for a reason outside of its tasks, such as its walltime."""

    words: str  # such as "PENDING (Priority)"
    ended: bool = False
    blameless: bool = False
    ending: bool = False  # neither working any more nor ended


class BatchSystem(Protocol):
    """One kind of queue. Its programs run where they are called: on a node that submits jobs."""

    title: ClassVar[str]  # as it is called: "SLURM"
    programs: ClassVar[tuple[str, ...]]  # that must be on the PATH
    directive: ClassVar[str]  # how a line of the head of a script begins: "#SBATCH"
    array_variable: ClassVar[str]  # holds the index in a task of an array, from 1 on

    def cluster_class(self) -> Any:  # noqa: ANN401 - dask_jobqueue has no types
        """The class of dask-jobqueue, which reads the number of a job as `submit` does and loses no message."""
        ...

    def job_options(self, settings: JobSettings) -> dict[str, Any]:
        """These settings as keywords of that class, but those that are the same for all."""
        ...

    def array_directives(self, name: str, n_tasks: int, folder: Path) -> list[str]:
        """Lines of the head, without `directive`: an array of this name, its output in files of the folder."""
        ...

    def submit(self, script: Path) -> str:
        """The number of the new job. Raises JobRefused with the words of the queue, once."""
        ...

    def states(self, numbers: Collection[str]) -> Mapping[str, JobState]:
        """What the queue knows of these jobs; one that is missing has ended. Raises QueueSilent."""
        ...

    def cancel(self, numbers: Sequence[str]) -> None:
        """End jobs; those that have ended are passed over. Raises QueueSilent."""
        ...


BATCH_SYSTEMS = Registry[BatchSystem]("batch system", package="pipeline.runtime.batch")
