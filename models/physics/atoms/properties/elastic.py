"""Elastic constants of a cubic crystal from its stress under small strains.

With the strain e applied to the cell as F = 1 + e and the stress s(e) of the relaxed atoms,

    C11 = [s1(e1 = d) - s1(e1 = -d)] / 2d,   C12 the same with s2,   C44 = [s4(e4 = d) - s4(e4 = -d)] / 2d

e4 = 2 e_yz. Central differences leave an error of order d^2. Atoms are relaxed in each strained cell where symmetry
does not hold them in place (diamond); a crystal with one atom per primitive cell has nothing to relax.
"""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from pydantic import Field

from models.physics.atoms.properties.crystals import (
    Atoms,
    Calculator,
    FloatArray,
    Lattice,
    PropertyFailed,
    Quantity,
    crystal,
    stress_GPa,
)
from models.physics.atoms.properties.relaxation import RelaxationSettings, relaxed
from models.settings import settings

__all__ = ["ElasticConstants", "ElasticSettings", "cubic_elastic_constants", "elastic_constants"]


@settings
class ElasticSettings:
    """Size of the strain components, e1 and e4."""

    strain: Annotated[float, Field(gt=0, le=0.05)] = 0.005
    relaxation: RelaxationSettings = field(default_factory=RelaxationSettings)


@dataclass(frozen=True, kw_only=True)
class ElasticConstants:
    """[GPa]; stable where C44 > 0, C11 > |C12| and C11 + 2 C12 > 0 (M. Born)."""

    c11_GPa: float
    c12_GPa: float
    c44_GPa: float

    @property
    def bulk_modulus_GPa(self) -> float:
        return (self.c11_GPa + 2 * self.c12_GPa) / 3

    def quantities(self) -> dict[str, Quantity]:
        values = {"c11": self.c11_GPa, "c12": self.c12_GPa, "c44": self.c44_GPa}
        return {name: Quantity(value=value, unit="GPa") for name, value in values.items()}


def elastic_constants(calculator: Calculator, lattice: Lattice, settings: ElasticSettings) -> ElasticConstants:
    """Of the fcc crystal at its minimum. Raises PropertyFailed where a stress is not finite."""
    return cubic_elastic_constants(calculator, crystal(lattice.element, "fcc", lattice.a0_A), settings)


def cubic_elastic_constants(calculator: Calculator, cell: Atoms, settings: ElasticSettings) -> ElasticConstants:
    """Of any cubic crystal whose cubic axes are the Cartesian ones. Raises PropertyFailed."""
    d = settings.strain
    tension = (_stress(calculator, cell, 0, d, settings) - _stress(calculator, cell, 0, -d, settings)) / (2 * d)
    shear = (_stress(calculator, cell, 3, d, settings) - _stress(calculator, cell, 3, -d, settings)) / (2 * d)
    constants = ElasticConstants(c11_GPa=float(tension[0]), c12_GPa=float(tension[1:3].mean()), c44_GPa=float(shear[3]))
    if not np.isfinite([constants.c11_GPa, constants.c12_GPa, constants.c44_GPa]).all():
        raise PropertyFailed("the stress of strained cells is not finite")
    return constants


def _stress(calculator: Calculator, cell: Atoms, component: int, size: float, settings: ElasticSettings) -> FloatArray:
    strain = np.zeros((3, 3))
    if component < 3:
        strain[component, component] = size
    else:
        strain[1, 2] = strain[2, 1] = size / 2
    strained = cell.copy()
    strained.set_cell(cell.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    if len(strained) > 1:
        strained, _ = relaxed(strained, calculator, settings.relaxation, what="strained cell")
    return stress_GPa(strained, calculator)
