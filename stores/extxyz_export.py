"""Frames of an atoms store as extended XYZ, for ASE and trainers of potentials.

    comment line   Lattice, pbc, energy [eV], stress [eV/A^3] (nine numbers, positive under tension), row, group, source
    columns        species, pos [A], forces [eV/A], charges [e]

These are the names that ASE knows as results of a calculator. What no frame has is left out, and so are frames without
labels (status 1). ASE's own writer rounds positions and forces to eight decimals: here numbers have all their digits,
so that what is read back is the frame to the bit.
"""

import gzip
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from models.frames import Frames
from stores.atoms import ATOMS, frames_of
from stores.outcome import OK
from stores.sample_keys import KEYS, blocks_of_rows

__all__ = ["write_extxyz"]

BLOCK_BYTES = 8 * 1024 * 1024


def write_extxyz(dataset: xr.Dataset, file: Path, large_bytes: int) -> Path | None:
    """Write the labelled frames to `file`, to `file`.gz where they take more than `large_bytes`; None: there are none.

    Memory holds a block of frames, whatever the size of the store.
    """
    rows = np.flatnonzero(dataset["status"].values == OK)
    if not rows.size:
        return None
    names = [variable.name for variable in ATOMS.variables]
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        for block in blocks_of_rows(dataset, KEYS["atoms"], names, rows, BLOCK_BYTES):
            first, stop = int(block[0]), int(block[-1]) + 1
            n_atoms, first_atom = dataset["n_atoms"].values[first:stop], dataset["first_atom"].values[first:stop]
            atoms = slice(int(first_atom[0]), int(first_atom[-1] + n_atoms[-1]))
            part = dataset.isel(config=slice(first, stop), atom=atoms).load()
            frames = frames_of(part)
            for row in block:
                stream.write(_text(frames[int(row) - first], int(row)))
    if file.stat().st_size <= large_bytes:
        return file
    packed = file.with_name(f"{file.name}.gz")
    with (
        file.open("rb") as source,
        packed.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as target,
    ):
        shutil.copyfileobj(source, target)
    file.unlink()
    return packed


def _text(frame: Frames, row: int) -> str:
    """The lines of one frame."""
    from ase.data import chemical_symbols
    from ase.io.extxyz import key_val_dict_to_str

    columns = {"pos:R:3": frame.positions_A, "forces:R:3": frame.forces_eV_A, "charges:R:1": frame.charges_e}
    given = {name: np.atleast_2d(values.T).T for name, values in columns.items() if not np.isnan(values).all()}
    info: dict[str, Any] = {}
    if (cell := frame.cell_A) is not None:
        info["Lattice"] = " ".join(map(repr, cell.ravel().tolist()))
    info["Properties"] = ":".join(["species:S:1", *given])
    info["pbc"] = frame.pbc[0]
    if not np.isnan(frame.energy_eV):
        info["energy"] = float(frame.energy_eV)
    if (stress := frame.stress_eV_A3) is not None:
        info["stress"] = " ".join(map(repr, stress.ravel().tolist()))
    source = str(frame.source).replace("\\", "\\\\")  # ASE escapes quotes alone
    info |= {"row": row, "group": int(frame.group), "source": source}
    lines = io.StringIO()
    lines.write(f"{len(frame.numbers)}\n{key_val_dict_to_str(info)}\n")
    numbers = np.concatenate(list(given.values()), axis=1).tolist()
    for number, cells in zip(frame.numbers, numbers, strict=True):
        lines.write(" ".join([chemical_symbols[number], *map(repr, cells)]) + "\n")
    return lines.getvalue()
