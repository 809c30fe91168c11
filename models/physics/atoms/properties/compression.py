"""Cells far denser than the crystal at rest: do energy and pressure extrapolate to what shock waves reach?

The cells are the same for every calculator, so that a potential and its oracle can be compared cell by cell: fcc and
bcc crystals and one disordered cell, all at given ratios V/V0, V0 the volume per atom of the measured fcc crystal.
Energies are relative to the fcc crystal at V0. The disordered cell is fcc with Gaussian displacements of a given share
of the neighbour distance, close pairs pushed apart, drawn from the seed alone.
"""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from ase.geometry import get_distances
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from models.physics.atoms.properties.crystals import (
    CALCULATION_ERRORS,
    Atoms,
    Calculator,
    Quantity,
    crystal,
    cubic_crystal,
    energy_per_atom,
    nearest_neighbour_A,
    pressure_GPa,
    reason_of,
    starting_lattice_constant_A,
)
from models.settings import Some, settings

__all__ = ["PHASES", "CompressedCell", "Compression", "CompressionSettings", "compression", "disordered_cell"]

PHASES = ("fcc", "bcc", "disordered")
SHORTEST = 0.72  # of the neighbour distance in the crystal, in disordered cells
PUSHES = 200


@settings
class CompressionSettings:
    """Volumes as ratios to that of the measured crystal; the disordered cell has `cells`^3 cubes of four atoms."""

    ratios: Some[Annotated[float, Field(ge=0.3, le=1)]] = (0.9, 0.8, 0.7, 0.6)
    seed: NonNegativeInt = 0
    cells: PositiveInt = 2
    displacement: PositiveFloat = 0.15  # standard deviation of each coordinate, in neighbour distances


@dataclass(frozen=True, kw_only=True)
class CompressedCell:
    """Energy per atom relative to fcc at V0 [eV], pressure [GPa]; None with a reason."""

    energy_eV: float | None
    pressure_GPa: float | None
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Compression:
    """By (phase, V/V0)."""

    cells: dict[tuple[str, float], CompressedCell] = field(default_factory=dict)

    def quantities(self) -> dict[str, Quantity]:
        quantities = {}
        for (phase, ratio), cell in self.cells.items():
            name = f"compressed_{phase}_{ratio:.2f}"
            quantities[f"{name}_energy"] = Quantity(value=cell.energy_eV, unit="eV/atom", failure=cell.failure)
            quantities[f"{name}_pressure"] = Quantity(value=cell.pressure_GPa, unit="GPa", failure=cell.failure)
        return quantities


def compression(calculator: Calculator, element: str, settings: CompressionSettings) -> Compression:
    """Raises PropertyFailed where fcc at V0 has no finite energy."""
    a_A = starting_lattice_constant_A(element)
    zero = energy_per_atom(crystal(element, "fcc", a_A), calculator)
    cells = {}
    for ratio in settings.ratios:
        volume = ratio * a_A**3 / 4
        shapes = (
            crystal(element, "fcc", (4 * volume) ** (1 / 3)),
            crystal(element, "bcc", (2 * volume) ** (1 / 3)),
            disordered_cell(element, (4 * volume) ** (1 / 3), settings),
        )
        for phase, atoms in zip(PHASES, shapes, strict=True):
            cells[(phase, ratio)] = _measured(atoms, calculator, zero)
    return Compression(cells=cells)


def disordered_cell(element: str, a_A: float, settings: CompressionSettings) -> Atoms:
    """The same relative positions at every density, scaled; no pair closer than SHORTEST neighbour distances."""
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed))
    atoms = cubic_crystal(element, a_A, (settings.cells,) * 3)
    neighbour = nearest_neighbour_A("fcc", a_A)
    atoms.positions += rng.normal(size=(len(atoms), 3)) * settings.displacement * neighbour
    least = SHORTEST * neighbour
    for _ in range(PUSHES):
        vectors, distances = get_distances(atoms.positions, cell=atoms.cell, pbc=True)
        np.fill_diagonal(distances, np.inf)
        overlap = np.clip(least - distances, 0, None)
        if overlap.max() <= 1e-6 * least:
            break
        atoms.positions -= 0.55 * ((overlap / distances)[:, :, None] * vectors).sum(axis=1)
    atoms.wrap()
    return atoms


def _measured(atoms: Atoms, calculator: Calculator, zero_eV: float) -> CompressedCell:
    try:
        energy = energy_per_atom(atoms, calculator) - zero_eV
        return CompressedCell(energy_eV=energy, pressure_GPa=pressure_GPa(atoms, calculator))
    except CALCULATION_ERRORS as error:
        return CompressedCell(energy_eV=None, pressure_GPa=None, failure=reason_of(error))
