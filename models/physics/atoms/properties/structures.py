"""Energies of other crystal structures relative to fcc, each at its own volume (hcp also at its own c/a), 0 K."""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat
from scipy.optimize import minimize_scalar

from models.physics.atoms.properties.crystals import (
    CALCULATION_ERRORS,
    Calculator,
    Lattice,
    PropertyFailed,
    Quantity,
    crystal,
    energy_per_atom,
    reason_of,
)
from models.physics.atoms.properties.equation_of_state import fit_birch_murnaghan, lattice_minimum_A
from models.settings import Range, settings

__all__ = ["CrystalMinimum", "StructureEnergies", "StructureSettings", "crystal_minimum", "structure_energies"]

FCC_VOLUME_RATIO = {"bcc": 1.02, "hcp": 1.0, "diamond": 1.5, "sc": 1.2}  # where the search for a minimum starts
VOLUME_PER_CUBE = {"fcc": 1 / 4, "bcc": 1 / 2, "hcp": np.sqrt(2) / 2, "diamond": 1 / 8, "sc": 1.0}  # V of an atom / a^3
C_OVER_A_TOLERANCE = 1e-3


@settings
class StructureSettings:
    """Which structures, and the strain of the lattice constant of each fit."""

    structures: tuple[str, ...] = ("bcc", "hcp", "diamond", "sc")
    strain: PositiveFloat = 0.02
    n_points: Annotated[int, Field(ge=5)] = 7
    c_over_a_range: Range[Annotated[float, Field(gt=1.2, lt=2.2)]] = (1.5, 1.8)

    def __post_init__(self) -> None:
        if wrong := [name for name in self.structures if name not in FCC_VOLUME_RATIO]:
            raise ValueError(f"structures: found {wrong}, expected some of {sorted(FCC_VOLUME_RATIO)}")


@dataclass(frozen=True, kw_only=True)
class CrystalMinimum:
    """One structure at its lowest energy, per atom."""

    structure: str
    a_A: float
    energy_eV: float
    volume_A3: float
    bulk_modulus_GPa: float
    c_over_a: float | None = None


@dataclass(frozen=True, kw_only=True)
class StructureEnergies:
    """Minima by structure; `failures` has the reason for those without one."""

    fcc_energy_eV: float
    minima: dict[str, CrystalMinimum]
    failures: dict[str, str] = field(default_factory=dict)

    def quantities(self) -> dict[str, Quantity]:
        quantities = {}
        for name in (*self.minima, *self.failures):
            minimum, failure = self.minima.get(name), self.failures.get(name, "")
            energy = None if minimum is None else minimum.energy_eV - self.fcc_energy_eV
            volume = None if minimum is None else minimum.volume_A3
            quantities[f"{name}_minus_fcc"] = Quantity(value=energy, unit="eV/atom", failure=failure)
            quantities[f"{name}_volume"] = Quantity(value=volume, unit="A^3/atom", failure=failure)
            if name == "hcp":
                ratio = None if minimum is None else minimum.c_over_a
                quantities["hcp_c_over_a"] = Quantity(value=ratio, unit="1", failure=failure)
        return quantities


def structure_energies(calculator: Calculator, lattice: Lattice, settings: StructureSettings) -> StructureEnergies:
    """A structure without a minimum is a failure of its own, not of the others."""
    minima, failures = {}, {}
    for structure in settings.structures:
        volume = FCC_VOLUME_RATIO[structure] * lattice.a0_A**3 / 4
        start = (volume / VOLUME_PER_CUBE[structure]) ** (1 / 3)
        try:
            minima[structure] = crystal_minimum(calculator, lattice.element, structure, start, settings)
        except CALCULATION_ERRORS as error:
            failures[structure] = reason_of(error)
    return StructureEnergies(fcc_energy_eV=lattice.energy_eV, minima=minima, failures=failures)


def crystal_minimum(
    calculator: Calculator, element: str, structure: str, start_A: float, settings: StructureSettings
) -> CrystalMinimum:
    """Minimum in volume, of hcp in c/a too. Raises PropertyFailed where there is none."""
    if structure == "hcp":
        return _hcp_minimum(calculator, element, start_A, settings)
    return _volume_minimum(calculator, element, structure, start_A, settings, None)


def _volume_minimum(
    calculator: Calculator,
    element: str,
    structure: str,
    start_A: float,
    settings: StructureSettings,
    c_over_a: float | None,
) -> CrystalMinimum:
    near = lattice_minimum_A(calculator, element, structure, start_A, c_over_a=c_over_a)
    constants = near * np.linspace(1 - settings.strain, 1 + settings.strain, settings.n_points)
    cells = [crystal(element, structure, float(a), c_over_a=c_over_a) for a in constants]
    volumes = np.array([cell.get_volume() / len(cell) for cell in cells])
    fit = fit_birch_murnaghan(volumes, np.array([energy_per_atom(cell, calculator) for cell in cells]))
    if not volumes[0] < fit.volume_A3 < volumes[-1]:
        raise PropertyFailed(f"{structure}: the minimum of the fit, {fit.volume_A3:.4g} A^3, lies outside its range")
    a_A = float(constants[0] * (fit.volume_A3 / volumes[0]) ** (1 / 3))
    return CrystalMinimum(
        structure=structure,
        a_A=a_A,
        energy_eV=energy_per_atom(crystal(element, structure, a_A, c_over_a=c_over_a), calculator),
        volume_A3=fit.volume_A3,
        bulk_modulus_GPa=fit.bulk_modulus_GPa,
        c_over_a=c_over_a,
    )


def _hcp_minimum(calculator: Calculator, element: str, start_A: float, settings: StructureSettings) -> CrystalMinimum:
    """Search of c/a at the volume of the ideal ratio, then the volume at that ratio."""
    ideal = _volume_minimum(calculator, element, "hcp", start_A, settings, float(np.sqrt(8 / 3)))
    cube = ideal.volume_A3 * 4 / np.sqrt(3)  # a^2 c, two atoms in a cell of a^2 c sqrt(3) / 2

    def energy(ratio: float) -> float:
        return energy_per_atom(crystal(element, "hcp", (cube / ratio) ** (1 / 3), c_over_a=ratio), calculator)

    low, high = settings.c_over_a_range
    optimum = minimize_scalar(energy, bounds=(low, high), method="bounded", options={"xatol": C_OVER_A_TOLERANCE})
    ratio = float(optimum.x)
    if min(ratio - low, high - ratio) < 3 * C_OVER_A_TOLERANCE:
        raise PropertyFailed(
            f"hcp: no energy minimum for c/a in {settings.c_over_a_range}, it falls towards {ratio:.3g}"
        )
    return _volume_minimum(calculator, element, "hcp", (cube / ratio) ** (1 / 3), settings, ratio)
