"""HDF5 files of the ANI family: ANI-1x, COMP6, ANI-Al and what pyanitools wrote, one record per conformation.

A group with atoms and coordinates holds all conformations of one molecule or one size of cell:

    atoms         atomic_numbers (n,)   or species (n,) of symbols, or species (M, n) of numbers with 0 as padding
    coordinates   coordinates (M, n, 3) [A]
    energies      wb97x_dz.energy, energies, energy (M,) [Hartree]
    forces        wb97x_dz.forces, forces, force (M, n, 3) [Hartree/A]
    cell          cell (M, 3, 3) [A], of periodic systems

ANI-1x marks levels that were not computed by NaN: conformations without a label at the chosen level are left out and
counted. The group of the file says what belongs together.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stores.importers.labelled import Block, Reading

__all__ = ["read_ani_h5"]

ATOMS = ("atomic_numbers", "species")
USUAL = {"energy": ("wb97x_dz.energy", "energies", "energy"), "forces": ("wb97x_dz.forces", "forces", "force")}
N_TOLD = 12


def read_ani_h5(files: Sequence[Path], *, energy_key: str | None = None, force_key: str | None = None) -> Reading:
    """All conformations of all groups.

    Without keys, the usual ones are looked for; forces may be missing. Raises FileNotFoundError, ValueError with file,
    group and key.
    """
    try:
        import h5py
    except ModuleNotFoundError:
        raise ValueError("ani-h5: found no package h5py, expected it installed; run `pip install h5py`") from None
    reading = Reading(usual_units="Ha", keys={}, origin={"format": "ani-h5"})
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file}: found no file, expected an HDF5 file")
        n_before = len(reading.blocks)
        group = "/"
        try:
            with h5py.File(file, "r") as content:
                for group, datasets in _leaves(content):
                    keys = _keys(file, group, datasets, {"energy": energy_key, "forces": force_key})
                    reading.keys |= keys
                    reading.blocks.append(_block(file, group, datasets, keys, reading))
        except (OSError, RuntimeError, KeyError) as error:
            reason = (str(error).strip().splitlines() or ["no reason given"])[0]
            raise ValueError(
                f"{file}, group {group!r}: cannot be read ({type(error).__name__}: {reason}), expected an HDF5 file; "
                "it is damaged or cut off"
            ) from error
        if len(reading.blocks) == n_before:
            raise ValueError(f"{file}: found no group with 'coordinates' and one of {ATOMS}, expected some")
    return reading


def _leaves(group: Any) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401 - h5py has no types
    """Path and datasets of every group with atoms and coordinates, in the order of names."""
    import h5py

    datasets = {name: item for name, item in group.items() if isinstance(item, h5py.Dataset)}
    if "coordinates" in datasets and any(name in datasets for name in ATOMS):
        yield group.name, datasets
    for name in sorted(group):
        if isinstance(group[name], h5py.Group):
            yield from _leaves(group[name])


def _keys(file: Path, group: str, datasets: Mapping[str, Any], named: Mapping[str, str | None]) -> dict[str, str]:
    keys = {}
    for label, key in named.items():
        there = [name for name in ([key] if key else USUAL[label]) if name in datasets]
        if there:
            keys[label] = there[0]
        elif key or label == "energy":
            told = ", ".join(sorted(datasets)[:N_TOLD])
            raise ValueError(
                f"{file}, group {group!r}: found no key {key or ' or '.join(USUAL[label])!r} for {label}; the keys "
                f"there are: {told}. Name one of them"
            )
    return keys


def _block(file: Path, group: str, datasets: Mapping[str, Any], keys: Mapping[str, str], reading: Reading) -> Block:
    positions = np.asarray(datasets["coordinates"][()], dtype=np.float64)
    if positions.ndim != 3 or positions.shape[2] != 3:
        raise ValueError(
            f"{file}, group {group!r}, key 'coordinates': found shape {positions.shape}, expected (conformations, "
            "atoms, 3)"
        )
    n_rows, width = positions.shape[:2]
    numbers = _numbers(file, group, datasets, n_rows, width)  # (n_rows, width), 0 where padded
    shapes = {"energy": (n_rows,), "forces": (n_rows, width, 3), "cell": (n_rows, 3, 3)}
    labels: dict[str, NDArray[np.float64]] = {}
    for label, key in {**keys, **({"cell": "cell"} if "cell" in datasets else {})}.items():
        values = np.asarray(datasets[key][()], dtype=np.float64)
        if values.size != np.prod(shapes[label]):
            raise ValueError(
                f"{file}, group {group!r}, key {key!r}: found shape {values.shape}, expected {shapes[label]}, for "
                f"coordinates have {n_rows} conformations of {width} atoms"
            )
        labels[label] = values.reshape(shapes[label])
    real = numbers > 0
    missing = np.isnan(labels["energy"])
    if "forces" in labels:
        missing |= (np.isnan(labels["forces"]) & real[:, :, None]).any(axis=(1, 2))
    names = [f"group {group}, conformation {row}" for row in range(n_rows)]
    told = " or ".join(repr(key) for key in keys.values())
    reading.leave_out(f"NaN in {told}: not computed", [f"{file}, {names[row]}" for row in np.flatnonzero(missing)])
    kept = np.flatnonzero(~missing)
    real = real[kept]
    return Block(
        file=str(file),
        names=[names[row] for row in kept],
        numbers=numbers[kept][real],
        n_atoms=real.sum(axis=1),
        positions=positions[kept][real],
        cell=labels["cell"][kept] if "cell" in labels else None,
        energy=labels["energy"][kept],
        forces=labels["forces"][kept][real] if "forces" in labels else None,
        labels=[f"{file} {group}"] * len(kept),
    )


def _numbers(file: Path, group: str, datasets: Mapping[str, Any], n_rows: int, width: int) -> NDArray[np.int64]:
    from ase.data import atomic_numbers

    key = next(name for name in ATOMS if name in datasets)
    told = np.asarray(datasets[key][()])
    if told.dtype.kind in "SOU":
        words = [word.decode() if isinstance(word, bytes) else str(word) for word in told.ravel().tolist()]
        if unknown := sorted({word for word in words if word not in atomic_numbers}):
            raise ValueError(f"{file}, group {group!r}, key {key!r}: found the elements {unknown}, expected symbols")
        told = np.array([atomic_numbers[word] for word in words], dtype=np.int64).reshape(told.shape)
    if told.shape not in ((width,), (n_rows, width)):
        raise ValueError(
            f"{file}, group {group!r}, key {key!r}: found shape {told.shape}, expected {(width,)}, for coordinates "
            f"have {width} atoms"
        )
    return np.broadcast_to(told.astype(np.int64), (n_rows, width))
