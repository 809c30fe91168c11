"""Molecular dynamics with any ASE calculator: velocity Verlet, with a Langevin bath and a weak barostat on demand.

Steps are those of models.physics.atoms.baoab, without a temperature velocity Verlet. The barostat scales cell and
positions towards the wanted pressure (H. Berendsen et al., J. Chem. Phys. 81, 3684 (1984)); it brings a cell to its
density, its fluctuations mean nothing.
"""

from dataclasses import dataclass

import ase.units
import numpy as np
from pydantic import PositiveFloat

from models.physics.atoms.baoab import baoab_step
from models.physics.atoms.properties.crystals import (
    Atoms,
    Calculator,
    FloatArray,
    PropertyFailed,
    stress_GPa,
)
from models.physics.atoms.properties.relaxation import shortest_distance_A
from models.settings import settings

__all__ = ["DynamicsSettings", "Trajectory", "run_dynamics", "thermal_velocities"]

CHECK_EVERY = 25  # steps
BAROSTAT_EVERY = 5
BAROSTAT_TIME_PS = 0.5
ASSUMED_MODULUS_GPA = 80.0  # turns a pressure difference into a strain; only the speed of the barostat depends on it
LARGEST_STRAIN = 0.003  # of one barostat step
FUSED_FRACTION = 0.45  # of the shortest distance at the start
KINETIC_LIMIT = 5.0  # times the temperature of the bath, without one of the start


@settings
class DynamicsSettings:
    """Of all runs of one property; `friction_1_fs` acts only with a bath."""

    time_step_fs: PositiveFloat = 2.0
    friction_1_fs: PositiveFloat = 0.005

    def steps(self, time_ps: float) -> int:
        return max(1, round(1000 * time_ps / self.time_step_fs))


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """Samples every `interval_ps`; positions are not wrapped into the cell. `atoms` is the end, with velocities."""

    atoms: Atoms
    interval_ps: float
    positions_FN3: FloatArray
    temperatures_K: FloatArray
    volumes_A3: FloatArray
    total_energies_eV: FloatArray


def thermal_velocities(atoms: Atoms, temperature_K: float, rng: np.random.Generator) -> None:
    """Give `atoms` velocities of a Maxwell distribution, with the drift taken out."""
    momenta = rng.normal(size=(len(atoms), 3)) * np.sqrt(atoms.get_masses() * ase.units.kB * temperature_K)[:, None]
    velocities = momenta / atoms.get_masses()[:, None]
    velocities -= (atoms.get_masses()[:, None] * velocities).sum(0) / atoms.get_masses().sum()
    atoms.set_velocities(velocities)


def run_dynamics(
    atoms: Atoms,
    calculator: Calculator,
    time_ps: float,
    settings: DynamicsSettings,
    rng: np.random.Generator,
    *,
    temperature_K: float | None = None,
    pressure_GPa: float | None = None,
    sample_every: int = 10,
    held: FloatArray | None = None,
    what: str = "dynamics",
) -> Trajectory:
    """Move a copy of `atoms` from the velocities it has; those in the mask `held` stay where they are.

    Raises PropertyFailed: blown up, fused, collapsed or evaporated, not finite.
    """
    atoms = atoms.copy()
    atoms.calc = calculator
    mass = atoms.get_masses()[:, None]
    free = np.ones_like(mass) if held is None else 1.0 - np.asarray(held, dtype=float)[:, None]
    dt = settings.time_step_fs * ase.units.fs
    keep = 1.0 if temperature_K is None else float(np.exp(-settings.friction_1_fs * settings.time_step_fs))
    noise = np.sqrt((1 - keep**2) * ase.units.kB * (temperature_K or 0.0) / mass)
    distance, volume = shortest_distance_A(atoms), atoms.get_volume()
    limit = KINETIC_LIMIT * max(temperature_K or atoms.get_temperature(), 300.0)
    velocities = atoms.get_velocities() * free

    def bath(velocities: FloatArray) -> FloatArray:
        return np.asarray(keep * velocities + free * noise * rng.normal(size=velocities.shape))

    def accelerate(positions: FloatArray) -> FloatArray:
        atoms.positions = positions
        return np.asarray(free * atoms.get_forces() / mass)

    acceleration = accelerate(atoms.positions)
    samples: list[tuple[FloatArray, float, float, float]] = []
    for step in range(settings.steps(time_ps)):
        _, velocities, acceleration = baoab_step(
            atoms.positions,
            velocities,
            acceleration,
            half_step=dt / 2,
            bath=None if temperature_K is None else bath,
            accelerate=accelerate,
        )
        if step % CHECK_EVERY == 0 or step % sample_every == 0:
            atoms.set_velocities(velocities)
            kinetic_K = atoms.get_kinetic_energy() / (1.5 * ase.units.kB * max(float(free.sum()), 1.0))
        if step % CHECK_EVERY == 0:
            _refuse_broken(atoms, kinetic_K, limit, distance, volume, f"{what}, step {step}")
        if pressure_GPa is not None and step % BAROSTAT_EVERY == 0:
            _scale(atoms, calculator, velocities, pressure_GPa, settings)
            acceleration = accelerate(atoms.positions)
        if step % sample_every == 0:
            total = atoms.get_potential_energy() + atoms.get_kinetic_energy()
            samples.append((atoms.positions.copy(), kinetic_K, atoms.get_volume(), total))
    atoms.set_velocities(velocities)
    _refuse_broken(atoms, kinetic_K, limit, distance, volume, what)
    positions, temperatures, volumes, energies = (np.array(column) for column in zip(*samples, strict=True))
    return Trajectory(
        atoms=atoms,
        interval_ps=sample_every * settings.time_step_fs / 1000,
        positions_FN3=positions,
        temperatures_K=temperatures,
        volumes_A3=volumes,
        total_energies_eV=energies,
    )


def _scale(
    atoms: Atoms, calculator: Calculator, velocities: FloatArray, pressure_GPa: float, settings: DynamicsSettings
) -> None:
    kinetic = (atoms.get_masses()[:, None] * velocities**2).sum() / (3 * atoms.get_volume()) / ase.units.GPa
    pressure = -float(stress_GPa(atoms, calculator)[:3].mean()) + kinetic
    share = BAROSTAT_EVERY * settings.time_step_fs / 1000 / BAROSTAT_TIME_PS
    strain = share * (pressure - pressure_GPa) / (3 * ASSUMED_MODULUS_GPA)
    strain = float(np.clip(strain, -LARGEST_STRAIN, LARGEST_STRAIN))
    atoms.set_cell(atoms.cell.array * (1 + strain), scale_atoms=True)


def _refuse_broken(
    atoms: Atoms, kinetic_K: float, limit_K: float, distance_A: float, volume_A3: float, what: str
) -> None:
    if not np.isfinite(atoms.positions).all() or not np.isfinite(kinetic_K):
        raise PropertyFailed(f"{what}: positions or velocities are not finite, the run blew up")
    if kinetic_K > limit_K:
        raise PropertyFailed(f"{what}: the temperature reached {kinetic_K:.4g} K, the run blew up")
    if not 0.5 < atoms.get_volume() / volume_A3 < 2.0:
        raise PropertyFailed(f"{what}: the volume went from {volume_A3:.4g} to {atoms.get_volume():.4g} A^3")
    shortest = shortest_distance_A(atoms)
    if shortest < FUSED_FRACTION * distance_A:
        raise PropertyFailed(f"{what}: atoms fused, the shortest distance is {shortest:.3g} A")
