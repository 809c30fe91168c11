"""Which atoms see each other: pairs within a cutoff, each once, under any periodic boundary.

The search is vesin's (cell lists in C++); for cells periodic in some directions only, which it does not know, it is
matscipy's.
Images are found even where the cell is smaller than the cutoff, an atom then meets itself.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Neighbours", "find_neighbours", "sorted_ends"]


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Pairs of one configuration."""

    first: np.ndarray  # (n_pairs,) int64
    second: np.ndarray  # (n_pairs,) int64
    shift: np.ndarray  # (n_pairs, 3) int, image of `second` in lattice vectors


def find_neighbours(positions_A: np.ndarray, cell_A: np.ndarray, pbc: np.ndarray, cutoff_A: float) -> Neighbours:
    """Pairs no further apart than `cutoff_A`; positions (n_atoms, 3), cell (3, 3) of lattice vectors as rows, pbc (3,).

    The order depends on the input alone. Raises ValueError for a cutoff that is not positive, positions which are not
    finite and a periodic cell without volume.
    """
    positions = np.ascontiguousarray(positions_A, dtype=np.float64)
    periodic = np.asarray(pbc, dtype=bool)
    cell = np.array(cell_A, dtype=np.float64)
    _check(positions, cell, periodic, cutoff_A)
    if periodic.any() and not periodic.all():
        first, second, shift = _mixed_boundary(positions, cell, periodic, cutoff_A)
    else:
        from vesin import NeighborList

        search = NeighborList(cutoff=float(cutoff_A), full_list=False, sorted=True)
        box = cell if periodic.all() else np.zeros((3, 3))
        first, second, shift = search.compute(
            points=positions, box=box, periodic=bool(periodic.all()), quantities="ijS"
        )
    return Neighbours(
        first=first.astype(np.int64), second=second.astype(np.int64), shift=shift.astype(np.int64).reshape(-1, 3)
    )


def _check(positions: np.ndarray, cell: np.ndarray, periodic: np.ndarray, cutoff_A: float) -> None:
    problems = []
    if not cutoff_A > 0:
        problems.append(f"cutoff: found {cutoff_A} A, expected more than 0")
    if positions.ndim != 2 or positions.shape[1] != 3 or not np.isfinite(positions).all():
        problems.append(f"positions: found shape {positions.shape}, expected finite (n_atoms, 3)")
    if periodic.any() and not abs(np.linalg.det(cell)) > 0:
        problems.append(
            f"cell: found volume 0 with pbc {periodic.tolist()}, expected three independent lattice vectors"
        )
    if problems:
        raise ValueError("; ".join(problems))


def _mixed_boundary(
    positions: np.ndarray, cell: np.ndarray, periodic: np.ndarray, cutoff_A: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from matscipy.neighbours import neighbour_list

    first, second, shift = neighbour_list("ijS", positions=positions, cell=cell, pbc=periodic, cutoff=float(cutoff_A))
    # Each pair comes from both ends: keep the one whose (second - first, shift) is the lexically positive of the two.
    keys = np.column_stack([second - first, shift])
    leading = keys[np.arange(len(keys)), np.argmax(keys != 0, axis=1)]
    kept = np.flatnonzero(leading > 0)
    kept = kept[np.lexsort((*shift[kept].T[::-1], second[kept], first[kept]))]
    return first[kept], second[kept], shift[kept]


def sorted_ends(first: np.ndarray, second: np.ndarray, n_atoms: int) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of all pairs by atom, (2 n_pairs,), and how many each atom has, (n_atoms,).

    Ends are numbered 0, 1, ... at the first atoms of the pairs, then at their second atoms; an atom's keep that order.
    """
    atom = np.concatenate([first, second])
    return np.argsort(atom, kind="stable"), np.bincount(atom, minlength=n_atoms)
