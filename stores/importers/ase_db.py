"""Databases of ASE (ase.db: .db of SQLite, .json), one record per row.

Labels are the row's own (energy, forces, stress, charges), its key-value pairs, or entries of its `data`, in this
order.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stores.importers.extxyz import FrameKeys, blocks_of
from stores.importers.labelled import Reading

if TYPE_CHECKING:
    import ase

__all__ = ["read_ase_db"]

OWN = ("energy", "free_energy", "forces", "stress", "charges")


def read_ase_db(files: Sequence[Path], keys: FrameKeys) -> Reading:
    """All rows of all databases.

    Raises FileNotFoundError, ValueError with file and row where one cannot be read or lacks a named key.
    """
    reading = Reading(usual_units="eV", keys={}, origin={"format": "ase-db"})
    rows = {str(file): list(_rows(file)) for file in files}
    reading.blocks, reading.keys = blocks_of(rows, keys)
    return reading


def _rows(file: Path) -> Iterator[tuple[str, "ase.Atoms", dict[str, Any]]]:
    from ase.db import connect

    if not file.is_file():
        raise FileNotFoundError(f"{file}: found no file, expected a database of ASE")
    last = 0
    try:
        for row in connect(file, use_lock_file=False).select():
            last = row.id
            own = {key: row.get(key) for key in OWN if row.get(key) is not None}
            yield f"row {row.id}", row.toatoms(), {**row.data, **row.key_value_pairs, **own}
    except Exception as error:  # SQLite, JSON and ASE raise errors of many kinds on damaged files
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise ValueError(
            f"{file}, after row {last}: cannot be read ({type(error).__name__}: {reason}), expected a database of ASE; "
            "the file is damaged or of another format"
        ) from error
