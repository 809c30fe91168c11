"""What atoms side by side must obey, as masks over configurations: offsets, contacts, net force, cells.

Configurations lie one after another (CSR): configuration m owns the n_atoms[m] rows from first_atom[m] on of the
arrays per atom. All checks are vectorised over a whole store.

    close contact   two atoms, or an atom and an image, nearer than CONTACT_A
    net force       |sum of forces| of an open system above NET_FORCE_EV_A sqrt(n_atoms). It vanishes for exact
                    gradients; DFT on a grid without the grid's response leaves about 0.01 to 0.1 eV/A, as do the
                    roundings of published files, and errors of atoms add up like a random walk
    flat cell       a periodic direction thinner than FLATTEST_CELL_A: the volume is zero, or as good as that
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.frames import CONTACT_A, FloatArray, IntArray

__all__ = [
    "CONTACT_A",
    "FLATTEST_CELL_A",
    "NET_FORCE_EV_A",
    "any_atom",
    "cell_heights",
    "contacts",
    "net_force",
    "offsets_agree",
]

NET_FORCE_EV_A = 0.05
FLATTEST_CELL_A = 0.01
ATOMS_PER_TREE = 200_000

Mask = NDArray[np.bool_]


def offsets_agree(first_atom: IntArray, n_atoms: NDArray[np.int32], n_rows: int) -> Mask:
    """True for each configuration that begins where the one before ends; the last must end at `n_rows`."""
    ends = np.cumsum(n_atoms, dtype=np.int64)
    agree = first_atom == ends - n_atoms
    if agree.size:
        agree[-1] &= ends[-1] == n_rows
    return np.asarray(agree & (n_atoms > 0))


def any_atom(mask: Mask, first_atom: IntArray) -> Mask:
    """Whether any atom of each configuration is marked; `mask` (n_atoms_in_all,)."""
    return np.asarray(np.logical_or.reduceat(mask, first_atom)) if first_atom.size else np.zeros(0, dtype=bool)


def net_force(force: FloatArray, first_atom: IntArray) -> FloatArray:
    """|sum of forces| of each configuration, (n_configs,) [eV/A]."""
    if not first_atom.size:
        return np.zeros(0)
    return np.asarray(np.linalg.norm(np.add.reduceat(force, first_atom, axis=0), axis=1))


def cell_heights(cell: FloatArray, pbc: Mask) -> FloatArray:
    """Distance of neighbouring images of the lattice planes, (n_configs, 3) [A]; infinite where not periodic.

    Zero in all periodic directions where the vectors are not finite or not independent.
    """
    heights = np.full(pbc.shape, np.inf)
    for rows, axes in _by_periodicity(pbc):
        vectors = cell[rows][:, axes]
        heights[np.ix_(rows, axes)] = 0.0
        finite = np.asarray(np.isfinite(vectors).all(axis=(1, 2)))
        solid = finite & (np.linalg.matrix_rank(np.where(finite[:, None, None], vectors, 0.0)) == axes.size)
        dual = np.linalg.pinv(vectors[solid])  # (n, 3, n_axes)
        heights[np.ix_(rows[solid], axes)] = 1 / np.linalg.norm(dual, axis=1)
    return heights


def contacts(
    position: FloatArray, first_atom: IntArray, n_atoms: NDArray[np.int32], cell: FloatArray, pbc: Mask
) -> tuple[IntArray, FloatArray]:
    """Configurations with atoms nearer than CONTACT_A, periodic images included, and their smallest distance [A].

    Flat cells and positions that are not finite are left out: other checks tell them.
    """
    if not first_atom.size:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    heights = cell_heights(cell, pbc)
    sound = ~any_atom(np.asarray(~np.isfinite(position).all(axis=1)), first_atom) & (heights > FLATTEST_CELL_A).all(
        axis=1
    )
    ends = np.cumsum(n_atoms, dtype=np.int64)
    cuts = [0, *(np.searchsorted(ends, range(ATOMS_PER_TREE, int(ends[-1]), ATOMS_PER_TREE)) + 1), len(ends)]
    closest: dict[int, float] = {}
    for first, last in pairwise(sorted(set(int(cut) for cut in cuts))):
        rows = np.arange(first, last)[sound[first:last]]
        if rows.size:
            _contacts_of(rows, position, first_atom, n_atoms, cell, pbc, heights, closest)
    order = np.array(sorted(closest), dtype=np.int64)
    return order, np.array([closest[int(row)] for row in order])


def _contacts_of(
    rows: IntArray,
    position: FloatArray,
    first_atom: IntArray,
    n_atoms: NDArray[np.int32],
    cell: FloatArray,
    pbc: Mask,
    heights: FloatArray,
    closest: dict[int, float],
) -> None:
    """One search tree for many configurations: a fourth coordinate keeps them apart."""
    from scipy.spatial import cKDTree

    atoms = np.concatenate([np.arange(first_atom[m], first_atom[m] + n_atoms[m]) for m in rows])
    owner = np.repeat(rows, n_atoms[rows])
    points = position[atoms]
    points, owner = _with_images(points, owner, cell, pbc, heights)
    tree = cKDTree(np.column_stack([points, owner.astype(np.float64)]), balanced_tree=False, compact_nodes=False)
    pairs = tree.query_pairs(CONTACT_A, output_type="ndarray")
    distances = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    for config, distance in zip(owner[pairs[:, 0]].tolist(), distances.tolist(), strict=True):
        if distance < CONTACT_A:
            closest[config] = min(distance, closest.get(config, np.inf))


def _with_images(
    points: FloatArray, owner: IntArray, cell: FloatArray, pbc: Mask, heights: FloatArray
) -> tuple[FloatArray, IntArray]:
    """Atoms wrapped into their cells and, beyond each upper face, the images within CONTACT_A of it."""
    periodic = np.flatnonzero(pbc[owner].any(axis=1))
    if not periodic.size:
        return points, owner
    configs, config = np.unique(owner[periodic], return_inverse=True)
    fraction = np.zeros((periodic.size, 3))
    for rows, axes in _by_periodicity(pbc[configs]):
        dual = np.zeros((len(configs), 3, axes.size))
        dual[rows] = np.linalg.pinv(cell[configs[rows]][:, axes])
        members = np.flatnonzero(np.isin(config, rows))
        fraction[np.ix_(members, axes)] = np.einsum("ix,ixa->ia", points[periodic[members]], dual[config[members]])
    wrapped = points.copy()
    home = np.where(pbc[owner[periodic]], np.floor(fraction), 0.0)
    wrapped[periodic] -= np.einsum("ia,iax->ix", home, cell[owner[periodic]])
    all_points, all_owner = [wrapped], [owner]
    points, owner, fraction = wrapped[periodic], owner[periodic], fraction - home
    for axis in range(3):
        repeats = pbc[owner, axis]
        height = np.where(repeats, heights[owner, axis], 0.0)
        grown = [(points, owner, fraction)]
        layer = 0
        while (near := repeats & ((fraction[:, axis] + layer) * height < CONTACT_A)).any():
            layer += 1
            moved = fraction[near].copy()
            moved[:, axis] += layer
            image = points[near] + layer * cell[owner[near], axis]
            grown.append((image, owner[near], moved))
            all_points.append(image)
            all_owner.append(owner[near])
        points, owner, fraction = (np.concatenate(parts) for parts in zip(*grown, strict=True))
    return np.concatenate(all_points), np.concatenate(all_owner)


def _by_periodicity(pbc: Mask) -> list[tuple[IntArray, IntArray]]:
    """Configurations that share their periodic directions, and these directions; open ones are left out."""
    code = pbc @ np.array([1, 2, 4])
    return [
        (np.flatnonzero(code == pattern), np.flatnonzero([pattern & 1, pattern & 2, pattern & 4]))
        for pattern in np.unique(code[code > 0])
    ]
