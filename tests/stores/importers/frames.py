"""Small molecules whose labels are known in eV and A, for the tests of importers."""

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

NAMES = ("H2O", "CH4", "NH3", "CO2")
HARTREE = 27.211386245988
TOTAL_EV = {1: -13.6, 6: -1029.9, 7: -1485.4, 8: -2042.7}


def frames(n: int = 12, seed: int = 0, names: tuple[str, ...] = NAMES) -> list[Atoms]:
    """Rattled molecules in turn, total energies, forces of springs between all pairs of atoms (no net force)."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(n):
        atoms = molecule(names[index % len(names)])
        rest = atoms.get_all_distances()
        atoms.rattle(0.04, rng=rng)
        apart = atoms.get_all_distances(vector=True)
        now = np.linalg.norm(apart, axis=2) + np.eye(len(atoms))
        stretch = now - rest - np.eye(len(atoms))
        forces = 20 * (stretch[:, :, None] * apart / now[:, :, None]).sum(axis=1)
        energy = sum(TOTAL_EV[z] for z in atoms.numbers) + 5 * (stretch**2).sum()
        atoms.calc = SinglePointCalculator(atoms, energy=float(energy), forces=forces)
        made.append(atoms)
    return made
