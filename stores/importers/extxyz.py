"""Extended XYZ files (also compressed: .xyz.gz), read by ASE, one record per frame.

Keys stand in the comment line (energy, stress, virial) or name a column (forces, charges). Without named keys the usual
ones are looked for (frame_keys), and frames may lack them; a key that the user named must be in every frame. A single
atom whose `config_type` is IsolatedAtom is one, in whatever cell. Energies are in eV, those of CP2K's trajectories in
Hartree.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stores.atoms_ase import full_stress
from stores.importers.foreign_files import allowed_bytes, readable, require_room
from stores.importers.frame_keys import Frame, FrameKeys, choose_keys
from stores.importers.labelled import PART_ATOMS, Block, Reading
from stores.importers.spool import Spool

if TYPE_CHECKING:
    import ase

__all__ = ["FrameKeys", "fill_from_frames", "frame_of", "read_extxyz"]

N_LETTERS = 40
TEXT_EXPANSION = 100  # letters from one byte of a compressed file: numbers give some ten
SMALL_TEXT = 2**16
PIECE_LETTERS = 2**18  # what ASE gets at once
BYTES_OF_A_LETTER = 12  # in lines, joined, and in the stream that ASE seeks in
WEIGHT_OF_A_FRAME = 10  # atoms: what a frame takes in memory besides its arrays
CP2K_KEYS = {"i", "time"}  # " i = 3, time = 1.500, E = -17.1643447508"
ISOLATED = {"isolatedatom", "isolated_atom"}
OTHER_FORMATS = {".traj": "traj", ".db": "ase-db", ".json": "ase-db", ".h5": "ani-h5", ".npz": "rmd17"}


def read_extxyz(files: Sequence[Path], keys: FrameKeys) -> Reading:
    """All frames of all files.

    Raises FileNotFoundError, ValueError with file and record where a frame cannot be read or its labels are unclear.
    """
    reading = Reading(usual_units="eV", keys={}, origin={"format": "extxyz"})
    fill_from_frames(reading, files, _frames, keys)
    if reading.keys.get("energy") == "E" and set(reading.ignored) >= CP2K_KEYS:
        reading.usual_units = "Ha"
        reading.notes.append(
            "note: comment lines are those of CP2K: energies under 'E' are in Ha, unless --units says not"
        )
    return reading


def fill_from_frames(
    reading: Reading, files: Sequence[Path], read: Callable[[Path], Iterator[Frame]], keys: FrameKeys
) -> None:
    """All frames that `read` gives of the files, in blocks, and the keys that were used, by label."""
    frames = {str(file): Spool(_batches(read(file))) for file in files}
    for file, batches in frames.items():
        if not len(batches):
            raise ValueError(f"{file}: found no configuration, expected at least one; the file is empty")
    chosen = choose_keys(frames, keys)
    for file, batches in frames.items():
        for batch in batches:
            reading.blocks.append(_block_of(file, batch, chosen.used))
    reading.ignored, reading.named, reading.levels = chosen.ignored, frozenset(keys.named()), chosen.levels
    reading.notes += chosen.notes
    reading.keys = {label: key for label, key in chosen.used.items() if label != "group"}
    if "virial" in reading.keys:
        reading.keys["stress"] = reading.keys.pop("virial")
        reading.named |= {"stress"} if "virial" in reading.named else set()


def frame_of(name: str, atoms: "ase.Atoms", labels: Mapping[str, Any] | None = None) -> Frame:
    """Atoms and `labels`, by default all that ASE holds: of `info`, arrays, results of a calculator the later ones."""
    if labels is None:
        arrays = {key: value for key, value in atoms.arrays.items() if key not in ("numbers", "positions")}
        labels = {**atoms.info, **arrays, **({} if atoms.calc is None else atoms.calc.results)}
    return Frame(name, atoms.numbers, atoms.positions, np.asarray(atoms.cell), atoms.pbc, labels)


def _batches(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    """Frames that memory holds together."""
    batch: list[Frame] = []
    weight = 0
    for frame in frames:
        batch.append(frame)
        weight += len(frame.numbers) + WEIGHT_OF_A_FRAME
        if weight >= PART_ATOMS:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _block_of(file: str, frames: Sequence[Frame], used: Mapping[str, str]) -> Block:
    """Frames of one file side by side."""
    values: dict[str, list[Any]] = {label: [] for label in used}
    for frame in frames:
        for label, key in used.items():
            values[label].append(_value(file, label, key, frame))
    stress = values.get("stress") or values.get("virial")
    return Block(
        file=file,
        names=[frame.name for frame in frames],
        numbers=np.concatenate([frame.numbers for frame in frames]),
        n_atoms=np.array([len(frame.numbers) for frame in frames]),
        positions=np.concatenate([frame.positions for frame in frames]),
        cell=np.array([frame.cell for frame in frames]),
        pbc=np.array([frame.pbc for frame in frames], dtype=bool),
        energy=np.array(values["energy"]) if "energy" in values else None,
        forces=np.concatenate(values["forces"]) if "forces" in values else None,
        stress=np.array(stress) if stress else None,
        absent={
            "stress" if label == "virial" else label: np.array([frame.labels.get(key) is None for frame in frames])
            for label, key in used.items()
        },
        isolated=np.array(
            [len(f.numbers) == 1 and str(f.labels.get("config_type", "")).lower() in ISOLATED for f in frames]
        ),
        charges=np.concatenate(values["charges"]) if "charges" in values else None,
        labels=values.get("group"),
    )


def _frames(file: Path) -> Iterator[Frame]:
    from ase.io import iread
    from ase.io.formats import open_with_compression

    other = OTHER_FORMATS.get(file.suffix.lower())
    cure = f"import it as {other}" if other else "the file is damaged, cut off or of another format"
    index = -1
    with (
        readable(file, "an extended XYZ file", lambda: f"{file}, record {index + 1}", cure),
        open_with_compression(str(file), "r") as stream,
    ):
        for piece in _pieces(_lines(stream, file.stat().st_size)):
            for atoms in iread(_Text(piece), index=":", format="extxyz"):
                index += 1
                yield frame_of(f"record {index}", atoms)


def _lines(stream: IO[str], stored_bytes: int) -> Iterator[str]:
    """All lines, unless they are more than so few bytes can hold of frames."""
    left = most = TEXT_EXPANSION * stored_bytes + SMALL_TEXT
    longest = max(SMALL_TEXT, allowed_bytes() // BYTES_OF_A_LETTER)
    while line := stream.readline(min(left, longest) + 1):
        if len(line) > longest:
            raise ValueError(f"found a line of more than {longest} letters, expected frames")
        left -= len(line)
        if left < 0:
            raise ValueError(f"found more than {most} letters in {stored_bytes} bytes, expected frames")
        yield line


def _pieces(lines: Iterator[str]) -> Iterator[str]:
    """Whole frames, some at a time; what is none stands alone, for ASE to say what is wrong with it.

    ASE takes an empty line for the end, and would leave out what follows.
    """
    piece: list[str] = []
    n_letters, n_fit = 0, 2 * PIECE_LETTERS
    for line in lines:
        if not line.strip():
            if any(rest.strip() for rest in lines):
                raise ValueError("found an empty line, expected the number of atoms of the next frame")
            break
        cell_vector = line.lstrip().startswith("VEC")  # of the frame before
        try:
            n_more = 0 if cell_vector else max(0, int(line)) + 1
        except ValueError:
            n_more = -1
        if piece and (n_more < 0 or (n_letters > PIECE_LETTERS and not cell_vector)):
            yield "".join(piece)
            piece, n_letters = [], 0
        for text in chain((line,), islice(lines, max(0, n_more))):
            piece.append(text)
            n_letters += len(text)
            if n_letters > n_fit:
                require_room("a frame", n_letters * BYTES_OF_A_LETTER)
                n_fit = 2 * n_letters
    if piece:
        yield "".join(piece)


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


def _value(file: str, label: str, key: str, frame: Frame) -> Any:  # noqa: ANN401 - a label
    """One label as an array of the right shape, NaN where there is none."""
    value, n_atoms = frame.labels.get(key), len(frame.numbers)
    shapes: dict[str, tuple[int, ...]] = {"energy": (), "forces": (n_atoms, 3), "charges": (n_atoms,)}
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
            return _stress(array, label, frame)
        if array.shape != wanted:
            raise ValueError(f"shape {array.shape}")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{file}, {frame.name}, key {key!r} for {label}: found {error}, expected "
            f"{'a number' if wanted == () else wanted}; name another key"
        ) from error
    return array


def _short(value: Any) -> str:  # noqa: ANN401 - a label
    text = repr(value)
    return text if len(text) <= N_LETTERS else f"{text[:N_LETTERS]}..."


def _stress(array: NDArray[np.float64], label: str, frame: Frame) -> NDArray[np.float64]:
    """Stress with ASE's sign. Components over all atoms of extended XYZ are column-major, which symmetry forgives."""
    full = full_stress(array)
    if label == "stress" or not all(frame.pbc):
        return full
    volume = abs(float(np.linalg.det(frame.cell)))
    return -full / volume if volume > 0 else np.full((3, 3), np.nan)  # a flat cell is a problem of its own
