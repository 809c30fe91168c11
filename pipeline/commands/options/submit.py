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

    stage: Annotated[str, Option("of dvc.yaml, such as spectra", argument=True, metavar="STAGE")]
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
        from pipeline.runtime.content_key import DAGS, stages_of

        if missing := [dag for dag in DAGS if not Path(dag).is_file()]:
            return [f"found no {' and '.join(missing)} here, expected the top folder of the clone; go there first"]
        stages = [stage for dag in DAGS for stage in stages_of(Path(dag))]
        if self.stage not in stages:
            return [f"STAGE: found {self.stage!r}, expected one of {', '.join(stages)}"]
        return []
