"""Extended XYZ files (also compressed: .xyz.gz), read by ASE, one record per frame.

Keys stand in the comment line (energy, stress, virial) or name a column (forces, charges). Without named keys the usual
ones are looked for (frame_keys), and frames may lack them; a key that the user named must be in every frame. A single
atom whose `config_type` is IsolatedAtom is one, in whatever cell.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stores.atoms_ase import full_stress
from stores.importers.foreign_files import allowed_bytes, readable
from stores.importers.frame_keys import Frame, FrameKeys, choose_keys
from stores.importers.labelled import Block, Reading

if TYPE_CHECKING:
    import ase

__all__ = ["FrameKeys", "fill_from_frames", "labels_of", "read_extxyz"]

N_LETTERS = 40
TEXT_EXPANSION = 100  # letters from one byte of a compressed file: numbers give some ten
SMALL_TEXT = 2**16
BYTES_OF_A_LETTER = 8  # once as text, once in the stream that ASE seeks in
ISOLATED = {"isolatedatom", "isolated_atom"}
OTHER_FORMATS = {".traj": "traj", ".db": "ase-db", ".json": "ase-db", ".h5": "ani-h5", ".npz": "rmd17"}


def read_extxyz(files: Sequence[Path], keys: FrameKeys) -> Reading:
    """All frames of all files.

    Raises FileNotFoundError, ValueError with file and record where a frame cannot be read or its labels are unclear.
    """
    reading = Reading(usual_units="eV", keys={}, origin={"format": "extxyz"})
    fill_from_frames(reading, {str(file): list(_frames(file)) for file in files}, keys)
    return reading


def fill_from_frames(reading: Reading, frames: Mapping[str, Sequence[Frame]], keys: FrameKeys) -> None:
    """One block per file, and the keys that were used, by label."""
    for file, some in frames.items():
        if not some:
            raise ValueError(f"{file}: found no configuration, expected at least one; the file is empty")
    chosen = choose_keys(frames, keys)
    reading.blocks = [_block_of(file, some, chosen.used) for file, some in frames.items()]
    reading.ignored, reading.named = chosen.ignored, frozenset(keys.named())
    reading.notes += chosen.notes
    reading.keys = {label: key for label, key in chosen.used.items() if label != "group"}
    if "virial" in reading.keys:
        reading.keys["stress"] = reading.keys.pop("virial")
        reading.named |= {"stress"} if "virial" in reading.named else set()


def labels_of(atoms: "ase.Atoms") -> dict[str, Any]:
    """All that stands beside the atoms: entries of `info`, arrays, results of a calculator, the later ones first."""
    arrays = {key: value for key, value in atoms.arrays.items() if key not in ("numbers", "positions")}
    return {**atoms.info, **arrays, **({} if atoms.calc is None else atoms.calc.results)}


def _block_of(file: str, frames: Sequence[Frame], used: Mapping[str, str]) -> Block:
    """The frames of one file side by side."""
    found: dict[str, list[Any]] = {label: [] for label in used}
    for name, atoms, labels in frames:
        for label, key in used.items():
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
            "stress" if label == "virial" else label: np.array([labels.get(key) is None for _, _, labels in frames])
            for label, key in used.items()
        },
        isolated=np.array(
            [len(atoms) == 1 and str(labels.get("config_type", "")).lower() in ISOLATED for _, atoms, labels in frames]
        ),
        charges=np.concatenate(found["charges"]) if "charges" in found else None,
        labels=[str(value) for value in found["group"]] if "group" in found else None,
    )


def _frames(file: Path) -> Iterator[Frame]:
    from ase.io import iread
    from ase.io.formats import open_with_compression

    other = OTHER_FORMATS.get(file.suffix.lower())
    cure = f"import it as {other}" if other else "the file is damaged, cut off or of another format"
    index = -1
    with readable(file, "an extended XYZ file", lambda: f"{file}, record {index + 1}", cure):
        with open_with_compression(str(file), "r") as stream:
            # ASE seeks to every frame, which costs compressed files dearly
            text = _Text(_read(stream, file.stat().st_size))
        for index, atoms in enumerate(iread(text, index=":", format="extxyz")):
            yield f"record {index}", atoms, labels_of(atoms)


def _read(stream: IO[str], stored_bytes: int) -> str:
    """All text, unless it is more than so few bytes can hold of frames."""
    most = max(stored_bytes, min(TEXT_EXPANSION * stored_bytes + SMALL_TEXT, allowed_bytes() // BYTES_OF_A_LETTER))
    text = stream.read(most + 1)
    if len(text) > most:
        raise ValueError(f"found more than {most} letters in {stored_bytes} bytes, expected frames")
    return text


class _Text(io.StringIO):
    """Ends with an error where lines are asked for again and again after the last: a frame claims atoms without end."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.left = len(text) + SMALL_TEXT

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]  # as that of StringIO itself
        line = super().readline(-1 if size is None else size)
        if not line:
            self.left -= 1
            if self.left < 0:
                raise EOFError("a frame claims more atoms than there are lines")
        return line


def _value(where: str, label: str, key: str, value: Any, atoms: "ase.Atoms") -> Any:  # noqa: ANN401 - a label
    """One label as an array of the right shape, NaN where there is none."""
    shapes: dict[str, tuple[int, ...]] = {"energy": (), "forces": (len(atoms), 3), "charges": (len(atoms),)}
    if label == "group":
        return "" if value is None else str(value)
    if value is None:
        return np.full(shapes.get(label, (3, 3)), np.nan)
    wanted = shapes.get(label, (3, 3))
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            raise ValueError(f"{_short(value)} of type {array.dtype}")
        array = array.astype(np.float64)
        if label in ("stress", "virial"):
            return _stress(array, label, atoms)
        if array.shape != wanted:
            raise ValueError(f"shape {array.shape}")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{where}, key {key!r} for {label}: found {error}, expected {'a number' if wanted == () else wanted}; "
            "name another key"
        ) from error
    return array


def _short(value: Any) -> str:  # noqa: ANN401 - a label
    text = repr(value)
    return text if len(text) <= N_LETTERS else f"{text[:N_LETTERS]}..."


def _stress(array: NDArray[np.float64], label: str, atoms: "ase.Atoms") -> NDArray[np.float64]:
    """Stress with ASE's sign. Components over all atoms of extended XYZ are column-major, which symmetry forgives."""
    full = full_stress(array)
    if label == "stress" or not all(atoms.pbc):
        return full
    volume = abs(float(np.linalg.det(np.asarray(atoms.cell))))
    return -full / volume if volume > 0 else np.full((3, 3), np.nan)  # a flat cell is a problem of its own
