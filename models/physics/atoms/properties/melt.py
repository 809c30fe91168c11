"""The melt by molecular dynamics: radial distribution, diffusion, volume at zero pressure.

A crystal is overheated until it has melted, cooled to the wanted temperature at zero pressure, then followed at the
mean volume and constant energy. Diffusion in so small a cell lies below that of a large one; cells are stated.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat

from models.physics.atoms.properties.crystals import (
    Calculator,
    FloatArray,
    Lattice,
    PropertyFailed,
    Quantity,
    cubic_crystal,
)
from models.physics.atoms.properties.dynamics import DynamicsSettings, run_dynamics, thermal_velocities
from models.physics.atoms.properties.liquid_structure import (
    RadialDistribution,
    crystalline_order,
    diffusion_coefficient,
    radial_distribution,
)
from models.settings import settings

__all__ = ["Melt", "MeltSettings", "melt"]

CRYSTAL_ORDER = 0.15
STARTING_EXPANSION = 1.02  # of the lattice constant


@settings
class MeltSettings:
    """`cells` cubes of four atoms along each axis; times of the three parts of the run."""

    seed: NonNegativeInt = 0
    cells: Annotated[int, Field(ge=2)] = 3
    temperature_K: PositiveFloat = 1000.0
    melting_temperature_K: float = 2500.0  # of the overheated crystal
    melting_ps: PositiveFloat = 2.0
    equilibration_ps: PositiveFloat = 2.0
    sampling_ps: PositiveFloat = 4.0
    dynamics: DynamicsSettings = field(default_factory=DynamicsSettings)

    def __post_init__(self) -> None:
        if self.melting_temperature_K <= self.temperature_K:
            raise ValueError(
                f"melting_temperature_K: found {self.melting_temperature_K}, expected more than temperature_K "
                f"= {self.temperature_K:g}"
            )


@dataclass(frozen=True, kw_only=True)
class Melt:
    """Volume per atom [A^3], diffusion [A^2/ps], means of the last part of the run."""

    temperature_K: float
    volume_A3: float
    radial: RadialDistribution
    diffusion_A2_ps: float
    positions_A: FloatArray
    cell_A: FloatArray

    def quantities(self) -> dict[str, Quantity]:
        distance_A, height = self.radial.first_peak
        within = self.radial.neighbours_within(self.radial.first_minimum_A)
        return {
            "melt_rdf_first_peak": Quantity(value=distance_A, unit="A"),
            "melt_rdf_first_peak_height": Quantity(value=height, unit="1"),
            "melt_coordination": Quantity(value=within, unit="1"),
            "melt_volume": Quantity(value=self.volume_A3, unit="A^3/atom"),
            "melt_diffusion": Quantity(value=self.diffusion_A2_ps, unit="A^2/ps"),
            "melt_temperature": Quantity(value=self.temperature_K, unit="K"),
        }

    def curve(self) -> dict[str, object]:
        return {
            "r_A": self.radial.r_A.tolist(),
            "g": self.radial.g.tolist(),
            "positions_A": self.positions_A.tolist(),
            "cell_A": self.cell_A.tolist(),
        }


def melt(calculator: Calculator, lattice: Lattice, settings: MeltSettings) -> Melt:
    """Raises PropertyFailed: broken runs, a crystal that did not melt, a melt that froze."""
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed))
    size = settings.cells
    atoms = cubic_crystal(lattice.element, lattice.a0_A * STARTING_EXPANSION, (size,) * 3)
    hot = settings.melting_temperature_K
    thermal_velocities(atoms, 2 * hot, rng)  # half of it becomes potential energy
    run = partial(run_dynamics, calculator=calculator, settings=settings.dynamics, rng=rng)
    melted = run(atoms, time_ps=settings.melting_ps, temperature_K=hot, what="melting").atoms
    _refuse_crystal(melted.positions, melted.cell.lengths(), size, f"the crystal did not melt at {hot:g} K")
    wanted = settings.temperature_K
    melted.set_velocities(melted.get_velocities() * np.sqrt(wanted / max(melted.get_temperature(), 1.0)))
    cooled = run(
        melted,
        time_ps=settings.equilibration_ps,
        temperature_K=wanted,
        pressure_GPa=0.0,
        what="melt at zero pressure",
    )
    volume = float(cooled.volumes_A3[len(cooled.volumes_A3) // 2 :].mean())
    start = cooled.atoms
    start.set_cell(start.cell.array * (volume / start.get_volume()) ** (1 / 3), scale_atoms=True)
    start.set_velocities(start.get_velocities() * np.sqrt(wanted / start.get_temperature()))
    free = run(start, time_ps=settings.sampling_ps, what="melt at constant energy")
    edges = start.cell.lengths()
    _refuse_crystal(free.positions_FN3[-1], edges, size, f"the melt froze at {wanted:g} K")
    return Melt(
        temperature_K=float(free.temperatures_K.mean()),
        volume_A3=volume / len(start),
        radial=radial_distribution(free.positions_FN3, edges),
        diffusion_A2_ps=diffusion_coefficient(free.positions_FN3, free.interval_ps),
        positions_A=free.positions_FN3[-1] % edges,
        cell_A=edges,
    )


def _refuse_crystal(positions_A: FloatArray, edges_A: FloatArray, cells: int, failure: str) -> None:
    order = crystalline_order(positions_A, edges_A, (cells, cells, cells))
    if order > CRYSTAL_ORDER:
        raise PropertyFailed(f"melt: {failure} (crystalline order {order:.2f})")
