"""Energy of the intrinsic stacking fault of the fcc crystal.

Close-packed layers follow each other with the shift s = (a1 + a2)/3: ABCABC. In a periodic cell of n layers whose third
vector is n layer distances up and (n - 2) s along, the shift from the last layer to the first one above is -s instead
of s (3 s is a lattice vector): one intrinsic fault per cell, ..ABC|BCA.. Relaxed are the atoms and the height of the
cell, which is the expansion normal to the fault.
"""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from ase import Atoms as ASEAtoms
from pydantic import Field

from models.physics.atoms.properties.crystals import (
    Atoms,
    Calculator,
    Lattice,
    Quantity,
    checked_energy,
    has_stress,
)
from models.physics.atoms.properties.relaxation import RelaxationSettings, relaxed
from models.physics.atoms.properties.surfaces import J_PER_M2
from models.settings import settings

__all__ = ["StackingFault", "StackingFaultSettings", "faulted_cell", "stacking_fault"]


@settings
class StackingFaultSettings:
    """Layers between a fault and its images."""

    layers: Annotated[int, Field(ge=6)] = 12
    relaxation: RelaxationSettings = field(default_factory=RelaxationSettings)


@dataclass(frozen=True, kw_only=True)
class StackingFault:
    """[mJ/m^2]."""

    intrinsic: float
    unrelaxed: float

    def quantities(self) -> dict[str, Quantity]:
        return {
            "intrinsic_stacking_fault": Quantity(value=self.intrinsic, unit="mJ/m^2"),
            "intrinsic_stacking_fault_unrelaxed": Quantity(value=self.unrelaxed, unit="mJ/m^2"),
        }


def stacking_fault(calculator: Calculator, lattice: Lattice, settings: StackingFaultSettings) -> StackingFault:
    """The height is relaxed only where the calculator has stress. Raises PropertyFailed where it does not relax."""
    cell = faulted_cell(lattice, settings.layers)
    cell.calc = calculator
    area = float(np.linalg.norm(np.cross(cell.cell[0], cell.cell[1]))) * J_PER_M2 / 1000
    perfect = len(cell) * lattice.energy_eV
    unrelaxed = checked_energy(cell) - perfect
    mask = (0, 0, 1, 0, 0, 0) if has_stress(calculator) else None
    _, energy = relaxed(cell, calculator, settings.relaxation, cell_mask=mask, what="stacking fault")
    return StackingFault(intrinsic=(energy - perfect) / area, unrelaxed=unrelaxed / area)


def faulted_cell(lattice: Lattice, layers: int, *, faulted: bool = True) -> Atoms:
    """One atom per layer; with `faulted` false the perfect crystal in the same kind of cell."""
    side = lattice.a0_A / np.sqrt(2)
    height = lattice.a0_A / np.sqrt(3)
    first, second = np.array([side, 0, 0]), np.array([side / 2, side * np.sqrt(0.75), 0])
    shift = (first + second) / 3
    up = np.array([0, 0, height])
    positions = [index * (up + shift) for index in range(layers)]
    third = layers * up + (layers - 2 if faulted else layers) * shift
    return ASEAtoms([lattice.element] * layers, positions=positions, cell=[first, second, third], pbc=True)
