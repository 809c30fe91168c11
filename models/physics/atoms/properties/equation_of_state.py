"""Equation of state of the fcc crystal: lattice constant, bulk modulus, its pressure derivative.

Birch-Murnaghan, third order, E(V) = a + b x + c x^2 + d x^3 with x = V^(-2/3) (F. Birch, Phys. Rev. 71, 809 (1947)):
linear in its four numbers, so one least-squares fit. At the minimum x0

    b + 2 c x0 + 3 d x0^2 = 0,   V0 = x0^(-3/2),   B0 = V0 E''(V0),   B0' = -(1 + V0 E'''(V0) / E''(V0))

A potential that ripples has a curvature that depends on the range of the fit, so there are two: the wide fit, and the
local one at small strain, whose minimum is the reference crystal of all defects.
"""

from dataclasses import dataclass
from typing import Annotated

import ase.units
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
    starting_lattice_constant_A,
)
from models.settings import settings

__all__ = [
    "BirchMurnaghan",
    "EquationOfState",
    "EquationOfStateSettings",
    "equation_of_state",
    "fit_birch_murnaghan",
    "lattice_minimum_A",
]

STEP = 0.02  # of the first search, in starting lattice constants
FURTHEST = 7  # such steps


@settings
class EquationOfStateSettings:
    """Strains of the lattice constant: the fits span 1 - strain .. 1 + strain."""

    strain: Annotated[float, Field(gt=0, lt=0.2)] = 0.03
    local_strain: PositiveFloat = 0.005
    n_points: Annotated[int, Field(ge=5)] = 9

    def __post_init__(self) -> None:
        if self.local_strain >= self.strain:
            raise ValueError(f"local_strain: found {self.local_strain}, expected less than strain = {self.strain:g}")


@dataclass(frozen=True, kw_only=True)
class BirchMurnaghan:
    """A fitted curve, per atom."""

    volume_A3: float
    energy_eV: float
    bulk_modulus_GPa: float
    derivative: float


@dataclass(frozen=True, kw_only=True)
class EquationOfState:
    """Lattice constants are of the conventional cube; volumes and energies per atom."""

    element: str
    a0_A: float
    bulk_modulus_GPa: float
    bulk_modulus_derivative: float
    local_a0_A: float
    local_bulk_modulus_GPa: float
    local_energy_eV: float
    volumes_A3: FloatArray
    energies_eV: FloatArray

    @property
    def lattice(self) -> Lattice:
        return Lattice(element=self.element, a0_A=self.local_a0_A, energy_eV=self.local_energy_eV)

    def quantities(self) -> dict[str, Quantity]:
        return {
            "a0": Quantity(value=self.a0_A, unit="A"),
            "bulk_modulus": Quantity(value=self.bulk_modulus_GPa, unit="GPa"),
            "bulk_modulus_derivative": Quantity(value=self.bulk_modulus_derivative, unit="1"),
            "local_bulk_modulus": Quantity(value=self.local_bulk_modulus_GPa, unit="GPa"),
        }

    def curve(self) -> dict[str, list[float]]:
        return {"volume_A3": self.volumes_A3.tolist(), "energy_eV": self.energies_eV.tolist()}


def equation_of_state(calculator: Calculator, element: str, settings: EquationOfStateSettings) -> EquationOfState:
    """Of the fcc crystal. Raises PropertyFailed where there is no minimum near the measured lattice constant."""

    def energies(lattice_constants: FloatArray) -> FloatArray:
        return np.array([energy_per_atom(crystal(element, "fcc", float(a)), calculator) for a in lattice_constants])

    start = lattice_minimum_A(calculator, element, "fcc", starting_lattice_constant_A(element))
    lattice_constants = start * np.linspace(1 - settings.strain, 1 + settings.strain, settings.n_points)
    wide_energies = energies(lattice_constants)
    volumes = lattice_constants**3 / 4
    wide = fit_birch_murnaghan(volumes, wide_energies)
    near = (4 * wide.volume_A3) ** (1 / 3)
    if not lattice_constants[0] < near < lattice_constants[-1]:
        raise PropertyFailed(f"fcc: the minimum of the fit, a = {near:.4g} A, lies outside the fitted range")
    near_constants = near * np.linspace(1 - settings.local_strain, 1 + settings.local_strain, 5)
    local = fit_birch_murnaghan(near_constants**3 / 4, energies(near_constants))
    near_a0 = float((4 * local.volume_A3) ** (1 / 3))
    return EquationOfState(
        element=element,
        a0_A=float(near),
        bulk_modulus_GPa=wide.bulk_modulus_GPa,
        bulk_modulus_derivative=wide.derivative,
        local_a0_A=near_a0,
        local_bulk_modulus_GPa=local.bulk_modulus_GPa,
        local_energy_eV=energy_per_atom(crystal(element, "fcc", near_a0), calculator),
        volumes_A3=volumes,
        energies_eV=wide_energies,
    )


def lattice_minimum_A(
    calculator: Calculator, element: str, structure: str, start_A: float, *, c_over_a: float | None = None
) -> float:
    """The energy minimum nearest to `start_A`: downhill in steps of STEP, then a parabola through the lowest three.

    Raises PropertyFailed where the energy still falls after FURTHEST steps.
    """

    def energy(steps: int) -> float:
        if steps not in known:
            a_A = start_A * (1 + STEP * steps)
            known[steps] = energy_per_atom(crystal(element, structure, a_A, c_over_a=c_over_a), calculator)
        return known[steps]

    known: dict[int, float] = {}
    lowest = 0
    while energy(better := min((lowest - 1, lowest + 1), key=energy)) < energy(lowest):
        if abs(better) >= FURTHEST:
            ends = [start_A * (1 + STEP * step) for step in (-FURTHEST, FURTHEST, better)]
            raise PropertyFailed(
                f"{structure}: no energy minimum between {ends[0]:.3g} and {ends[1]:.3g} A, the energy falls towards "
                f"{ends[2]:.3g} A"
            )
        lowest = better
    low, mid, high = (energy(lowest + step) for step in (-1, 0, 1))
    return float(start_A * (1 + STEP * (lowest + 0.5 * (low - high) / (low - 2 * mid + high))))


def fit_birch_murnaghan(volumes_A3: FloatArray, energies_eV: FloatArray) -> BirchMurnaghan:
    """Least-squares fit of at least four points. Raises PropertyFailed where the fit has no minimum."""
    scale = float(np.mean(volumes_A3))
    x = (volumes_A3 / scale) ** (-2 / 3)
    offset = float(energies_eV.min())
    d, c, b, a = np.polyfit(x - 1, energies_eV - offset, 3)
    roots = np.roots([3 * d, 2 * c, b]) if abs(d) > 1e-14 * abs(c) else np.array([-b / (2 * c)])
    minima = [float(r.real) for r in roots if abs(r.imag) < 1e-12 and 2 * c + 6 * d * r.real > 0 and r.real > -1]
    if not minima:
        raise PropertyFailed("the energy-volume points have no minimum")
    t = min(minima, key=abs)
    x0, second, third = 1 + t, 2 * c + 6 * d * t, 6 * d
    v0 = x0 ** (-3 / 2)
    x1, x2 = -2 / 3 * v0 ** (-5 / 3), 10 / 9 * v0 ** (-8 / 3)  # dx/dV, d2x/dV2; the third meets dE/dx = 0
    curvature = second * x1**2
    slope = third * x1**3 + 3 * second * x1 * x2
    return BirchMurnaghan(
        volume_A3=v0 * scale,
        energy_eV=float(offset + a + b * t + c * t**2 + d * t**3),
        bulk_modulus_GPa=float(v0 * curvature / scale / ase.units.GPa),
        derivative=float(-(1 + v0 * slope / curvature)),
    )
