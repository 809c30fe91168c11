"""One configuration of atoms as plain arrays: what samplers make and engines label. Lengths in A."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Structure", "minimum_distance"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Structure:
    """Periodic in all directions where `cell_A` is given. Structures of one `group` are related: split by it."""

    numbers: IntArray  # (n_atoms,)
    positions_A: FloatArray  # (n_atoms, 3)
    cell_A: FloatArray | None = None  # (3, 3), rows are vectors
    source: str = ""
    group: int = 0

    @property
    def periodic(self) -> bool:
        return self.cell_A is not None


def minimum_distance(structure: Structure) -> float:
    """Smallest distance of two atoms, of an atom and its own images too [A]; infinite for a lone atom.

    Exact for cells whose nearest images are next neighbours, which holds unless a cell is very oblique. Memory grows
    with the square of the number of atoms.
    """
    positions = structure.positions_A
    difference = positions[:, None, :] - positions[None, :, :]  # (n, n, 3)
    shifts = np.zeros((1, 3))
    if structure.cell_A is not None:
        fractional = difference @ np.linalg.inv(structure.cell_A)
        difference = (fractional - np.round(fractional)) @ structure.cell_A
        steps = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)], dtype=np.float64)
        shifts = steps @ structure.cell_A
    smallest = np.inf
    for shift in shifts:
        squares = np.sum((difference + shift) ** 2, axis=-1)  # (n_atoms, n_atoms)
        if not shift.any():
            np.fill_diagonal(squares, np.inf)
        smallest = min(smallest, float(squares.min()))
    return float(np.sqrt(smallest))
