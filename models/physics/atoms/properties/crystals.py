"""Crystals of one element and what every property needs of a calculator: energy, pressure, and a reason when it fails.

A calculator is anything with the interface of ase.calculators. Units: A, eV, eV/A, eV/A^3; moduli and pressures in GPa.
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import ase.units
import numpy as np
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_stress
from ase.data import atomic_numbers, reference_states
from numpy.typing import NDArray

__all__ = [
    "CALCULATION_ERRORS",
    "STRUCTURES",
    "Atoms",
    "Calculator",
    "FloatArray",
    "Lattice",
    "PropertyFailed",
    "Quantity",
    "checked_energy",
    "crystal",
    "cubic_crystal",
    "energy_per_atom",
    "has_stress",
    "nearest_neighbour_A",
    "pressure_GPa",
    "reason_of",
    "starting_lattice_constant_A",
    "stress_GPa",
]

FloatArray = NDArray[np.float64]
Atoms: TypeAlias = Any  # ase.Atoms, whose methods have no types
STRUCTURES = ("fcc", "bcc", "hcp", "diamond", "sc")
ATOMS_PER_CUBE = {"fcc": 4, "bcc": 2, "diamond": 8, "sc": 1}
NUMERICAL_STRAIN = 1e-5  # of stresses by finite differences, where a calculator has none


CALCULATION_ERRORS = (RuntimeError, ValueError, ArithmeticError)  # of calculators: cells they do not take, no SCF


class PropertyFailed(RuntimeError):
    """A property has no value for this calculator; the message is the reason to record."""


def reason_of(error: Exception) -> str:
    """What to record of an error, be it of a property or of the calculator."""
    return str(error) if isinstance(error, PropertyFailed) else f"{type(error).__name__}: {error}"


class Calculator(Protocol):
    """What is used of an ASE calculator, beside being attached to ase.Atoms."""

    implemented_properties: Any


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One number with its unit; the value is None where there is none, and then `failure` says why."""

    value: float | None
    unit: str
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """The fcc crystal at its energy minimum: what defects are cut from and compared with."""

    element: str
    a0_A: float
    energy_eV: float  # per atom


def starting_lattice_constant_A(element: str) -> float:
    """Measured lattice constant of an fcc element. Raises ValueError where the element is not fcc or unknown."""
    number = atomic_numbers.get(element, 0)
    states: list[Any] = reference_states
    state = states[number] or {}
    if not number or state.get("symmetry") != "fcc":
        known = [s for s, n in atomic_numbers.items() if n and (states[n] or {}).get("symmetry") == "fcc"]
        raise ValueError(f"element: found {element!r}, expected an fcc element, one of {sorted(known)}")
    return float(state["a"])


def crystal(element: str, structure: str, a_A: float, *, c_over_a: float | None = None) -> Atoms:
    """Primitive cell; `a_A` is the side of the conventional cube, of hcp that of the hexagon."""
    if structure == "hcp":
        return bulk(element, "hcp", a=a_A, c=a_A * (np.sqrt(8 / 3) if c_over_a is None else c_over_a))
    return bulk(element, structure, a=a_A)


def cubic_crystal(element: str, a_A: float, cells: tuple[int, int, int]) -> Atoms:
    """fcc with `cells` cubes of four atoms along the Cartesian axes."""
    cube: Atoms = bulk(element, "fcc", a=a_A, cubic=True)
    return cube.repeat(cells)


def energy_per_atom(atoms: Atoms, calculator: Calculator) -> float:
    """[eV]. Raises PropertyFailed where the energy is not finite."""
    atoms = atoms.copy()
    atoms.calc = calculator
    return checked_energy(atoms) / len(atoms)


def checked_energy(atoms: Atoms) -> float:
    """The energy consistent with the forces, where the calculator has it. Raises PropertyFailed where not finite."""
    energy = float(atoms.get_potential_energy(force_consistent=_has_free_energy(atoms.calc)))
    if not np.isfinite(energy):
        raise PropertyFailed(f"the energy of {len(atoms)} atoms in {atoms.get_volume():.4g} A^3 is {energy}")
    return energy


def has_stress(calculator: Calculator) -> bool:
    return "stress" in getattr(calculator, "implemented_properties", ())


def stress_GPa(atoms: Atoms, calculator: Calculator) -> FloatArray:
    """Stress in Voigt order (xx, yy, zz, yz, xz, xy), positive under tension; by differences if not offered."""
    atoms = atoms.copy()
    atoms.calc = calculator
    if has_stress(calculator):
        stress = np.asarray(atoms.get_stress(voigt=True), dtype=np.float64)
    else:
        numerical = calculate_numerical_stress(atoms, NUMERICAL_STRAIN, force_consistent=_has_free_energy(calculator))
        stress = np.asarray(numerical, dtype=np.float64)
    if not np.isfinite(stress).all():
        raise PropertyFailed(f"the stress of {len(atoms)} atoms in {atoms.get_volume():.4g} A^3 is not finite")
    return np.asarray(stress / ase.units.GPa)


def _has_free_energy(calculator: Calculator) -> bool:
    return "free_energy" in getattr(calculator, "implemented_properties", ())


def pressure_GPa(atoms: Atoms, calculator: Calculator) -> float:
    return -float(stress_GPa(atoms, calculator)[:3].mean())


def nearest_neighbour_A(structure: str, a_A: float) -> float:
    """Distance of nearest neighbours in the crystal of that conventional lattice constant (hcp: ideal c/a)."""
    squares = {"fcc": 1 / 2, "bcc": 3 / 4, "hcp": 1.0, "diamond": 3 / 16, "sc": 1.0}
    return a_A * float(np.sqrt(squares[structure]))
