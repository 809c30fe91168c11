"""Points of the shock Hugoniot: states that one shock wave reaches from the crystal at rest.

Mass, momentum and energy are conserved across the front (W. J. M. Rankine, P. H. Hugoniot):

    h(T) = E(V, T) - E0 - (P + P0)(V0 - V) / 2 = 0

E0, P0 and V0 belong to the fcc crystal at `initial_temperature_K`. At each V/V0 short runs at constant temperature give
h, and the temperature moves by -h/c, with c = 3 k_B per atom + its share of the pressure, until |h| is small.
"""

from dataclasses import dataclass, field
from typing import Annotated

import ase.units
import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat

from models.physics.atoms.properties.crystals import (
    CALCULATION_ERRORS,
    Atoms,
    Calculator,
    Lattice,
    PropertyFailed,
    Quantity,
    cubic_crystal,
    reason_of,
    stress_GPa,
)
from models.physics.atoms.properties.dynamics import DynamicsSettings, run_dynamics, thermal_velocities
from models.settings import Some, settings

__all__ = ["Hugoniot", "HugoniotPoint", "HugoniotSettings", "hugoniot"]

GRUNEISEN = 2.0  # share of the pressure in dh/dT; only the speed of the search depends on it
SNAPSHOTS = 8


@settings
class HugoniotSettings:
    """`tolerance_K`: |h| per atom in units of 3 k_B."""

    ratios: Some[Annotated[float, Field(ge=0.55, lt=1)]] = (0.9, 0.8, 0.7)
    seed: NonNegativeInt = 0
    cells: Annotated[int, Field(ge=2)] = 3
    initial_temperature_K: PositiveFloat = 300.0
    run_ps: PositiveFloat = 1.0
    tolerance_K: PositiveFloat = 50.0
    max_runs: Annotated[int, Field(ge=2)] = 12
    dynamics: DynamicsSettings = field(default_factory=lambda: DynamicsSettings(time_step_fs=1.0))


@dataclass(frozen=True, kw_only=True)
class HugoniotPoint:
    """Of one V/V0; None with a reason."""

    pressure_GPa: float | None
    temperature_K: float | None
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Hugoniot:
    """By V/V0."""

    points: dict[float, HugoniotPoint]

    def quantities(self) -> dict[str, Quantity]:
        quantities = {}
        for ratio, point in self.points.items():
            name = f"hugoniot_{ratio:.2f}"
            quantities[f"{name}_pressure"] = Quantity(value=point.pressure_GPa, unit="GPa", failure=point.failure)
            quantities[f"{name}_temperature"] = Quantity(value=point.temperature_K, unit="K", failure=point.failure)
        return quantities


@dataclass(frozen=True, kw_only=True)
class _State:
    atoms: Atoms
    energy_eV: float  # of the cell, with kinetic energy
    pressure_eV_A3: float
    temperature_K: float


def hugoniot(calculator: Calculator, lattice: Lattice, settings: HugoniotSettings) -> Hugoniot:
    """Raises PropertyFailed where the crystal at rest cannot be followed."""
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed))
    atoms = cubic_crystal(lattice.element, lattice.a0_A, (settings.cells,) * 3)
    thermal_velocities(atoms, 2 * settings.initial_temperature_K, rng)
    start = _state(atoms, calculator, settings.initial_temperature_K, settings, rng)
    points = {}
    for ratio in settings.ratios:
        try:
            points[ratio] = _point(start, calculator, ratio, settings, rng)
        except CALCULATION_ERRORS as error:
            points[ratio] = HugoniotPoint(pressure_GPa=None, temperature_K=None, failure=reason_of(error))
    return Hugoniot(points=points)


def _point(
    start: _State, calculator: Calculator, ratio: float, settings: HugoniotSettings, rng: np.random.Generator
) -> HugoniotPoint:
    volume0 = start.atoms.get_volume()
    atoms = start.atoms.copy()
    atoms.set_cell(atoms.cell.array * ratio ** (1 / 3), scale_atoms=True)
    capacity = 3 * ase.units.kB * len(atoms) * (1 - GRUNEISEN * (1 / ratio - 1) / 2)
    temperature, misfit = settings.initial_temperature_K, np.inf
    for _ in range(settings.max_runs):
        state = _state(atoms, calculator, temperature, settings, rng)
        work = (state.pressure_eV_A3 + start.pressure_eV_A3) * volume0 * (1 - ratio) / 2
        misfit = (state.energy_eV - start.energy_eV - work) / capacity
        if abs(misfit) < settings.tolerance_K:
            pressure = float(state.pressure_eV_A3 / ase.units.GPa)
            return HugoniotPoint(pressure_GPa=pressure, temperature_K=state.temperature_K)
        temperature = max(state.temperature_K - misfit, 0.5 * temperature)
        atoms = state.atoms
    raise PropertyFailed(f"Hugoniot at V/V0 = {ratio:g}: {misfit:.3g} K off after {settings.max_runs} runs")


def _state(
    atoms: Atoms, calculator: Calculator, temperature_K: float, settings: HugoniotSettings, rng: np.random.Generator
) -> _State:
    """Means over the second half of a run at constant temperature."""
    every = max(1, settings.dynamics.steps(settings.run_ps) // (2 * SNAPSHOTS))
    run = run_dynamics(
        atoms,
        calculator,
        settings.run_ps,
        settings.dynamics,
        rng,
        temperature_K=temperature_K,
        sample_every=every,
        what=f"Hugoniot at {temperature_K:.0f} K",
    )
    half = len(run.temperatures_K) // 2
    temperature = float(run.temperatures_K[half:].mean())
    pressures = []
    for positions in run.positions_FN3[half:]:
        snapshot = run.atoms.copy()
        snapshot.positions = positions
        pressures.append(-stress_GPa(snapshot, calculator)[:3].mean() * ase.units.GPa)
    kinetic = len(atoms) * ase.units.kB * temperature / atoms.get_volume()
    return _State(
        atoms=run.atoms,
        energy_eV=float(run.total_energies_eV[half:].mean()),
        pressure_eV_A3=float(np.mean(pressures)) + kinetic,
        temperature_K=temperature,
    )
