"""Energies of the low-index surfaces of the fcc crystal, from relaxed slabs.

gamma = (E_slab - N E_bulk) / 2A, with the in-plane lattice constant of the bulk minimum and one atom per layer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

import ase.units
import numpy as np
from ase.build import fcc100, fcc110, fcc111
from pydantic import Field, PositiveFloat

from models.physics.atoms.properties.crystals import (
    CALCULATION_ERRORS,
    Atoms,
    Calculator,
    Lattice,
    Quantity,
    checked_energy,
    reason_of,
)
from models.physics.atoms.properties.relaxation import RelaxationSettings, relaxed
from models.settings import settings

__all__ = ["J_PER_M2", "Surface", "SurfaceSettings", "Surfaces", "surfaces"]

J_PER_M2 = ase.units.J / ase.units.m**2  # in eV/A^2
BUILDERS: dict[str, Callable[..., Atoms]] = {"111": fcc111, "100": fcc100, "110": fcc110}


@settings
class SurfaceSettings:
    """Thickness of the slabs in layers, of the vacuum between them in A."""

    layers_111: Annotated[int, Field(ge=3)] = 8
    layers_100: Annotated[int, Field(ge=3)] = 8
    layers_110: Annotated[int, Field(ge=3)] = 12
    vacuum_A: PositiveFloat = 16.0
    relaxation: RelaxationSettings = field(default_factory=RelaxationSettings)


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Energies [J/m^2]; `energy` is None where the slab did not relax."""

    energy: float | None
    unrelaxed: float
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Surfaces:
    """By Miller indices."""

    surfaces: dict[str, Surface]

    def quantities(self) -> dict[str, Quantity]:
        quantities = {}
        for name, surface in self.surfaces.items():
            quantities[f"surface_{name}"] = Quantity(value=surface.energy, unit="J/m^2", failure=surface.failure)
            quantities[f"surface_{name}_unrelaxed"] = Quantity(value=surface.unrelaxed, unit="J/m^2")
        return quantities


def surfaces(calculator: Calculator, lattice: Lattice, settings: SurfaceSettings) -> Surfaces:
    """A slab that does not relax is a failure of its own. Raises PropertyFailed where an energy is not finite."""
    by_indices = {}
    for name, build in BUILDERS.items():
        layers = getattr(settings, f"layers_{name}")
        slab = build(lattice.element, (1, 1, layers), a=lattice.a0_A, vacuum=settings.vacuum_A / 2, periodic=True)
        slab.calc = calculator
        area = 2 * float(np.linalg.norm(np.cross(slab.cell[0], slab.cell[1]))) * J_PER_M2
        bulk_energy = len(slab) * lattice.energy_eV
        unrelaxed = (checked_energy(slab) - bulk_energy) / area
        try:
            _, energy = relaxed(slab, calculator, settings.relaxation, what=f"surface {name}")
            by_indices[name] = Surface(energy=(energy - bulk_energy) / area, unrelaxed=unrelaxed)
        except CALCULATION_ERRORS as error:
            by_indices[name] = Surface(energy=None, unrelaxed=unrelaxed, failure=reason_of(error))
    return Surfaces(surfaces=by_indices)
