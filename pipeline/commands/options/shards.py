"""What the commands about shards that workers claim are asked: work, status."""

from dataclasses import dataclass
from typing import Annotated

from pipeline.commands.options.declaring import Option, Options

__all__ = ["StatusOptions", "WorkOptions"]


@dataclass(frozen=True, kw_only=True)
class WorkOptions(Options):
    """Make shards of a stage, beside other workers.

    Shards are claimed through files in the scratch folder, so any number of these may run, on all machines that see it.
    Ends when no shard is left; `latentlaw repro` then puts the store together.
    """

    stage: Annotated[str, Option("that is made in shards, such as spectra", argument=True, metavar="STAGE")]
    workers: Annotated[int | None, Option("processes here", low=1, unset="one per core")] = None
    minutes: Annotated[float | None, Option("take no shard that would end later", above=0, unset="no limit")] = None
    expect: Annotated[str, Option("refuse to make anything but this key, which `submit` writes", metavar="KEY")] = ""
    expires: Annotated[
        float, Option("a worker that gives no sign of life for so long counts as dead", unit="s", low=1)
    ] = 120.0


@dataclass(frozen=True, kw_only=True)
class StatusOptions(Options):
    """Say how far the shards of a stage are.

    Done, running, failed with the reasons, how fast, time left.
    """

    stage: Annotated[str, Option("that is made in shards, such as spectra", argument=True, metavar="STAGE")]
    retry: Annotated[bool, Option("forget failures, so that workers try these shards again")] = False
    json: Annotated[bool, Option("as JSON")] = False
