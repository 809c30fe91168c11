"""Extended XYZ files (also compressed: .xyz.gz), read by ASE, one record per frame.

Keys stand in the comment line (energy, stress, virial) or name a column (forces, charges). `energy` and `forces` are
looked for by default, and frames may lack them; a key that the user named must be in every frame.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stores.atoms_ase import full_stress
from stores.importers.labelled import Block, Reading

if TYPE_CHECKING:
    import ase

__all__ = ["FrameKeys", "block_of", "read_extxyz"]

N_TOLD = 12


@dataclass(frozen=True, kw_only=True)
class FrameKeys:
    """Under which keys labels stand. None: energy and forces under these very names if they are there, the rest not."""

    energy: str | None = None
    forces: str | None = None
    stress: str | None = None
    virial: str | None = None  # stress = -virial / volume
    charges: str | None = None
    group: str | None = None  # a key of the comment line that says what belongs together

    def __post_init__(self) -> None:
        if self.stress and self.virial:
            raise ValueError(f"keys: found stress {self.stress!r} and virial {self.virial!r}, expected one of them")

    def named(self) -> dict[str, str]:
        """Those the user named, by label."""
        return {label: key for label, key in vars(self).items() if key}


def read_extxyz(files: Sequence[Path], keys: FrameKeys) -> Reading:
    """All frames of all files.

    Raises FileNotFoundError, ValueError with file and record where a frame cannot be read or lacks a named key.
    """
    reading = Reading(usual_units="eV", keys={}, origin={"format": "extxyz"})
    frames = {str(file): list(_frames(file)) for file in files}
    reading.blocks, reading.keys = blocks_of(frames, keys)
    return reading


def blocks_of(
    frames: Mapping[str, Sequence[tuple[str, "ase.Atoms", Mapping[str, Any]]]], keys: FrameKeys
) -> tuple[list[Block], dict[str, str]]:
    """One block per file from (record name, atoms, labels by key), and the keys that were used, by label."""
    for file, some in frames.items():
        if not some:
            raise ValueError(f"{file}: found no configuration, expected at least one; the file is empty")
    defaults = {"energy": "energy", "forces": "forces"}
    used = keys.named()
    for label, key in defaults.items():
        if label not in used and any(key in labels for some in frames.values() for _, _, labels in some):
            used[label] = key
    if not {"energy", "forces"} & set(used):
        there = sorted({key for some in frames.values() for _, _, labels in some for key in labels})
        raise ValueError(
            f"{', '.join(frames)}: found no key 'energy' or 'forces', but {there or 'no keys at all'}; expected "
            "labels, name their keys: --energy-key, --force-key"
        )
    named = set(keys.named())
    blocks = [block_of(file, some, used, named) for file, some in frames.items()]
    used.pop("group", None)
    if "virial" in used:
        used["stress"] = used.pop("virial")
    return blocks, used


def block_of(
    file: str,
    frames: Sequence[tuple[str, "ase.Atoms", Mapping[str, Any]]],
    used: Mapping[str, str],
    named: set[str],
) -> Block:
    """The frames of one file side by side. A key among `named` that a frame lacks raises ValueError."""
    found: dict[str, list[Any]] = {label: [] for label in used}
    for name, atoms, labels in frames:
        for label, key in used.items():
            if key not in labels and label in named:
                told = ", ".join(sorted(labels)[:N_TOLD]) or "no keys at all"
                raise ValueError(
                    f"{file}, {name}: found no key {key!r} for {label}, expected it in every record; the keys there "
                    f"are: {told}. Choose one of them"
                )
            found[label].append(_value(f"{file}, {name}", label, key, labels.get(key), atoms))
    pbc = np.array([atoms.pbc for _, atoms, _ in frames], dtype=bool)
    stress = found.get("stress") or found.get("virial")
    return Block(
        file=file,
        names=[name for name, _, _ in frames],
        numbers=np.concatenate([atoms.numbers for _, atoms, _ in frames]),
        n_atoms=np.array([len(atoms) for _, atoms, _ in frames]),
        positions=np.concatenate([atoms.positions for _, atoms, _ in frames]),
        cell=np.array([np.asarray(atoms.cell) for _, atoms, _ in frames]),
        pbc=pbc,
        energy=np.array(found["energy"]) if "energy" in found else None,
        forces=np.concatenate(found["forces"]) if "forces" in found else None,
        stress=np.array(stress) if stress else None,
        absent={
            label: np.array([key not in labels for _, _, labels in frames])
            for label, key in used.items()
            if label in ("energy", "forces")
        },
        charges=np.concatenate(found["charges"]) if "charges" in found else None,
        labels=[str(value) for value in found["group"]] if "group" in found else None,
    )


def _frames(file: Path) -> Iterator[tuple[str, "ase.Atoms", dict[str, Any]]]:
    from ase.io import iread
    from ase.io.formats import open_with_compression

    if not file.is_file():
        raise FileNotFoundError(f"{file}: found no file, expected an extended XYZ file")
    index = -1
    try:
        with open_with_compression(str(file), "r") as stream:
            text = io.StringIO(stream.read())  # ASE seeks to every frame, which costs compressed files dearly
        for index, atoms in enumerate(iread(text, index=":", format="extxyz")):
            results = {} if atoms.calc is None else atoms.calc.results
            arrays = {key: value for key, value in atoms.arrays.items() if key not in ("numbers", "positions")}
            yield f"record {index}", atoms, {**atoms.info, **arrays, **results}
    except ValueError as error:
        if str(error).startswith(str(file)):
            raise
        raise _unreadable(file, index + 1, error) from error
    except Exception as error:  # ASE and the decompressors raise errors of many kinds on damaged files
        raise _unreadable(file, index + 1, error) from error


def _unreadable(file: Path, record: int, error: Exception) -> ValueError:
    reason = (str(error).strip().splitlines() or ["no reason given"])[0]
    return ValueError(
        f"{file}, record {record}: cannot be read ({type(error).__name__}: {reason}), expected extended XYZ: "
        "the file is damaged, cut off or of another format"
    )


def _value(where: str, label: str, key: str, value: Any, atoms: "ase.Atoms") -> Any:  # noqa: ANN401 - a label
    """One label as an array of the right shape, NaN where there is none."""
    shapes: dict[str, tuple[int, ...]] = {"energy": (), "forces": (len(atoms), 3), "charges": (len(atoms),)}
    if label == "group":
        return str(value)
    if value is None:
        return np.full(shapes.get(label, (3, 3)), np.nan)
    try:
        array = np.asarray(value, dtype=np.float64)
        if label in ("stress", "virial"):
            return _stress(array, label, atoms)
        if array.shape != shapes[label]:
            raise ValueError(f"shape {array.shape}")
    except (TypeError, ValueError) as error:
        wanted = shapes.get(label, (3, 3))
        raise ValueError(
            f"{where}, key {key!r} for {label}: found {error}, expected {'a number' if wanted == () else wanted}; "
            "name another key"
        ) from error
    return array


def _stress(array: NDArray[np.float64], label: str, atoms: "ase.Atoms") -> NDArray[np.float64]:
    """Stress with ASE's sign. Components over all atoms of extended XYZ are column-major, which symmetry forgives."""
    full = full_stress(array)
    return (
        full if label == "stress" or not all(atoms.pbc) else -full / abs(float(np.linalg.det(np.asarray(atoms.cell))))
    )
