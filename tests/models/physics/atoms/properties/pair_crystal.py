"""A Morse potential between nearest neighbours only: every property of its fcc crystal has a closed form.

phi(r) = depth [(1 - exp(-width (r - distance)))^2 - 1],   phi'' = 2 depth width^2 at the minimum,   0 beyond reach
"""

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress

DISTANCE = 4.05 / np.sqrt(2)
DEPTH = 0.5
WIDTH = 1.5
STIFFNESS = 2 * DEPTH * WIDTH**2
LATTICE_CONSTANT = 4.05


class NearestNeighbours(Calculator):
    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, reach=1.3):
        super().__init__()
        self.reach = reach * DISTANCE

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        first, length, vector = neighbor_list("idD", atoms, self.reach)
        decay = np.exp(-WIDTH * (length - DISTANCE))
        slope = 2 * DEPTH * WIDTH * (1 - decay) * decay
        pull = (slope / length)[:, None] * vector  # force on the first atom of each pair, counted from both ends
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, first, pull)
        self.results = {"energy": 0.5 * DEPTH * float(((1 - decay) ** 2 - 1).sum()), "forces": forces}
        if atoms.pbc.all():
            stress = 0.5 * np.einsum("ni,nj->ij", pull, vector) / atoms.get_volume()
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)


class Repulsive(NearestNeighbours):
    """Falls off for ever: nothing has a minimum."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        Calculator.calculate(self, atoms, properties, system_changes)
        first, length, vector = neighbor_list("idD", atoms, 8.0)
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, first, -(6 * length**-8)[:, None] * vector)
        self.results = {"energy": 0.5 * float((length**-6).sum()), "forces": forces, "stress": np.zeros(6)}


class Broken(Calculator):
    """Gives NaN, or raises where asked to."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, error=None):
        super().__init__()
        self.error = error

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if self.error is not None:
            raise RuntimeError(self.error)
        nothing = np.full((len(atoms), 3), np.nan)
        self.results = {"energy": np.nan, "forces": nothing, "stress": np.full(6, np.nan)}
