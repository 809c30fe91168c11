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

from stores.importers.foreign_files import (
    own_members,
    readable,
    real_numbers,
    require_held,
    require_room,
    whole_numbers,
)
from stores.importers.labelled import Block, Reading

__all__ = ["read_ani_h5"]

ATOMS = ("atomic_numbers", "species")
USUAL = {"energy": ("wb97x_dz.energy", "energies", "energy"), "forces": ("wb97x_dz.forces", "forces", "force")}
N_SHOWN = 12


def read_ani_h5(files: Sequence[Path], *, energy_key: str | None = None, force_key: str | None = None) -> Reading:
    """All conformations of all groups.

    Without keys, the usual ones are looked for; forces may be missing. Raises FileNotFoundError, ValueError with file,
    group and key.
    """
    named = {"energy": energy_key, "forces": force_key}
    reading = Reading(usual_units="Ha", keys={}, origin={"format": "ani-h5"})
    reading.named = frozenset({"energy"} | {label for label, key in named.items() if key})
    seen = ("", "", dict[str, Any]())
    for file in files:
        n_before = len(reading.blocks)
        for group, arrays in _groups(file, named):
            keys = _keys(arrays, named)
            seen = (str(file), group, arrays) if not seen[0] or len(arrays) > len(seen[2]) else seen
            reading.keys |= keys
            block = _block(file, group, arrays, keys, reading)
            reading.blocks.append(block)
            for key in sorted(set(arrays) - {*keys.values(), *ATOMS, "coordinates", "cell"}):
                reading.ignored[key] = reading.ignored.get(key, 0) + len(block.names)
        if len(reading.blocks) == n_before:
            raise ValueError(f"{file}: found no group with 'coordinates' and one of {ATOMS}, expected some")
    for label in sorted(reading.named - set(reading.keys)):
        listed = ", ".join(sorted(seen[2])[:N_SHOWN])
        raise ValueError(
            f"{seen[0]}, group {seen[1]!r}: found no key {named[label] or ' or '.join(USUAL[label])!r} for {label}; "
            f"the keys there are: {listed}. Name one of them"
        )
    return reading


def _groups(file: Path, named: Mapping[str, str | None]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path of every group with atoms and coordinates, and what it holds: arrays of the labels, None for the rest."""
    try:
        import h5py
    except ModuleNotFoundError:
        raise ValueError("ani-h5: found no package h5py, expected it installed; run `pip install h5py`") from None
    group = "/"
    with (
        readable(file, "an HDF5 file", lambda: f"{file}, group {group!r}"),
        h5py.File(file, "r") as content,
    ):
        for group, datasets in _leaves(content):
            wanted = {"coordinates", "cell", *ATOMS, *_keys(datasets, named).values()}
            for name, item in datasets.items():
                if name in wanted:
                    require_held(f"key {name!r}", item.nbytes or 0, item.id.get_storage_size())
                    require_room(f"key {name!r}", item.nbytes or 0)
            yield _text(group), {_text(name): item[()] if name in wanted else None for name, item in datasets.items()}


def _text(name: str | bytes) -> str:
    """Names that are no UTF-8 come as bytes."""
    return name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")


def _leaves(content: Any) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401 - h5py has no types
    """Path and datasets of every group with atoms and coordinates, in the order of names."""
    import h5py

    groups = [content]  # every object once, however many links lead to it
    content.visititems(lambda _, item: groups.append(item) if isinstance(item, h5py.Group) else None)
    for group in groups:
        datasets = {name: item for name, item in own_members(group).items() if isinstance(item, h5py.Dataset)}
        if "coordinates" in datasets and any(name in datasets for name in ATOMS):
            yield group.name, datasets


def _keys(datasets: Mapping[str, Any], named: Mapping[str, str | None]) -> dict[str, str]:
    """Label -> key, of the labels that are there."""
    present = {
        label: [name for name in ([key] if key else USUAL[label]) if name in datasets] for label, key in named.items()
    }
    return {label: names[0] for label, names in present.items() if names}


def _block(file: Path, group: str, arrays: Mapping[str, Any], keys: Mapping[str, str], reading: Reading) -> Block:
    def where(key: str) -> str:
        return f"{file}, group {group!r}, key {key!r}"

    positions = real_numbers(arrays["coordinates"], where("coordinates"))
    if positions.ndim != 3 or positions.shape[2] != 3 or not positions.size:
        raise ValueError(
            f"{where('coordinates')}: found shape {positions.shape}, expected (conformations, atoms, 3), some of both"
        )
    n_rows, width = positions.shape[:2]
    key = next(name for name in ATOMS if name in arrays)
    numbers = _numbers(where(key), arrays[key], n_rows, width)  # (n_rows, width), 0 where padded
    shapes = {"energy": (n_rows,), "forces": (n_rows, width, 3), "cell": (n_rows, 3, 3)}
    labels: dict[str, NDArray[np.float64]] = {}
    for label, key in {**keys, **({"cell": "cell"} if "cell" in arrays else {})}.items():
        values = real_numbers(arrays[key], where(key))
        if values.size != np.prod(shapes[label]):
            raise ValueError(
                f"{where(key)}: found shape {values.shape}, expected {shapes[label]}, for coordinates have {n_rows} "
                f"conformations of {width} atoms"
            )
        labels[label] = values.reshape(shapes[label])
    real = numbers != 0
    missing = ~real.any(axis=1)
    reading.leave_out("no atoms, all padding", [f"{file}, {name}" for name in _names(group, np.flatnonzero(missing))])
    not_computed = np.isnan(labels["energy"]) if "energy" in labels else np.zeros(n_rows, dtype=bool)
    if "forces" in labels:
        not_computed |= (np.isnan(labels["forces"]) & real[:, :, None]).any(axis=(1, 2))
    not_computed &= ~missing
    names = " or ".join(repr(key) for key in keys.values())
    left = _names(group, np.flatnonzero(not_computed))
    reading.leave_out(f"NaN in {names}: not computed", [f"{file}, {name}" for name in left])
    kept = np.flatnonzero(~(missing | not_computed))
    real = real[kept]
    return Block(
        file=str(file),
        names=_names(group, kept),
        numbers=numbers[kept][real],
        n_atoms=real.sum(axis=1),
        positions=positions[kept][real],
        cell=labels["cell"][kept] if "cell" in labels else None,
        energy=labels["energy"][kept] if "energy" in labels else None,
        forces=labels["forces"][kept][real] if "forces" in labels else None,
        labels=[f"{file} {group}"] * len(kept),
        absent={label: np.full(len(kept), label not in labels) for label in ("energy", "forces")},
    )


def _names(group: str, rows: NDArray[np.intp]) -> list[str]:
    return [f"group {group}, conformation {row}" for row in rows]


def _numbers(where: str, values: Any, n_rows: int, width: int) -> NDArray[np.int64]:  # noqa: ANN401 - what a file holds
    from ase.data import atomic_numbers

    elements = np.asarray(values)
    if elements.dtype.kind in "SOU":
        words = [word.decode("latin-1") if isinstance(word, bytes) else str(word) for word in elements.ravel().tolist()]
        if unknown := sorted({word for word in words if word not in atomic_numbers}):
            raise ValueError(f"{where}: found the elements {unknown[:N_SHOWN]}, expected symbols")
        elements = np.array([atomic_numbers[word] for word in words], dtype=np.int64).reshape(elements.shape)
    numbers = whole_numbers(elements, where)
    if numbers.shape not in ((width,), (n_rows, width)):
        raise ValueError(
            f"{where}: found shape {numbers.shape}, expected {(width,)}, for coordinates have {width} atoms"
        )
    return np.broadcast_to(numbers, (n_rows, width))
