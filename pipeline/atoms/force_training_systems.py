"""Batches for timing: structures that need no quantum mechanics, with labels at random.

What a step costs does not depend on what the labels say.
"""

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.collections import g2

from models.training.potentials.configurations import Configurations

__all__ = ["aluminium_cells", "organic_molecules"]

ORGANIC = {1, 6, 7, 8}
FEWEST_ATOMS = 6
LATTICE_CONSTANT_A = 4.05


def organic_molecules(n_configurations: int, *, rattle_A: float, seed: int) -> Configurations:
    """Molecules of H, C, N, O of the G2 collection with carbon and at least 6 atoms, in turn, rattled."""
    organic = [atoms for atoms in (g2[name] for name in g2.names) if _organic(atoms)]
    shapes = [organic[index % len(organic)] for index in range(n_configurations)]
    return _labelled(shapes, rattle_A=rattle_A, seed=seed)


def aluminium_cells(n_configurations: int, *, rattle_A: float, seed: int) -> Configurations:
    """fcc cells of 108 atoms, rattled."""
    crystal = bulk("Al", a=LATTICE_CONSTANT_A, cubic=True) * (3, 3, 3)
    return _labelled([crystal] * n_configurations, rattle_A=rattle_A, seed=seed)


def _organic(atoms: Atoms) -> bool:
    elements = set(atoms.numbers.tolist())
    return 6 in elements and elements <= ORGANIC and len(atoms) >= FEWEST_ATOMS


def _labelled(shapes: list[Atoms], *, rattle_A: float, seed: int) -> Configurations:
    random = np.random.default_rng(seed)
    n_atoms = np.array([len(atoms) for atoms in shapes])
    n_configs, total = len(shapes), int(n_atoms.sum())
    positions = np.concatenate([atoms.positions for atoms in shapes]) + rattle_A * random.normal(size=(total, 3))
    return Configurations(
        numbers_A=np.concatenate([atoms.numbers for atoms in shapes]),
        positions_A3=positions,
        n_atoms_M=n_atoms,
        cell_M33=np.stack([atoms.cell.array for atoms in shapes]),
        pbc_M3=np.stack([atoms.pbc for atoms in shapes]),
        energy_M=random.normal(size=n_configs),
        forces_A3=random.normal(size=(total, 3)),
        stress_M33=np.full((n_configs, 3, 3), np.nan),
    )
