"""What is wrong with single imported records, each told with file, record, key, found and expected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stores import atom_checks as check

__all__ = ["Problem", "find_problems"]


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


def find_problems(
    columns: Mapping[str, NDArray[Any]],
    names: Sequence[str],
    keys: Mapping[str, str],
    absent: Mapping[str, NDArray[np.bool_]],
) -> dict[int, Problem]:
    """Row -> what is wrong with it, ascending.

    `keys` tells under which key a label stood and that it is wanted, `absent` which rows may do without.
    """
    first, n_atoms = columns["first_atom"], columns["n_atoms"]
    found: dict[int, Problem] = {}
    none = np.zeros(len(n_atoms), dtype=bool)

    def add(rows: NDArray[Any], what: str, kind: str, found_there: Sequence[str], expected: str) -> None:
        for row, there in zip(rows.tolist(), found_there, strict=True):
            key = keys.get(what, what)
            found.setdefault(row, Problem(record=names[row], key=key, kind=kind, found=there, expected=expected))

    def add_numbers(bad: NDArray[np.bool_], what: str, kind: str, expected: str) -> None:
        rows = np.flatnonzero(check.any_atom(bad, first))
        add(rows, what, kind, _count(bad, first, n_atoms, rows), expected)

    number, position, force = columns["number"], columns["position"], columns["force"]
    unknown = (number < 1) | (number > 118)
    rows = np.flatnonzero(check.any_atom(unknown, first))
    values = [str(sorted({int(z) for z in number[first[m] : first[m] + n_atoms[m]] if z < 1 or z > 118})) for m in rows]
    add(rows, "numbers", "unknown element", [f"atomic numbers {value}" for value in values], "1 to 118")
    add_numbers(~np.isfinite(position).all(axis=1), "positions", "positions not finite", "finite positions")
    if "energy" in keys:
        rows = np.flatnonzero(~np.isfinite(columns["energy"]) & ~absent.get("energy", none))
        add(rows, "energy", "energy not finite", [str(e) for e in columns["energy"][rows]], "a finite energy")
    if "forces" in keys:
        wanted = np.repeat(~absent.get("forces", none), n_atoms)
        bad = ~np.isfinite(force).all(axis=1) & wanted
        add_numbers(bad, "forces", "forces not finite", "finite forces on all atoms")
    rows = np.flatnonzero(absent.get("energy", none) & absent.get("forces", none))
    add(rows, "energy", "no label at all", ["neither energy nor forces"] * rows.size, "one of them")
    if "stress" in keys:
        rows = np.flatnonzero(columns["pbc"].all(axis=1) & ~np.isfinite(columns["stress"]).all(axis=(1, 2)))
        add(rows, "stress", "stress not finite", ["NaN or infinite components"] * rows.size, "a finite stress")
    heights = check.cell_heights(columns["cell"], columns["pbc"])
    rows = np.flatnonzero(
        ~(heights > check.FLATTEST_CELL_A).all(axis=1) | ~np.isfinite(columns["cell"]).all(axis=(1, 2))
    )
    add(
        rows,
        "cell",
        "cell without volume",
        [str(columns["cell"][m].round(4).tolist()) for m in rows],
        "a volume above 0",
    )
    rows, distances = check.contacts(position, first, n_atoms, columns["cell"], columns["pbc"])
    told = [f"two atoms {distance:.3g} A apart" for distance in distances]
    add(rows, "positions", "atoms too close", told, f"at least {check.CONTACT_A:g} A (are lengths in A?)")
    net = check.net_force(force, first)
    limit = check.NET_FORCE_EV_A * np.sqrt(n_atoms)
    rows = np.flatnonzero((net > limit) & ~columns["pbc"].any(axis=1))
    told = [f"forces that add up to {net[m]:.3g} eV/A" for m in rows]
    expected = f"at most {check.NET_FORCE_EV_A:g} eV/A times the root of the number of atoms in an open system"
    add(rows, "forces", "net force on an open system", told, expected)
    return dict(sorted(found.items()))


def _count(
    bad: NDArray[np.bool_], first: NDArray[np.int64], n_atoms: NDArray[np.int32], rows: NDArray[np.intp]
) -> list[str]:
    return [f"{int(bad[first[m] : first[m] + n_atoms[m]].sum())} of {n_atoms[m]} atoms NaN or infinite" for m in rows]
