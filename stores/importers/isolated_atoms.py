"""Single atoms in the data as energy references of their elements, apart from the configurations to train on.

A record is an isolated atom where it has one atom and the file calls it so, or no direction repeats, or all images are
at least FAR_A away: the primitive cell of a crystal is none. Of several records of an element the lowest energy counts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stores.atom_checks import cell_heights

__all__ = ["find_isolated", "isolated_energies"]

FAR_A = 8.0
SAME_EV = 1e-3
MOST_BOUND_EV_ATOM = 30.0


def find_isolated(columns: Mapping[str, NDArray[Any]], called_so: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Records that are isolated atoms; lengths in A."""
    apart = np.asarray((cell_heights(columns["cell"], columns["pbc"]) >= FAR_A).all(axis=1))
    return np.asarray((columns["n_atoms"] == 1) & (called_so | apart))


def isolated_energies(
    columns: Mapping[str, NDArray[Any]], isolated: NDArray[np.bool_], names: Sequence[str], notes: list[str]
) -> dict[int, float]:
    """Atomic number -> eV. Raises ValueError where they cannot be of the same calculation as the other records."""
    found: dict[int, float] = {}
    for row in np.flatnonzero(isolated).tolist():
        number, energy = int(columns["number"][columns["first_atom"][row]]), float(columns["energy"][row])
        if number in found and abs(found[number] - energy) > SAME_EV:
            notes.append(
                f"note: {names[row]}: a second isolated atom of the atomic number {number} with {energy:.8g} eV beside "
                f"{found[number]:.8g} eV; the lower one is the reference"
            )
        found[number] = min(energy, found.get(number, energy))
    bound = _bound(columns, ~isolated, found)
    if bound.size and abs(float(np.median(bound))) > MOST_BOUND_EV_ATOM:
        row = int(np.flatnonzero(isolated)[0])
        raise ValueError(
            f"{names[row]} and others: found isolated atoms whose energies leave {np.median(bound):+.4g} eV/atom to "
            f"the typical record, expected at most {MOST_BOUND_EV_ATOM:g}: they are of another method or unit; take "
            "them out of the file"
        )
    return found


def _bound(
    columns: Mapping[str, NDArray[Any]], others: NDArray[np.bool_], energies: Mapping[int, float]
) -> NDArray[np.float64]:
    """Energy per atom beyond the isolated atoms, of records all of whose elements have one."""
    lookup = np.full(int(columns["number"].max()) + 1, np.nan)
    lookup[list(energies)] = list(energies.values())
    atoms = np.add.reduceat(lookup[columns["number"].astype(np.int64)], columns["first_atom"])
    left = (columns["energy"] - atoms) / columns["n_atoms"]
    return np.asarray(left[others & np.isfinite(left)])
