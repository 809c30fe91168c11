"""Linear thermal expansion of the fcc crystal in the quasi-harmonic approximation.

The free energy at lattice constant a is F(a, T) = E(a) + F_vibrations(a, T) with the harmonic frequencies at a; at each
T the lattice constant is the minimum over a Birch-Murnaghan curve through F, and alpha = (1/a) da/dT. Anharmonicity
beyond the change of frequencies with volume is left out: good to about half the melting point.
"""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat

from models.physics.atoms.properties.crystals import (
    Calculator,
    FloatArray,
    Lattice,
    PropertyFailed,
    Quantity,
    crystal,
    energy_per_atom,
)
from models.physics.atoms.properties.equation_of_state import fit_birch_murnaghan
from models.physics.atoms.properties.phonons import PhononSettings, force_constants
from models.settings import settings

__all__ = ["ThermalExpansion", "ThermalExpansionSettings", "thermal_expansion"]

EV_PER_KJ_MOL = 1 / 96.48533212331  # CODATA 2018: N_A e / 1000
IMAGINARY_THZ = -0.05
ACOUSTIC_THZ = 1e-3  # below: the three shifts of the whole crystal at Gamma, left out


@settings
class ThermalExpansionSettings:
    """Strains of the lattice constant about its minimum at rest; `mesh` of wave vectors along each axis."""

    temperature_K: PositiveFloat = 298.15
    lowest_strain: Annotated[float, Field(gt=-0.1, lt=0)] = -0.01
    highest_strain: Annotated[float, Field(gt=0, lt=0.1)] = 0.03
    n_volumes: Annotated[int, Field(ge=5)] = 7
    mesh: Annotated[int, Field(ge=4)] = 16
    phonons: PhononSettings = field(default_factory=PhononSettings)


@dataclass(frozen=True, kw_only=True)
class ThermalExpansion:
    """`coefficient` [1/K] at the temperature of the settings; the lattice constant with temperature."""

    coefficient: float
    temperatures_K: FloatArray
    lattice_constants_A: FloatArray

    def quantities(self) -> dict[str, Quantity]:
        return {"thermal_expansion": Quantity(value=self.coefficient * 1e6, unit="1e-6/K")}

    def curve(self) -> dict[str, list[float]]:
        return {"temperature_K": self.temperatures_K.tolist(), "a_A": self.lattice_constants_A.tolist()}


def thermal_expansion(calculator: Calculator, lattice: Lattice, settings: ThermalExpansionSettings) -> ThermalExpansion:
    """Raises PropertyFailed where a strained crystal is unstable or has no minimum in the range of strains."""
    strains = np.linspace(settings.lowest_strain, settings.highest_strain, settings.n_volumes)
    constants = lattice.a0_A * (1 + strains)
    temperatures = np.linspace(0, 2 * settings.temperature_K, 21)
    free = np.array([_free_energy(calculator, lattice.element, float(a), temperatures, settings) for a in constants])
    volumes = constants**3 / 4
    minima = []
    for index, temperature in enumerate(temperatures):
        volume = fit_birch_murnaghan(volumes, free[:, index]).volume_A3
        if not volumes[0] < volume < volumes[-1]:
            raise PropertyFailed(
                f"thermal expansion: no minimum of the free energy at {temperature:.0f} K in the range"
            )
        minima.append((4 * volume) ** (1 / 3))
    curve = np.array(minima)
    middle = len(temperatures) // 2
    slope = (curve[middle + 1] - curve[middle - 1]) / (temperatures[middle + 1] - temperatures[middle - 1])
    return ThermalExpansion(
        coefficient=float(slope / curve[middle]), temperatures_K=temperatures, lattice_constants_A=curve
    )


def _free_energy(
    calculator: Calculator, element: str, a_A: float, temperatures_K: FloatArray, settings: ThermalExpansionSettings
) -> FloatArray:
    """[eV/atom] at each temperature."""
    model = force_constants(calculator, element, a_A, settings.phonons)
    model.run_mesh([settings.mesh] * 3, is_gamma_center=True)
    lowest = float(np.min(model.mesh.frequencies))
    if lowest < IMAGINARY_THZ:
        raise PropertyFailed(f"thermal expansion: at a = {a_A:.4g} A the crystal is unstable ({lowest:.3g} THz)")
    model.run_thermal_properties(temperatures=temperatures_K, cutoff_frequency=ACOUSTIC_THZ)
    vibrations = np.asarray(model.thermal_properties.free_energy) * EV_PER_KJ_MOL
    return energy_per_atom(crystal(element, "fcc", a_A), calculator) + vibrations
