"""Formation and migration of a vacancy in the fcc crystal, at constant volume.

Formation:  E_f = E(N - 1, relaxed) - (N - 1)/N E(N).

Migration: an atom next to the vacancy jumps into it; E_m is the energy at the saddle less that of the relaxed vacancy.
By symmetry the midpoint of the jump is a stationary point. The mirror plane through it holds the jumping atom and all
others that lie on it (they may move within the plane), which keeps the crystal from sliding along. The force constant
of the jumping atom along the jump tells whether the midpoint is a saddle; where it is a valley between two humps, the
barrier comes from a climbing nudged elastic band (G. Henkelman et al., J. Chem. Phys. 113, 9901 (2000)).
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from ase.constraints import FixedPlane
from ase.mep import NEB
from ase.optimize import FIRE
from pydantic import Field

from models.physics.atoms.properties.crystals import (
    CALCULATION_ERRORS,
    Atoms,
    Calculator,
    FloatArray,
    Lattice,
    PropertyFailed,
    Quantity,
    checked_energy,
    cubic_crystal,
    reason_of,
)
from models.physics.atoms.properties.relaxation import RelaxationSettings, relaxed
from models.settings import settings

__all__ = ["Vacancy", "VacancySettings", "vacancy"]

ON_PLANE_A = 1e-3
PROBE_A = 0.02  # displacement that measures the curvature along the jump


@settings
class VacancySettings:
    """`cells` cubes of four atoms along each axis; `n_images` of the elastic band, where it is needed."""

    cells: Annotated[int, Field(ge=2)] = 3
    n_images: Annotated[int, Field(ge=3)] = 5
    relaxation: RelaxationSettings = field(default_factory=RelaxationSettings)


@dataclass(frozen=True, kw_only=True)
class Vacancy:
    """Energies [eV]; `migration_eV` is None where only the migration failed, with its reason."""

    formation_eV: float
    unrelaxed_formation_eV: float
    migration_eV: float | None
    migration_method: str = ""
    migration_failure: str = ""

    def quantities(self) -> dict[str, Quantity]:
        return {
            "vacancy_formation": Quantity(value=self.formation_eV, unit="eV"),
            "vacancy_formation_unrelaxed": Quantity(value=self.unrelaxed_formation_eV, unit="eV"),
            "vacancy_migration": Quantity(value=self.migration_eV, unit="eV", failure=self.migration_failure),
        }


def vacancy(calculator: Calculator, lattice: Lattice, settings: VacancySettings) -> Vacancy:
    """Raises PropertyFailed where the vacancy does not relax."""
    perfect = cubic_crystal(lattice.element, lattice.a0_A, (settings.cells,) * 3)
    perfect.calc = calculator
    per_atom = checked_energy(perfect) / len(perfect)
    jump = np.array([0.5, 0.5, 0.0]) * lattice.a0_A  # from the vacancy at the origin to its neighbour
    neighbour = int(np.linalg.norm(perfect.positions - jump, axis=1).argmin())
    start = perfect.copy()
    del start[0]
    start.calc = calculator
    unrelaxed = checked_energy(start) - len(start) * per_atom
    ground, energy = relaxed(start, calculator, settings.relaxation, what="vacancy")
    try:
        barrier, method = _migration(calculator, ground, energy, neighbour - 1, jump, settings)
        failure = ""
    except CALCULATION_ERRORS as error:
        barrier, method, failure = None, "", reason_of(error)
    return Vacancy(
        formation_eV=energy - len(ground) * per_atom,
        unrelaxed_formation_eV=unrelaxed,
        migration_eV=barrier,
        migration_method=method,
        migration_failure=failure,
    )


def _migration(
    calculator: Calculator,
    ground: Atoms,
    ground_energy: float,
    jumper: int,
    jump: FloatArray,
    settings: VacancySettings,
) -> tuple[float, str]:
    direction = jump / np.linalg.norm(jump)
    final = _mirrored(ground, jumper, jump)
    middle = ground.copy()
    middle.positions = (ground.positions + final.positions) / 2
    height = middle.positions @ direction - jump @ direction / 2
    period = float(np.abs(ground.cell.array @ direction).max())
    on_plane = np.flatnonzero(np.abs(height - period * np.round(height / period)) < ON_PLANE_A)
    plane = FixedPlane(sorted({jumper, *on_plane.tolist()}), direction)
    middle.set_constraint(plane)
    saddle, energy = relaxed(middle, calculator, settings.relaxation, what="vacancy halfway through its jump")
    if _force_constant(saddle, calculator, jumper, direction) < 0:
        barrier, method = energy - ground_energy, "symmetric saddle"
    else:
        barrier, method = _band(calculator, ground, final, settings) - ground_energy, "nudged elastic band"
    if barrier <= 0:
        raise PropertyFailed(f"vacancy migration: the barrier is {barrier:.3g} eV, the vacancy is unstable to the jump")
    return barrier, method


def _mirrored(ground: Atoms, jumper: int, jump: FloatArray) -> Atoms:
    """The relaxed vacancy after the jump: mirrored in the plane halfway, atoms in the order they had before."""
    direction = jump / np.linalg.norm(jump)
    image = ground.positions - 2 * np.outer(ground.positions @ direction - jump @ direction / 2, direction)
    final = ground.copy()
    for index in range(len(ground)):
        target = ground.positions[index] - (jump if index == jumper else 0)
        offsets = image - target
        offsets -= np.round(offsets @ np.linalg.inv(ground.cell.array)) @ ground.cell.array
        nearest = int(np.linalg.norm(offsets, axis=1).argmin())
        final.positions[index] = target + offsets[nearest]
    return final


def _force_constant(saddle: Atoms, calculator: Calculator, jumper: int, direction: FloatArray) -> float:
    """Second derivative of the energy by the jumping atom's place along the jump [eV/A^2], others held."""
    forces = []
    for sign in (-1, 1):
        probe = saddle.copy()
        probe.set_constraint()
        probe.positions[jumper] += sign * PROBE_A * direction
        probe.calc = calculator
        forces.append(float(probe.get_forces()[jumper] @ direction))
    return -(forces[1] - forces[0]) / (2 * PROBE_A)


def _band(calculator: Calculator, ground: Atoms, final: Atoms, settings: VacancySettings) -> float:
    images = [ground.copy() for _ in range(settings.n_images + 1)] + [final]
    for image in images:
        image.set_constraint()
        image.calc = calculator
    band: Any = NEB(images, climb=True, allow_shared_calculator=True, method="improvedtangent")
    band.interpolate(mic=True)
    with FIRE(band, logfile=None, maxstep=0.05) as optimizer:
        if not optimizer.run(fmax=4 * settings.relaxation.force_eV_A, steps=settings.relaxation.max_steps):
            raise PropertyFailed(f"vacancy migration: no band after {settings.relaxation.max_steps} steps")
    return max(checked_energy(image) for image in images)
