"""QM9, as the package qm9pack holds it; see stores.importers.qm9."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pipeline.commands.importers.importer import importer, store_labels
from pipeline.commands.options.datasets import LabelOptions, Level
from pipeline.commands.options.declaring import Option

__all__ = ["QM9Options"]


@dataclass(frozen=True, kw_only=True)
class QM9Options(LabelOptions):
    """QM9 from the package qm9pack."""

    folder: Annotated[
        Path | None,
        Option("with qm9_part*.csv", argument=True, metavar="FOLDER", read=True, unset="the package"),
    ] = None
    energy: Annotated[Literal["U0", "U", "H", "G", "electronic"], Option("which of the table")] = "U0"
    n_molecules: Annotated[int | None, Option("drawn at random", metavar="N", low=1, unset="all")] = None
    seed: Annotated[int, Option("of the draw", low=0)] = 0
    level: Level = "B3LYP/6-31G(2df,p)"


@importer("qm9", QM9Options)
def qm9(options: QM9Options) -> None:
    from pipeline.atoms.reference_choice import references_by
    from stores.importers.qm9 import find_tables, read_qm9

    tables = find_tables(options.folder)
    reading = read_qm9(tables, energy=options.energy, n_molecules=options.n_molecules, seed=options.seed)
    store_labels(reading, options, references_by(options.references, energy=options.energy))
