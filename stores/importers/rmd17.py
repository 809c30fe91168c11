"""Trajectories of small molecules as npz: revised MD17 and, by its shorter names, MD17, sGDML and NequIP.

    rMD17   nuclear_charges (n,)  coords (M, n, 3) [A]  energies (M,) [kcal/mol]  forces (M, n, 3) [kcal/mol/A]
            old_indices (M,): where in the trajectory of MD17 the frame stood
    others  z, R, E, F, in units that the file does not say; MD17 has those of rMD17. Cells are refused, for there is
            no such format of periodic systems

Frames of rMD17 are shuffled. So that a split does not put one frame into training and its neighbour in time into the
test, the trajectory is cut into blocks of FRAMES_PER_BLOCK frames by `old_indices`, and these blocks are the labels of
groups. A file of few frames is cut into shorter blocks, for a split needs some twenty groups. Published errors on this
set split at random: `--group record` does so.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stores.importers.foreign_files import npz_arrays, readable, real_numbers, whole_numbers
from stores.importers.labelled import Block, Reading

__all__ = ["read_rmd17"]

FRAMES_PER_BLOCK = 100
LEAST_BLOCKS = 20
TIME = "old_indices"
NAMES = {
    "numbers": ("nuclear_charges", "z"),
    "positions": ("coords", "R"),
    "energy": ("energies", "E"),
    "forces": ("forces", "F"),
}


def read_rmd17(files: Sequence[Path]) -> Reading:
    """All frames of all files. Raises FileNotFoundError, ValueError with file and key."""
    reading = Reading(usual_units="kcal/mol", keys={}, origin={"format": "rmd17"})
    for file in files:
        arrays = _load(file)
        keys = {what: next((name for name in names if name in arrays), "") for what, names in NAMES.items()}
        if missing := [" or ".join(map(repr, NAMES[what])) for what, key in keys.items() if not key]:
            raise ValueError(
                f"{file}: found the keys {sorted(arrays)}, expected also {', '.join(missing)}; it is no file of rMD17"
            )
        if periodic := sorted({"cell", "lattice", "pbc"} & set(arrays)):
            raise ValueError(f"{file}: found the keys {periodic}, expected open systems; write periodic ones as extxyz")
        reading.units_known &= keys["energy"] == NAMES["energy"][0]
        block = _block(file, arrays, keys, reading)
        reading.blocks.append(block)
        reading.keys = {"energy": keys["energy"], "forces": keys["forces"]}
        for key in sorted(set(arrays) - {*keys.values(), TIME}):
            reading.ignored[key] = reading.ignored.get(key, 0) + len(block.names)
    return reading


def _load(file: Path) -> dict[str, NDArray[Any]]:
    cure = "it is of another format, damaged or cut off"
    with readable(file, "an npz file of numbers", lambda: str(file), cure):
        return npz_arrays(file)


def _block(file: Path, arrays: dict[str, NDArray[Any]], keys: dict[str, str], reading: Reading) -> Block:
    numbers = whole_numbers(arrays[keys["numbers"]], f"{file}, key {keys['numbers']!r}").ravel()
    energies = real_numbers(arrays[keys["energy"]], f"{file}, key {keys['energy']!r}").ravel()
    n_frames, n_atoms = len(energies), len(numbers)
    if not n_frames or not n_atoms:
        raise ValueError(f"{file}: found {n_frames} energies and {n_atoms} atoms, expected some of both")
    per_atom = {}
    for what in ("positions", "forces"):
        per_atom[what] = real_numbers(arrays[keys[what]], f"{file}, key {keys[what]!r}")
        if per_atom[what].shape != (n_frames, n_atoms, 3):
            raise ValueError(
                f"{file}, key {keys[what]!r}: found shape {per_atom[what].shape}, expected "
                f"{(n_frames, n_atoms, 3)}: {n_frames} energies, {n_atoms} atoms"
            )
    in_time = whole_numbers(arrays.get(TIME, np.arange(n_frames)), f"{file}, key {TIME!r}").ravel()
    if len(in_time) != n_frames:
        raise ValueError(f"{file}, key {TIME!r}: found {len(in_time)} numbers, expected {n_frames}")
    length = min(FRAMES_PER_BLOCK, max(1, n_frames // LEAST_BLOCKS))
    reading.notes.append(f"note: {file}: frames are grouped in blocks of {length} that follow each other in time")
    block = np.argsort(np.argsort(in_time, kind="stable"), kind="stable") // length
    return Block(
        file=str(file),
        names=[f"frame {index}" for index in range(n_frames)],
        numbers=np.tile(numbers, n_frames),
        n_atoms=np.full(n_frames, n_atoms),
        positions=per_atom["positions"].reshape(-1, 3),
        energy=energies,
        forces=per_atom["forces"].reshape(-1, 3),
        labels=[f"{file} block {number}" for number in block],
    )
