"""What `latentlaw submit` is asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.commands.options.declaring import Option, Options

__all__ = ["SYSTEMS", "SubmitOptions"]


class Systems:
    """Where workers without a driver can be sent: the batch systems, and Kubernetes."""

    def names(self) -> list[str]:
        from pipeline.runtime.batch.batch_system import BATCH_SYSTEMS  # only where it is needed

        return sorted([*BATCH_SYSTEMS.names(), "kubernetes"])


SYSTEMS = Systems()


@dataclass(frozen=True, kw_only=True)
class SubmitOptions(Options):
    """Send workers to a cluster, without a driver.

    Writes the script of an array of jobs to .cache/jobs/STAGE and submits it; each runs `latentlaw work STAGE` until no
    work is left. What a job asks for stands in local.yaml, section jobs.
    """

    stage: Annotated[str, Option("that is made in shards, such as spectra", argument=True, metavar="STAGE")]
    array: Annotated[int, Option("jobs", low=1, metavar="N")]
    system: Annotated[
        str | None,
        Option(
            "kind of cluster: slurm, pbs, lsf, sge, kubernetes",
            names="pipeline.commands.options.submit:SYSTEMS",
            unset="the scheduler of local.yaml",
        ),
    ] = None
    dry_run: Annotated[bool, Option("write and print the script, do not submit it")] = False

    def problems(self) -> list[str]:
        from pipeline.runtime.claimed_work import stages_made_in_shards

        if not Path("dvc.yaml").is_file():
            return ["found no dvc.yaml here, expected the top folder of the clone; go there first"]
        if self.stage not in (stages := stages_made_in_shards(Path.cwd())):
            return [f"STAGE: found {self.stage!r}, expected one that is made in shards: {', '.join(stages)}"]
        return []
