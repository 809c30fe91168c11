"""One pass over imported blocks: usable records in eV and A on disk, a few numbers of each in memory.

However many records there are, memory holds one part of about PART_ATOMS atoms, and some hundred bytes per record for
checks that compare them all: energies, compositions, volumes, hashes of 16 bytes. Of units and signs there are

    total energies that betray a unit     how many records for each unit, and the first of them
    energy differences over work          of the first MAX_PAIRS neighbouring records that are near each other
    size of forces                        sum of squares

Where a check asks for the columns of single records, they are read from disk.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stores.atom_checks import FLATTEST_CELL_A, cell_heights
from stores.atoms import ATOMS
from stores.importers.label_problems import Problem, find_isolated, find_problems, find_unusable
from stores.importers.label_units import (
    ENERGY_EV,
    LENGTH_A,
    energy_units_of,
    force_factor,
    stress_factor,
    work_quotients,
)
from stores.importers.labelled import Block, LabelSettings, Names, Reading
from stores.importers.spool import Spool

__all__ = ["LABELS", "N_PROBLEMS", "Columns", "Part", "Survey", "chosen", "survey_of", "units_of"]

MAX_PAIRS = 5000
SAME_DIGITS = 4  # of positions [A]: copies may have been written with fewer digits
N_PROBLEMS = 8
LABELS = {"energy": "energy", "forces": "force", "stress": "stress", "charges": "charge"}  # label -> column
PER_ATOM = {v.name for v in ATOMS.variables if v.dims[0] == "atom"}
Columns = dict[str, NDArray[Any]]


class Part(NamedTuple):
    """Usable records of one file, side by side in eV and A."""

    columns: Columns
    file: str
    names: list[str]

    def name(self, row: int) -> str:
        return f"{self.file}, {self.names[row]}"


class Betrayal(NamedTuple):
    """Records whose energies are of the size that total energies have in a unit, and the first of them."""

    n: int
    record: str
    energy: float  # as it stands in the file
    n_atoms: int


@dataclass(kw_only=True)
class Survey:
    """What one pass survey. `of` has arrays of a row for each usable record (there are n):

    row           (n,)    place among all records that were read
    n_atoms       (n,)
    energy        (n,)    [eV]
    composition   (n,)    row of `counts`
    file, label   (n,)    equal where they are the same; label is -1 where the format names none
    isolated      (n,)    an isolated atom
    bad           (n,)    wrong by itself, or by comparison, once `refuse` was told
    has           (n, 4)  labels in the order of LABELS
    fingerprint   (n, 2)  hash of elements, positions and cell
    sequence      (n,)    equal for the same atoms in the same order; -1 where there is no stress that can be checked
    volume        (n,)    [A^3]
    stress        (n, 2)  a third of the trace, and the largest component [eV/A^3]
    """

    parts: Spool[Part] = field(default_factory=Spool)
    starts: list[int] = field(default_factory=lambda: [0])  # first usable record of each part, and n
    of: Columns = field(default_factory=dict)
    elements: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    files: list[str] = field(default_factory=list)
    n_read: int = 0
    absent: dict[str, Names] = field(default_factory=dict)  # label -> records that do not have its key
    problems: dict[str, Names] = field(default_factory=dict)  # kind -> records
    first_problems: list[tuple[int, Problem]] = field(default_factory=list)  # by place among all records
    betrayed: dict[str, Betrayal] = field(default_factory=dict)  # by unit
    quotients: list[float] = field(default_factory=list)
    force_squares: float = 0.0
    n_forces: int = 0

    def refuse(self, problems: Mapping[int, Problem]) -> None:
        """Problems by place among all records, one for each."""
        for problem in problems.values():
            self.problems.setdefault(problem.kind, Names()).add([problem.record])
        self.first_problems = nsmallest(N_PROBLEMS, [*self.first_problems, *problems.items()], key=lambda pair: pair[0])

    def name(self, record: int) -> str:
        """File and name of a usable record."""
        part = int(np.searchsorted(self.starts, record, side="right")) - 1
        return self.parts[part].name(record - self.starts[part])

    def each(self, records: NDArray[Any]) -> Iterator[tuple[Part, NDArray[np.int64], NDArray[np.int64]]]:
        """Of these usable records, which ascend, by part: the part, its rows, and the records that they are."""
        cuts = np.searchsorted(records, self.starts)
        for index in np.flatnonzero(np.diff(cuts)).tolist():
            some = records[cuts[index] : cuts[index + 1]]
            yield self.parts[index], some - self.starts[index], some

    def columns(self, records: NDArray[Any]) -> Columns:
        """Columns of these usable records, which ascend."""
        return _side_by_side([chosen(part.columns, rows) for part, rows, _ in self.each(records)])

    def shares(self) -> NDArray[np.float64]:
        """Share of each element in each composition, (n_compositions, n_elements)."""
        return np.asarray(self.counts / self.counts.sum(axis=1)[:, None])


def survey_of(reading: Reading, settings: LabelSettings) -> Survey:
    """Look at all blocks once. What is wrong with a record is noted, not raised, unless it has no atoms: ValueError."""
    survey = Survey()
    numbers: dict[str, dict[Any, int]] = {"file": {}, "label": {"": -1}, "composition": {}, "sequence": {}}
    records: list[Columns] = []
    last: Columns | None = None
    for part in (part for block in reading.blocks for part in block.parts()):
        columns, names = _columns_of(part), [f"{part.file}, {name}" for name in part.names]
        if (empty := np.flatnonzero(columns["n_atoms"] < 1)).size:
            raise ValueError(f"{names[empty[0]]}: found no atoms, expected some; take it out of the file")
        for label, mask in part.absent.items():
            counted = mask & columns["pbc"].all(axis=1) if label == "stress" else mask
            survey.absent.setdefault(label, Names()).add([names[row] for row in np.flatnonzero(counted)])
        problems = find_unusable(columns, names, reading.keys, reading.named, part.absent)
        rows = np.setdiff1d(np.arange(len(names)), list(problems))
        numbers["file"].setdefault(part.file, len(numbers["file"]))
        if rows.size:
            columns, names = chosen(columns, rows), [names[row] for row in rows]
            _weigh_energies(survey, columns, names)
            _convert(columns, settings, reading.usual_units)
            last = _weigh_forces(survey, columns, last)
            of = _numbers_of(columns, part, rows, numbers)
            of["isolated"] = find_isolated(columns, False if part.isolated is None else part.isolated[rows])
            later = find_problems(columns, names, reading.keys, of["isolated"])
            of["bad"], of["row"] = np.isin(np.arange(rows.size), list(later)), rows + survey.n_read
            records.append(of)
            survey.parts.append(Part(columns, part.file, [part.names[row] for row in rows]))
            survey.starts.append(survey.starts[-1] + rows.size)
            problems |= {int(rows[row]): problem for row, problem in later.items()}
        survey.refuse({survey.n_read + row: problem for row, problem in sorted(problems.items())})
        survey.n_read += len(part.names)
    for name in list(records[0]) if records else ():
        survey.of[name] = np.concatenate([of.pop(name) for of in records])
    survey.files = list(numbers["file"])
    survey.elements, survey.counts = _table(numbers["composition"])
    return survey


def units_of(settings: LabelSettings, usual: str) -> dict[str, str]:
    """In which unit each label stands in the files."""
    energy, length = settings.units or usual, settings.length_units
    return {
        "energy": energy,
        "forces": settings.force_units or f"{energy}/{length}",
        "stress": settings.stress_units or f"{energy}/{length}^3",
        "charges": "e",
    }


def chosen(columns: Mapping[str, NDArray[Any]], rows: NDArray[Any]) -> Columns:
    """The columns of some configurations alone."""
    n_atoms = columns["n_atoms"][rows]
    first = np.cumsum(n_atoms, dtype=np.int64) - n_atoms
    atoms = np.arange(int(n_atoms.sum())) + np.repeat(columns["first_atom"][rows] - first, n_atoms)
    some = {name: values[atoms if name in PER_ATOM else rows] for name, values in columns.items()}
    return some | {"first_atom": first}


def _side_by_side(some: list[Columns]) -> Columns:
    columns = {name: np.concatenate([one[name] for one in some]) for name in some[0]}
    return columns | {"first_atom": np.cumsum(columns["n_atoms"], dtype=np.int64) - columns["n_atoms"]}


def _columns_of(block: Block) -> Columns:
    """Columns of a store, still in the units of the file, NaN for what is not given."""
    n_configs, n_atoms = len(block.n_atoms), np.asarray(block.n_atoms, dtype=np.int32)

    def column(name: str, trailing: tuple[int, ...], rows: int, fill: float) -> NDArray[np.float64]:
        given = getattr(block, name)
        return np.full((rows, *trailing), fill) if given is None else np.array(given, dtype=np.float64)

    pbc = np.full((n_configs, 3), block.cell is not None) if block.pbc is None else np.array(block.pbc, dtype=bool)
    stress = column("stress", (3, 3), n_configs, np.nan)
    stress[~pbc.all(axis=1)] = np.nan
    cell = column("cell", (3, 3), n_configs, 0.0)
    cell[~pbc.any(axis=1)] = 0.0
    return {
        "n_atoms": n_atoms,
        "first_atom": np.cumsum(n_atoms, dtype=np.int64) - n_atoms,
        "number": np.array(block.numbers, dtype=np.int64),
        "position": column("positions", (3,), len(block.numbers), np.nan),
        "cell": cell,
        "pbc": pbc,
        "energy": column("energy", (), n_configs, np.nan),
        "force": column("forces", (3,), len(block.numbers), np.nan),
        "stress": (stress + stress.transpose(0, 2, 1)) / 2,
        "charge": column("charges", (), len(block.numbers), np.nan),
    }


def _convert(columns: Columns, settings: LabelSettings, usual: str) -> None:
    """To eV and A in place."""
    units = units_of(settings, usual)
    for name in ("position", "cell"):
        columns[name] *= LENGTH_A[settings.length_units]
    columns["energy"] *= ENERGY_EV[units["energy"]]
    columns["stress"] *= stress_factor(units["stress"]) * (-1 if settings.stress_sign == "vasp" else 1)
    columns["force"] *= force_factor(units["forces"]) * (-1 if settings.force_sign == "gradients" else 1)


def _weigh_energies(survey: Survey, columns: Columns, names: list[str]) -> None:
    betrayed = energy_units_of(columns["energy"], columns["number"], columns["first_atom"])
    for unit in np.unique(betrayed[betrayed != ""]).tolist():
        rows = np.flatnonzero(betrayed == unit)
        row, before = int(rows[0]), survey.betrayed.get(unit)
        first = Betrayal(0, names[row], float(columns["energy"][row]), int(columns["n_atoms"][row]))
        survey.betrayed[unit] = (before or first)._replace(n=(before.n if before else 0) + rows.size)


def _weigh_forces(survey: Survey, columns: Columns, last: Columns | None) -> Columns:
    """Note size of forces, and energy differences over their work; `last` is the record before these, if any.

    Returns the last of these."""
    finite = columns["force"][np.isfinite(columns["force"]).all(axis=1)]
    survey.force_squares += float((finite**2).sum())
    survey.n_forces += finite.size
    if len(survey.quotients) < MAX_PAIRS:
        some = columns if last is None else _side_by_side([last, columns])
        names = ("energy", "number", "position", "force", "first_atom", "n_atoms")
        survey.quotients += work_quotients(*(some[name] for name in names))
        del survey.quotients[MAX_PAIRS:]
    return chosen(columns, np.array([len(columns["n_atoms"]) - 1]))


def _numbers_of(columns: Columns, part: Block, rows: NDArray[Any], numbers: dict[str, dict[Any, int]]) -> Columns:
    """Rows of `Survey.of` of the good `rows` of a part, which are the columns; new names get the next `numbers`."""
    n_rows, first = rows.size, columns["first_atom"]
    stress, has = columns["stress"], np.zeros((n_rows, len(LABELS)), dtype=bool)
    for index, (label, name) in enumerate(LABELS.items()):
        given = np.asarray(np.isfinite(columns[name]).reshape(len(columns[name]), -1).all(axis=1))
        has[:, index] = given[first] if label in ("forces", "charges") else given
    looked_at = has[:, list(LABELS).index("stress")] & columns["pbc"].all(axis=1)
    volume, sequence = np.full(n_rows, np.nan), np.full(n_rows, -1)
    if looked_at.any():
        looked_at &= (cell_heights(columns["cell"], columns["pbc"]) > FLATTEST_CELL_A).all(axis=1)
        volume[looked_at] = np.abs(np.linalg.det(columns["cell"][looked_at]))
        for row in np.flatnonzero(looked_at):
            atoms = columns["number"][first[row] : first[row] + columns["n_atoms"][row]].tobytes()
            sequence[row] = numbers["sequence"].setdefault(atoms, len(numbers["sequence"]))
    labels = [part.labels[row] for row in rows] if part.labels else [""] * n_rows
    return {
        "n_atoms": columns["n_atoms"].astype(np.int64),
        "energy": columns["energy"],
        "composition": _compositions(columns, numbers["composition"]),
        "file": np.full(n_rows, numbers["file"][part.file]),
        "label": np.array([numbers["label"].setdefault(label, len(numbers["label"])) for label in labels]),
        "has": has,
        "fingerprint": _fingerprints(columns),
        "sequence": sequence,
        "volume": volume,
        "stress": np.column_stack([np.trace(stress, axis1=1, axis2=2) / 3, np.abs(stress).max(axis=(1, 2))]),
    }


def _compositions(columns: Columns, numbers: dict[Any, int]) -> NDArray[np.int64]:
    """Number of each record's composition; keys are bytes of pairs of atomic number and count, ascending."""
    n_configs = len(columns["n_atoms"])
    elements, element = np.unique(columns["number"], return_inverse=True)
    owner = np.repeat(np.arange(n_configs), columns["n_atoms"])
    counts = np.bincount(owner * len(elements) + element, minlength=n_configs * len(elements)).reshape(n_configs, -1)
    several, which = np.unique(counts, axis=0, return_inverse=True)
    keys = [np.column_stack([elements, row])[row > 0].tobytes() for row in several]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])[which.ravel()]


def _table(numbers: Mapping[bytes, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Elements, ascending, and how many atoms of each a composition has, (n_compositions, n_elements)."""
    pairs = [np.frombuffer(key, dtype=np.int64).reshape(-1, 2) for key in numbers]
    elements = np.unique(np.concatenate(pairs)[:, 0]) if pairs else np.zeros(0, dtype=np.int64)
    counts = np.zeros((len(pairs), len(elements)), dtype=np.int64)
    for row, pair in zip(counts, pairs, strict=True):
        row[np.searchsorted(elements, pair[:, 0])] = pair[:, 1]
    return elements, counts


def _fingerprints(columns: Columns) -> NDArray[np.uint64]:
    position, cell = (np.round(columns[name], SAME_DIGITS) + 0.0 for name in ("position", "cell"))  # no -0
    digests = []
    for row, (first, n_atoms) in enumerate(zip(columns["first_atom"], columns["n_atoms"], strict=True)):
        atoms = slice(first, first + n_atoms)
        digest = hashlib.blake2b(columns["number"][atoms].tobytes(), digest_size=16)
        digest.update(position[atoms].tobytes() + cell[row].tobytes() + columns["pbc"][row].tobytes())
        digests.append(digest.digest())
    return np.frombuffer(b"".join(digests), dtype=np.uint64).reshape(-1, 2)
