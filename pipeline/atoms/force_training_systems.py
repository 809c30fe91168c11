"""Batches for timing: structures that need no quantum mechanics, with labels at random.

What a step costs does not depend on what the labels say.
"""

from dataclasses import replace

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.collections import g2

from models.frames import Frames

__all__ = ["aluminium_cells", "organic_molecules"]

ORGANIC = {1, 6, 7, 8}
FEWEST_ATOMS = 6
LATTICE_CONSTANT_A = 4.05


def organic_molecules(n_configurations: int, *, rattle_A: float, seed: int) -> Frames:
    """Molecules of H, C, N, O of the G2 collection with carbon and at least 6 atoms, in turn, rattled."""
    organic = [atoms for atoms in (g2[name] for name in g2.names) if _organic(atoms)]
    shapes = [organic[index % len(organic)] for index in range(n_configurations)]
    return _labelled(shapes, rattle_A=rattle_A, seed=seed)


def aluminium_cells(n_configurations: int, *, rattle_A: float, seed: int) -> Frames:
    """fcc cells of 108 atoms, rattled."""
    crystal = bulk("Al", a=LATTICE_CONSTANT_A, cubic=True) * (3, 3, 3)
    return _labelled([crystal] * n_configurations, rattle_A=rattle_A, seed=seed)


def _organic(atoms: Atoms) -> bool:
    elements = set(atoms.numbers.tolist())
    return 6 in elements and elements <= ORGANIC and len(atoms) >= FEWEST_ATOMS


def _labelled(shapes: list[Atoms], *, rattle_A: float, seed: int) -> Frames:
    random = np.random.default_rng(seed)
    n_atoms = sum(len(atoms) for atoms in shapes)
    displacement = rattle_A * random.normal(size=(n_atoms, 3))
    frames = Frames.concatenate(
        Frames.one(numbers=atoms.numbers, positions_A=atoms.positions, cell_A=atoms.cell.array, pbc=atoms.pbc)
        for atoms in shapes
    )
    return replace(
        frames,
        positions_A=frames.positions_A + displacement,
        energies_eV=random.normal(size=len(shapes)),
        forces_eV_A=random.normal(size=(n_atoms, 3)),
    )
