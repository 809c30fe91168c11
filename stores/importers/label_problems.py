"""What is wrong with single imported records, each with file, record, key, found and expected; and isolated atoms.

Energies far from the others: slips of a decimal, of another program, of a failed SCF.

    E_m / n_m  ~  sum_Z x_mZ e_Z + r_m            x_mZ share of element Z, fitted with least absolute residuals

Residuals r are cohesive: some eV per atom between a gas and its crystal, more where atoms are pressed together. So a
record is far off where |r - median| is beyond 20 robust standard deviations and beyond 15 eV per atom, or beyond what
the user says. Fewer eV but 50 deviations are worth a note.

Records may be copies of each other, with the same atoms at the same positions. Where copies have other energies, no
potential can have both: labels are of two levels of theory, charges or spins.

Isolated atoms are energy references of their elements, apart from the configurations to train on. A record is one where
it has one atom and the file calls it so, or no direction repeats, or all images are at least FAR_A away: the primitive
cell of a crystal is none. Of several records of an element the lowest energy counts.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stores import atom_checks as check
from stores.atom_checks import cell_heights

__all__ = [
    "Problem",
    "copies",
    "far_energies",
    "far_limit_eV_atom",
    "far_problem",
    "find_isolated",
    "find_problems",
    "find_unusable",
    "isolated_energies",
    "refuse_isolated",
]

FARTHEST = 1e6  # A, or whatever unit the file has
LARGEST = 1e12  # of labels, in whatever unit: the total energy of 1e6 heavy atoms is 1e9 kcal/mol and more


@dataclass(frozen=True, kw_only=True)
class Problem:
    """The first thing that is wrong with a record; `kind` is the same for all records with this trouble."""

    record: str
    key: str
    kind: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.record}, key {self.key!r}: found {self.found}, expected {self.expected}"


class _Problems:
    """The first problem of each row, as they are found."""

    def __init__(self, columns: Mapping[str, NDArray[Any]], names: Sequence[str], keys: Mapping[str, str]) -> None:
        self.first, self.n_atoms = columns["first_atom"], columns["n_atoms"]
        self.names, self.keys = names, keys
        self.problems: dict[int, Problem] = {}

    def add(self, rows: NDArray[Any], what: str, kind: str, found: Sequence[str], expected: str) -> None:
        for row, there in zip(rows.tolist(), found, strict=True):
            problem = Problem(
                record=self.names[row], key=self.keys.get(what, what), kind=kind, found=there, expected=expected
            )
            self.problems.setdefault(row, problem)

    def add_atoms(self, bad: NDArray[np.bool_], what: str, kind: str, found: str, expected: str) -> None:
        rows = np.flatnonzero(check.any_atom(bad, self.first))
        counts = [int(bad[self.first[m] : self.first[m] + self.n_atoms[m]].sum()) for m in rows]
        shares = [f"{count} of {self.n_atoms[m]} atoms {found}" for count, m in zip(counts, rows, strict=True)]
        self.add(rows, what, kind, shares, expected)

    def ascending(self) -> dict[int, Problem]:
        return dict(sorted(self.problems.items()))


def find_unusable(
    columns: Mapping[str, NDArray[Any]],
    names: Sequence[str],
    keys: Mapping[str, str],
    named: Collection[str],
    absent: Mapping[str, NDArray[np.bool_]],
) -> dict[int, Problem]:
    """Row -> what forbids to compute with it, ascending, in the units of the file.

    `keys` says under which key a label stood, `named` the labels that every row must have, `absent` which rows do
    not have a label's key.
    """
    problems = _Problems(columns, names, keys)
    first, n_atoms, number = columns["first_atom"], columns["n_atoms"], columns["number"]
    none = np.zeros(len(n_atoms), dtype=bool)
    unknown = (number < 1) | (number > 118)
    rows = np.flatnonzero(check.any_atom(unknown, first))
    values = [str(sorted({int(z) for z in number[first[m] : first[m] + n_atoms[m]] if z < 1 or z > 118})) for m in rows]
    problems.add(rows, "numbers", "unknown element", [f"atomic numbers {value}" for value in values], "1 to 118")
    position = columns["position"]
    bad = ~np.isfinite(position).all(axis=1)
    problems.add_atoms(bad, "positions", "positions not finite", "NaN or infinite", "finite positions")
    farthest = f"coordinates up to {FARTHEST:g} (are these the positions?)"
    bad = (np.abs(position) > FARTHEST).any(axis=1)
    problems.add_atoms(bad, "positions", "positions out of range", f"beyond {FARTHEST:g}", farthest)
    rows = np.flatnonzero((np.abs(columns["cell"]) > FARTHEST).any(axis=(1, 2)))
    problems.add(rows, "cell", "cell out of range", [f"a vector beyond {FARTHEST:g}"] * rows.size, farthest)
    for label in sorted(named):
        rows = np.flatnonzero(absent.get(label, none))
        expected = "it in every record, for it is to be read"
        problems.add(rows, label, f"no {label}", [f"no such key for {label}"] * rows.size, expected)
    rows = np.flatnonzero(absent.get("energy", none) & absent.get("forces", none))
    problems.add(rows, "energy", "no label at all", ["neither energy nor forces"] * rows.size, "one of them")
    for label, name in (("energy", "energy"), ("forces", "force"), ("stress", "stress"), ("charges", "charge")):
        if label in keys:
            _check_values(problems, label, columns[name], absent.get(label, none), columns["pbc"])
    return problems.ascending()


def _check_values(
    problems: _Problems, label: str, values: NDArray[Any], absent: NDArray[np.bool_], pbc: NDArray[np.bool_]
) -> None:
    """Labels that are there are finite and of a size that numbers of this kind can have."""
    per_atom = label in ("forces", "charges")
    there = np.repeat(~absent, problems.n_atoms) if per_atom else ~absent
    if label == "stress":
        there = there & pbc.all(axis=1)
    flat = values.reshape(len(values), -1)
    for bad, kind, what, expected in (
        (~np.isfinite(flat), "not finite", "NaN or infinite", "finite"),
        (np.abs(flat) > LARGEST, "out of range", f"beyond {LARGEST:g}", f"at most {LARGEST:g}"),
    ):
        wrong = bad.any(axis=1) & there
        if per_atom:
            problems.add_atoms(wrong, label, f"{label} {kind}", what, f"{expected} {label} on all atoms")
            continue
        rows = np.flatnonzero(wrong)
        said = [str(values[m]) if label == "energy" else f"components {what}" for m in rows]
        problems.add(rows, label, f"{label} {kind}", said, f"{_a(expected)} {label}")


def _a(words: str) -> str:
    return f"a {words}" if words == "finite" else f"{words} as"


def find_problems(
    columns: Mapping[str, NDArray[Any]], names: Sequence[str], keys: Mapping[str, str], isolated: NDArray[np.bool_]
) -> dict[int, Problem]:
    """Row -> what is physically wrong with it alone, ascending, in eV and A; the rows are none of `find_unusable`."""
    problems = _Problems(columns, names, keys)
    first, n_atoms = columns["first_atom"], columns["n_atoms"]
    heights = check.cell_heights(columns["cell"], columns["pbc"])
    rows = np.flatnonzero(
        ~(heights > check.FLATTEST_CELL_A).all(axis=1) | ~np.isfinite(columns["cell"]).all(axis=(1, 2))
    )
    values = [str(columns["cell"][m].round(4).tolist()) for m in rows]
    problems.add(rows, "cell", "cell without volume", values, "a volume above 0")
    rows, distances = check.contacts(columns["position"], first, n_atoms, columns["cell"], columns["pbc"])
    values = [f"two atoms {distance:.3g} A apart" for distance in distances]
    problems.add(rows, "positions", "atoms too close", values, f"at least {check.CONTACT_A:g} A (are lengths in A?)")
    net = check.net_force(columns["force"], first)
    limit = check.NET_FORCE_EV_A * np.sqrt(n_atoms)
    rows = np.flatnonzero((net > limit) & ~columns["pbc"].any(axis=1))
    values = [f"forces that add up to {net[m]:.3g} eV/A" for m in rows]
    expected = f"at most {check.NET_FORCE_EV_A:g} eV/A times the root of the number of atoms in an open system"
    problems.add(rows, "forces", "net force on an open system", values, expected)
    rows = np.flatnonzero(isolated & ~np.isfinite(columns["energy"]))
    problems.add(
        rows, "energy", "isolated atom without energy", ["none"] * rows.size, "the energy of the isolated atom"
    )
    return problems.ascending()


LEAST_EV_ATOM = 15.0
N_DEVIATIONS = 20.0
ODD_EV_ATOM, N_ODD = 1.0, 50.0
SPARE_RECORDS = 5  # more than unknowns, or nothing can be said
MAX_FITTED = 20_000
N_ITERATIONS = 60
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def far_problem(record: str, key: str, energy_eV: float, far_eV_atom: float, limit_eV_atom: float) -> Problem:
    """Of a record whose energy is so far from what its composition usually has."""
    return Problem(
        record=record,
        key=key,
        kind="energy far from the others",
        found=f"{energy_eV:.8g} eV, {far_eV_atom:+.4g} eV/atom from the composition's usual energy",
        expected=f"at most {limit_eV_atom:.3g} eV/atom (another limit: --far-energy EV)",
    )


def far_limit_eV_atom(deviation: float, named: float | None) -> tuple[float, float]:
    """Beyond the first a record is far off, beyond the second it is odd; of robust deviations [eV/atom]."""
    limit = max(LEAST_EV_ATOM, N_DEVIATIONS * deviation) if named is None else named
    return limit, min(limit, max(ODD_EV_ATOM, N_ODD * deviation))


def far_energies(
    energy_eV: FloatArray,
    n_atoms: IntArray,
    composition: IntArray,
    shares: FloatArray,
    looked_at: NDArray[np.bool_],
) -> tuple[FloatArray, float]:
    """Distance of each energy from what its composition usually has, and the robust deviation of all [eV/atom].

    `shares` (n_compositions, n_elements), `composition` the row of each record. Energies of elements are fitted to at
    most MAX_FITTED records, evenly spaced. Zeros where there is no energy, for rows that are not `looked_at`, and
    everywhere if there are too few to tell.
    """
    rows = np.flatnonzero(np.isfinite(energy_eV) & looked_at)
    far = np.zeros(len(energy_eV))
    rank = int(np.linalg.matrix_rank(shares[np.unique(composition[rows])])) if rows.size else 0
    if rows.size < rank + SPARE_RECORDS:
        return far, 0.0
    per_atom = energy_eV[rows] / n_atoms[rows]
    some = np.linspace(0, rows.size - 1, min(rows.size, MAX_FITTED)).astype(np.int64)
    residual = per_atom - (shares @ _least_absolute(shares[composition[rows[some]]], per_atom[some]))[composition[rows]]
    residual -= np.median(residual)
    deviation = 1.4826 * float(np.median(np.abs(residual)))
    far[rows] = residual
    return far, deviation


def _least_absolute(share: FloatArray, per_atom: FloatArray) -> FloatArray:
    """Energies of elements by iteratively reweighted least squares, which goes from squares to absolute residuals."""
    weight = np.ones(len(per_atom))
    for _ in range(N_ITERATIONS):
        root = np.sqrt(weight)
        solution = np.linalg.lstsq(share * root[:, None], per_atom * root, rcond=1e-8)[0]
        size = np.abs(per_atom - share @ solution)
        weight = 1 / np.maximum(size, max(1e-6, 1e-3 * float(np.median(size))))
        weight /= weight.max()
    return np.asarray(solution)


SAME_EV = 1e-3


def copies(
    fingerprint: NDArray[np.uint64], energy_eV: FloatArray
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Records that repeat one before, which one each repeats, and by how much their energies differ (0 where nan)."""
    order = np.lexsort(fingerprint.T)  # stable: copies ascend
    new = np.append(True, (np.diff(fingerprint[order].astype(np.int64), axis=0) != 0).any(axis=1))
    first = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
    later, first = order[~new], first[~new]
    return later, first, np.nan_to_num(np.abs(energy_eV[later] - energy_eV[first]))


FAR_A = 8.0
MOST_BOUND_EV_ATOM = 30.0


def find_isolated(columns: Mapping[str, NDArray[Any]], called_so: NDArray[np.bool_] | bool) -> NDArray[np.bool_]:
    """Records that are isolated atoms; lengths in A."""
    apart = np.asarray((cell_heights(columns["cell"], columns["pbc"]) >= FAR_A).all(axis=1))
    return np.asarray((columns["n_atoms"] == 1) & (called_so | apart))


def isolated_energies(
    numbers: Sequence[int], energies_eV: Sequence[float], names: Sequence[str], notes: list[str]
) -> dict[int, float]:
    """Atomic number -> eV, of these isolated atoms."""
    energy_of: dict[int, float] = {}
    for number, energy, name in zip(numbers, energies_eV, names, strict=True):
        if number in energy_of and abs(energy_of[number] - energy) > SAME_EV:
            notes.append(
                f"note: {name}: a second isolated atom of the atomic number {number} with {energy:.8g} eV beside "
                f"{energy_of[number]:.8g} eV; the lower one is the reference"
            )
        energy_of[number] = min(energy, energy_of.get(number, energy))
    return energy_of


def refuse_isolated(name: str, bound_eV_atom: FloatArray) -> None:
    """Raise ValueError where isolated atoms, first `name`, cannot be of the same calculation as the other records.

    `bound_eV_atom` are the energies of these beyond the isolated atoms, nan where an element has none.
    """
    bound = bound_eV_atom[np.isfinite(bound_eV_atom)]
    if bound.size and abs(float(np.median(bound))) > MOST_BOUND_EV_ATOM:
        raise ValueError(
            f"{name} and others: found isolated atoms whose energies leave {np.median(bound):+.4g} eV/atom to "
            f"the typical record, expected at most {MOST_BOUND_EV_ATOM:g}: they are of another method or unit; take "
            "them out of the file"
        )
