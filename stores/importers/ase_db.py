"""Databases of ASE (ase.db: .db of SQLite, .json), one record per row, and its trajectories (.traj), one per frame.

Labels of a row are its own (energy, forces, stress, charges), its key-value pairs, or entries of its `data`, in this
order; those of a frame are results of its calculator, its arrays, or entries of `info`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from stores.importers.extxyz import fill_from_frames, labels_of
from stores.importers.frame_keys import Frame, FrameKeys
from stores.importers.labelled import Reading

__all__ = ["read_ase_db", "read_traj"]


def read_ase_db(files: Sequence[Path], keys: FrameKeys) -> Reading:
    """All rows of all databases.

    Raises FileNotFoundError, ValueError with file and row where one cannot be read or its labels are unclear.
    """
    reading = Reading(usual_units="eV", keys={}, origin={"format": "ase-db"})
    fill_from_frames(reading, {str(file): list(_rows(file)) for file in files}, keys)
    return reading


def read_traj(files: Sequence[Path], keys: FrameKeys) -> Reading:
    """All frames of all trajectories. Raises as `read_ase_db`."""
    reading = Reading(usual_units="eV", keys={}, origin={"format": "traj"})
    fill_from_frames(reading, {str(file): list(_frames(file)) for file in files}, keys)
    return reading


def _rows(file: Path) -> Iterator[Frame]:
    from ase.calculators.calculator import all_properties
    from ase.db import connect

    if not file.is_file():
        raise FileNotFoundError(f"{file}: found no file, expected a database of ASE")
    last = 0
    try:
        for row in connect(file, use_lock_file=False).select():
            last = row.id
            own = {key: row.get(key) for key in all_properties if row.get(key) is not None}
            yield f"row {row.id}", row.toatoms(), {**row.data, **row.key_value_pairs, **own}
    except Exception as error:  # SQLite, JSON and ASE raise errors of many kinds on damaged files
        raise _unreadable(f"{file}, after row {last}", error, "a database of ASE (.db or .json)") from error


def _frames(file: Path) -> Iterator[Frame]:
    from ase.io.trajectory import TrajectoryReader

    if not file.is_file():
        raise FileNotFoundError(f"{file}: found no file, expected a trajectory of ASE")
    index = -1
    try:
        with file.open("rb") as stream, TrajectoryReader(stream) as trajectory:
            for index, atoms in enumerate(trajectory):
                yield f"frame {index}", atoms, labels_of(atoms)
    except Exception as error:  # ASE raises errors of many kinds on damaged files
        raise _unreadable(f"{file}, frame {index + 1}", error, "a trajectory of ASE (.traj)") from error


def _unreadable(where: str, error: Exception, expected: str) -> ValueError:
    reason = (str(error).strip().splitlines() or ["no reason given"])[0]
    return ValueError(
        f"{where}: cannot be read ({type(error).__name__}: {reason}), expected {expected}; the file is damaged, cut "
        "off or of another format"
    )
