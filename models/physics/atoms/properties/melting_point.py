"""Melting point by coexistence of crystal and melt in one cell (J. R. Morris et al., Phys. Rev. B 49, 3109 (1994)).

Half of a long cell is melted while the other half is held, then both are let go at zero pressure and constant energy:
where the cell is too cold a part of the melt freezes and its heat warms the rest, where it is too hot a part of the
crystal melts and cools it. With both phases left, the temperature is the melting point. Slices along the cell are
crystal where their (200) order exceeds a threshold. A cell that froze or melted through is tried again from a lower or
higher energy. The length of the cell may change with the barostat, its cross-section with it.
"""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from models.physics.atoms.properties.crystals import (
    Atoms,
    Calculator,
    FloatArray,
    Lattice,
    PropertyFailed,
    Quantity,
    cubic_crystal,
)
from models.physics.atoms.properties.dynamics import DynamicsSettings, run_dynamics, thermal_velocities
from models.settings import settings

__all__ = ["MeltingPoint", "MeltingPointSettings", "crystalline_share", "melting_point"]

SLICE_ORDER = 0.25
BOTH = (0.15, 0.85)  # share of crystal between which both phases are there
STEP = 0.08  # change of the first temperature from attempt to attempt


@settings
class MeltingPointSettings:
    """`cells` and `long_cells` cubes of four atoms across and along the cell."""

    seed: NonNegativeInt = 0
    cells: Annotated[int, Field(ge=2)] = 4
    long_cells: Annotated[int, Field(ge=6)] = 12
    first_temperature_K: PositiveFloat = 950.0
    melting_temperature_K: float = 3000.0
    preparation_ps: PositiveFloat = 3.0
    coexistence_ps: PositiveFloat = 40.0
    max_attempts: PositiveInt = 5
    dynamics: DynamicsSettings = field(default_factory=DynamicsSettings)

    def __post_init__(self) -> None:
        if self.melting_temperature_K <= self.first_temperature_K:
            raise ValueError("melting_temperature_K: expected more than first_temperature_K")


@dataclass(frozen=True, kw_only=True)
class MeltingPoint:
    """Mean over the second half of the run with both phases; `standard_error_K` of that mean, from blocks."""

    temperature_K: float
    standard_error_K: float
    crystal_share: float
    temperatures_K: FloatArray
    interval_ps: float

    def quantities(self) -> dict[str, Quantity]:
        return {"melting_point": Quantity(value=self.temperature_K, unit="K")}

    def curve(self) -> dict[str, object]:
        return {"interval_ps": self.interval_ps, "temperature_K": self.temperatures_K.tolist()}


def melting_point(calculator: Calculator, lattice: Lattice, settings: MeltingPointSettings) -> MeltingPoint:
    """Raises PropertyFailed where no attempt keeps both phases."""
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed))
    temperature, tried = settings.first_temperature_K, []
    for _ in range(settings.max_attempts):
        atoms = _two_phases(calculator, lattice, temperature, settings, rng)
        run = run_dynamics(
            atoms,
            calculator,
            settings.coexistence_ps,
            settings.dynamics,
            rng,
            pressure_GPa=0.0,
            what=f"coexistence from {temperature:.0f} K",
        )
        share = crystalline_share(run.atoms, settings)
        if BOTH[0] <= share <= BOTH[1]:
            late = run.temperatures_K[len(run.temperatures_K) // 2 :]
            blocks = np.array([block.mean() for block in np.array_split(late, 5)])
            return MeltingPoint(
                temperature_K=float(late.mean()),
                standard_error_K=float(blocks.std(ddof=1) / np.sqrt(len(blocks))),
                crystal_share=share,
                temperatures_K=run.temperatures_K,
                interval_ps=run.interval_ps,
            )
        tried.append(f"{temperature:.0f} K: {share:.0%} crystal")
        temperature *= 1 + STEP if share > BOTH[1] else 1 - STEP
    raise PropertyFailed(f"melting point: one phase took the whole cell in every attempt ({'; '.join(tried)})")


def crystalline_share(atoms: Atoms, settings: MeltingPointSettings) -> float:
    """Share of slices, one per cube along the cell, that are crystal."""
    edges = atoms.cell.lengths()
    waves = 4 * np.pi * settings.cells / edges[:2]
    where = np.floor(atoms.positions[:, 2] / edges[2] * settings.long_cells).astype(int) % settings.long_cells
    n_crystal = 0
    for index in range(settings.long_cells):
        inside = atoms.positions[where == index]
        if len(inside):
            order = max(abs(np.exp(1j * waves[axis] * inside[:, axis]).mean()) ** 2 for axis in (0, 1))
            n_crystal += order > SLICE_ORDER
    return n_crystal / settings.long_cells


def _two_phases(
    calculator: Calculator,
    lattice: Lattice,
    temperature_K: float,
    settings: MeltingPointSettings,
    rng: np.random.Generator,
) -> Atoms:
    """Half melt, half crystal, both at `temperature_K` and zero pressure."""
    size = (settings.cells, settings.cells, settings.long_cells)
    atoms = cubic_crystal(lattice.element, lattice.a0_A * 1.02, size)
    upper = atoms.positions[:, 2] >= atoms.cell.lengths()[2] / 2
    thermal_velocities(atoms, 2 * settings.melting_temperature_K, rng)
    stages = (
        (settings.melting_temperature_K, None, ~upper, "melting one half"),
        (temperature_K, None, ~upper, "cooling the melt beside the crystal"),
        (temperature_K, 0.0, None, "joining melt and crystal"),
    )
    for bath, pressure, held, what in stages:
        atoms = run_dynamics(
            atoms,
            calculator,
            settings.preparation_ps,
            settings.dynamics,
            rng,
            temperature_K=bath,
            pressure_GPa=pressure,
            held=held,
            what=what,
        ).atoms
        atoms.calc = None
        if held is not None and bath > temperature_K:
            atoms.set_velocities(atoms.get_velocities() * np.sqrt(temperature_K / bath))
    return atoms
