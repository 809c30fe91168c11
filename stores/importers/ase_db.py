"""Databases of ASE (ase.db: .db of SQLite, .json), one record per row, and its trajectories (.traj), one per frame.

Labels of a row are its own (energy, forces, stress, charges), its key-value pairs, or entries of its `data`, in this
order; those of a frame are results of its calculator, its arrays, or entries of `info`.
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from stores.importers.extxyz import fill_from_frames, frame_of
from stores.importers.foreign_files import readable
from stores.importers.frame_keys import Frame, FrameKeys
from stores.importers.labelled import Reading

__all__ = ["read_ase_db", "read_traj"]

N_ROWS = 1000
CURE = "the file is damaged, cut off or of another format"


def read_ase_db(files: Sequence[Path], keys: FrameKeys) -> Reading:
    """All rows of all databases.

    Raises FileNotFoundError, ValueError with file and row where one cannot be read or its labels are unclear.
    """
    reading = Reading(usual_units="eV", keys={}, origin={"format": "ase-db"})
    fill_from_frames(reading, files, _rows, keys)
    return reading


def read_traj(files: Sequence[Path], keys: FrameKeys) -> Reading:
    """All frames of all trajectories. Raises as `read_ase_db`."""
    reading = Reading(usual_units="eV", keys={}, origin={"format": "traj"})
    fill_from_frames(reading, files, _frames, keys)
    return reading


def _rows(file: Path) -> Iterator[Frame]:
    from ase.calculators.calculator import all_properties
    from ase.db import connect

    last = 0
    with readable(file, "a database of ASE (.db or .json)", lambda: f"{file}, after row {last}", CURE):
        database = connect(file, use_lock_file=False)
        limit = None if file.suffix == ".json" else N_ROWS  # each time JSON is read as a whole, SQL by rows
        while rows := list(database.select(f"id>{last}", sort="id", limit=limit)):
            for row in rows:
                last = row.id
                results = {key: row.get(key) for key in all_properties if row.get(key) is not None}
                yield frame_of(f"row {row.id}", row.toatoms(), {**row.data, **row.key_value_pairs, **results})


def _frames(file: Path) -> Iterator[Frame]:
    from ase.io.trajectory import TrajectoryReader

    index = -1
    with (
        readable(file, "a trajectory of ASE (.traj)", lambda: f"{file}, frame {index + 1}", CURE),
        io.BytesIO(file.read_bytes()) as stream,  # what a header claims is not asked for, as of a file on disk
        TrajectoryReader(stream) as trajectory,
    ):
        for index, atoms in enumerate(trajectory):
            yield frame_of(f"frame {index}", atoms)
