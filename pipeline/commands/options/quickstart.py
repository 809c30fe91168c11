"""What `latentlaw quickstart` is asked: a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.commands.options.declaring import Option, Options

__all__ = ["QuickstartOptions"]


@dataclass(frozen=True, kw_only=True)
class QuickstartOptions(Options):
    """A spectrum, a law and a map in a minute.

    Solves one magnetic impurity and eighty Kondo temperatures by NRG, searches for their formula, and maps synthetic
    micrographs by a pretrained network, in about a minute. Writes report.html and numbers.json to a folder. Small and
    for looking at: the claims of the project are those of the pipeline (`latentlaw repro`).
    """

    seed: Annotated[int, Option("of what is drawn", low=0)] = 0
    out: Annotated[Path, Option("folder to write", metavar="FOLDER", kind="quickstart")] = Path("quickstart")
