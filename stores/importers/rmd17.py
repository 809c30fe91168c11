"""Trajectories of small molecules as npz: revised MD17 and, by its shorter names, MD17.

    rMD17   nuclear_charges (n,)  coords (M, n, 3) [A]  energies (M,) [kcal/mol]  forces (M, n, 3) [kcal/mol/A]
            old_indices (M,): where in the trajectory of MD17 the frame stood
    MD17    z, R, E, F

Frames of rMD17 are shuffled. So that a split does not put one frame into training and its neighbour in time into the
test, the trajectory is cut into blocks of FRAMES_PER_BLOCK frames by `old_indices`, and these blocks are the labels of
groups. Published errors on this set split at random: `--group record` does so.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stores.importers.labelled import Block, Reading

__all__ = ["read_rmd17"]

FRAMES_PER_BLOCK = 100
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
        reading.blocks.append(_block(file, arrays, keys))
        reading.keys = {"energy": keys["energy"], "forces": keys["forces"]}
    return reading


def _load(file: Path) -> dict[str, NDArray[Any]]:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: found no file, expected an npz file of rMD17")
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
            return {name: content[name] for name in content.files if content[name].dtype != object}
    except Exception as error:  # zipfile, zlib and NumPy raise errors of many kinds on damaged files
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise ValueError(
            f"{file}: cannot be read ({type(error).__name__}: {reason}), expected an npz file; it is damaged or cut off"
        ) from error


def _block(file: Path, arrays: dict[str, NDArray[Any]], keys: dict[str, str]) -> Block:
    numbers, positions = arrays[keys["numbers"]].ravel(), arrays[keys["positions"]]
    energies = arrays[keys["energy"]].reshape(-1)
    n_frames, n_atoms = len(energies), len(numbers)
    for what in ("positions", "forces"):
        if arrays[keys[what]].shape != (n_frames, n_atoms, 3):
            raise ValueError(
                f"{file}, key {keys[what]!r}: found shape {arrays[keys[what]].shape}, expected "
                f"{(n_frames, n_atoms, 3)}: {n_frames} energies, {n_atoms} atoms"
            )
    in_time = np.asarray(arrays.get("old_indices", np.arange(n_frames))).reshape(-1)
    if len(in_time) != n_frames:
        raise ValueError(f"{file}, key 'old_indices': found {len(in_time)} numbers, expected {n_frames}")
    block = np.argsort(np.argsort(in_time, kind="stable"), kind="stable") // FRAMES_PER_BLOCK
    return Block(
        file=str(file),
        names=[f"frame {index}" for index in range(n_frames)],
        numbers=np.tile(numbers, n_frames),
        n_atoms=np.full(n_frames, n_atoms),
        positions=positions.reshape(-1, 3),
        energy=energies,
        forces=arrays[keys["forces"]].reshape(-1, 3),
        labels=[f"{file} block {number}" for number in block],
    )
