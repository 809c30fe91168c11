"""What is wrong with single imported records, each told with file, record, key, found and expected."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stores import atom_checks as check
from stores.importers.energy_outliers import far_energies, far_limit_eV_atom

__all__ = ["Problem", "find_problems", "find_unusable"]

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


class _Found:
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

    def add_atoms(self, bad: NDArray[np.bool_], what: str, kind: str, told: str, expected: str) -> None:
        rows = np.flatnonzero(check.any_atom(bad, self.first))
        counts = [int(bad[self.first[m] : self.first[m] + self.n_atoms[m]].sum()) for m in rows]
        found = [f"{count} of {self.n_atoms[m]} atoms {told}" for count, m in zip(counts, rows, strict=True)]
        self.add(rows, what, kind, found, expected)

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

    `keys` tells under which key a label stood, `named` the labels that every row must have, `absent` which rows do
    not have a label's key.
    """
    found = _Found(columns, names, keys)
    first, n_atoms, number = columns["first_atom"], columns["n_atoms"], columns["number"]
    none = np.zeros(len(n_atoms), dtype=bool)
    unknown = (number < 1) | (number > 118)
    rows = np.flatnonzero(check.any_atom(unknown, first))
    values = [str(sorted({int(z) for z in number[first[m] : first[m] + n_atoms[m]] if z < 1 or z > 118})) for m in rows]
    found.add(rows, "numbers", "unknown element", [f"atomic numbers {value}" for value in values], "1 to 118")
    position = columns["position"]
    bad = ~np.isfinite(position).all(axis=1)
    found.add_atoms(bad, "positions", "positions not finite", "NaN or infinite", "finite positions")
    farthest = f"coordinates up to {FARTHEST:g} (are these the positions?)"
    bad = (np.abs(position) > FARTHEST).any(axis=1)
    found.add_atoms(bad, "positions", "positions out of range", f"beyond {FARTHEST:g}", farthest)
    rows = np.flatnonzero((np.abs(columns["cell"]) > FARTHEST).any(axis=(1, 2)))
    found.add(rows, "cell", "cell out of range", [f"a vector beyond {FARTHEST:g}"] * rows.size, farthest)
    for label in sorted(named):
        rows = np.flatnonzero(absent.get(label, none))
        expected = "it in every record, for it is to be read"
        found.add(rows, label, f"no {label}", [f"no such key for {label}"] * rows.size, expected)
    rows = np.flatnonzero(absent.get("energy", none) & absent.get("forces", none))
    found.add(rows, "energy", "no label at all", ["neither energy nor forces"] * rows.size, "one of them")
    for label, name in (("energy", "energy"), ("forces", "force"), ("stress", "stress"), ("charges", "charge")):
        if label in keys:
            _check_values(found, label, columns[name], absent.get(label, none), columns["pbc"])
    return found.ascending()


def _check_values(
    found: _Found, label: str, values: NDArray[Any], absent: NDArray[np.bool_], pbc: NDArray[np.bool_]
) -> None:
    """Labels that are there are finite and of a size that numbers of this kind can have."""
    per_atom = label in ("forces", "charges")
    there = np.repeat(~absent, found.n_atoms) if per_atom else ~absent
    if label == "stress":
        there = there & pbc.all(axis=1)
    flat = values.reshape(len(values), -1)
    for bad, kind, told, expected in (
        (~np.isfinite(flat), "not finite", "NaN or infinite", "finite"),
        (np.abs(flat) > LARGEST, "out of range", f"beyond {LARGEST:g}", f"at most {LARGEST:g}"),
    ):
        wrong = bad.any(axis=1) & there
        if per_atom:
            found.add_atoms(wrong, label, f"{label} {kind}", told, f"{expected} {label} on all atoms")
            continue
        rows = np.flatnonzero(wrong)
        said = [str(values[m]) if label == "energy" else f"components {told}" for m in rows]
        found.add(rows, label, f"{label} {kind}", said, f"{_a(expected)} {label}")


def _a(words: str) -> str:
    return f"a {words}" if words == "finite" else f"{words} as"


def find_problems(
    columns: Mapping[str, NDArray[Any]],
    names: Sequence[str],
    keys: Mapping[str, str],
    isolated: NDArray[np.bool_],
    *,
    far_eV_atom: float | None = None,
    notes: list[str],
) -> dict[int, Problem]:
    """Row -> what is physically wrong with it, ascending, in eV and A; the rows are none of `find_unusable`.

    `far_eV_atom` is how far an energy may be from the others of its composition; what is merely odd goes to `notes`.
    """
    found = _Found(columns, names, keys)
    first, n_atoms = columns["first_atom"], columns["n_atoms"]
    heights = check.cell_heights(columns["cell"], columns["pbc"])
    rows = np.flatnonzero(
        ~(heights > check.FLATTEST_CELL_A).all(axis=1) | ~np.isfinite(columns["cell"]).all(axis=(1, 2))
    )
    told = [str(columns["cell"][m].round(4).tolist()) for m in rows]
    found.add(rows, "cell", "cell without volume", told, "a volume above 0")
    rows, distances = check.contacts(columns["position"], first, n_atoms, columns["cell"], columns["pbc"])
    told = [f"two atoms {distance:.3g} A apart" for distance in distances]
    found.add(rows, "positions", "atoms too close", told, f"at least {check.CONTACT_A:g} A (are lengths in A?)")
    net = check.net_force(columns["force"], first)
    limit = check.NET_FORCE_EV_A * np.sqrt(n_atoms)
    rows = np.flatnonzero((net > limit) & ~columns["pbc"].any(axis=1))
    told = [f"forces that add up to {net[m]:.3g} eV/A" for m in rows]
    expected = f"at most {check.NET_FORCE_EV_A:g} eV/A times the root of the number of atoms in an open system"
    found.add(rows, "forces", "net force on an open system", told, expected)
    far, deviation = far_energies(columns, ~isolated)
    limit_eV, odd_eV = far_limit_eV_atom(deviation, far_eV_atom)
    rows = np.flatnonzero(np.abs(far) > limit_eV)
    told = [f"{columns['energy'][m]:.8g} eV, {far[m]:+.4g} eV/atom from the composition's usual energy" for m in rows]
    expected = f"at most {limit_eV:.3g} eV/atom (another limit: --far-energy EV)"
    found.add(rows, "energy", "energy far from the others", told, expected)
    if (odd := np.flatnonzero((np.abs(far) > odd_eV) & (np.abs(far) <= limit_eV))).size:
        row = int(odd[np.argmax(np.abs(far[odd]))])
        notes.append(
            f"note: {odd.size} records have energies more than {odd_eV:.3g} eV/atom from the others of their "
            f"composition, most {names[row]} with {far[row]:+.4g}; --far-energy {odd_eV:.2g} refuses them"
        )
    rows = np.flatnonzero(isolated & ~np.isfinite(columns["energy"]))
    found.add(rows, "energy", "isolated atom without energy", ["none"] * rows.size, "the energy of the isolated atom")
    return found.ascending()
