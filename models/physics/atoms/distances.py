"""How near atoms come in a frame, periodic images included."""

import numpy as np

from models.frames import Frames

__all__ = ["minimum_distance"]


def minimum_distance(frame: Frames) -> float:
    """Smallest distance of two atoms of one frame, of an atom and its own images too [A]; infinite for a lone atom.

    Exact for cells whose nearest images are next neighbours, which holds unless a cell is very oblique. Memory grows
    with the square of the number of atoms.
    """
    positions = frame.positions_A
    difference = positions[:, None, :] - positions[None, :, :]  # (n, n, 3)
    shifts = np.zeros((1, 3))
    if frame.cell_A is not None:
        fractional = difference @ np.linalg.inv(frame.cell_A)
        difference = (fractional - np.round(fractional)) @ frame.cell_A
        steps = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)], dtype=np.float64)
        shifts = steps @ frame.cell_A
    smallest = np.inf
    for shift in shifts:
        squares = np.sum((difference + shift) ** 2, axis=-1)  # (n_atoms, n_atoms)
        if not shift.any():
            np.fill_diagonal(squares, np.inf)
        smallest = min(smallest, float(squares.min()))
    return float(np.sqrt(smallest))
