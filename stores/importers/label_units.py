"""Units of foreign labels: factors to eV and A, and what magnitudes betray.

Total energies of all electrons tell their unit, for they are nearly a sum over atoms (Thomas, Fermi, Scott, Schwinger):

    E_Z  =  -0.768745 Z^(7/3) + Z^2 / 2 - 0.269900 Z^(5/3)   [Hartree]          8 % off for H, 0.5 % from C on

A file whose energies are within -20 % and +25 % of one unit's value is in that unit. Energies with pseudopotentials, of
atomization or relative ones fall outside and tell nothing. Forces tell theirs roughly: their root mean square over
a file lies between 0.04 and 15 eV/A, unless all structures are relaxed.

Where neighbouring records are near each other, forces and energies must agree: along the way from one to the next

    E_j - E_i  ~  -(F_i + F_j) / 2 . (r_j - r_i)

A quotient of -1 betrays gradients, 1.9 or 27 other units of length or energy. Elsewhere it can only be noted that the
two closest atoms are mostly driven together, as by gradients in data away from equilibrium.

A unit is refused only while the user did not name it; two units in one file are always refused.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ENERGY_EV",
    "LENGTH_A",
    "PRESSURE_EV_A3",
    "energy_units_of",
    "force_factor",
    "implausible_forces",
    "share_attracted",
    "slope",
    "stress_factor",
    "work_quotients",
]

HARTREE_EV = 27.211386245988
ENERGY_EV = {
    "eV": 1.0,
    "meV": 1e-3,
    "Ha": HARTREE_EV,
    "mHa": HARTREE_EV / 1000,
    "Ry": HARTREE_EV / 2,
    "kcal/mol": 0.0433641042,
    "kJ/mol": 0.0103642697,
}
LENGTH_A = {"A": 1.0, "Bohr": 0.529177210903, "nm": 10.0}
GPA_EV_A3 = 1 / 160.21766208
PRESSURE_EV_A3 = {"GPa": GPA_EV_A3, "kbar": GPA_EV_A3 / 10, "bar": GPA_EV_A3 / 1e4, "MPa": GPA_EV_A3 / 1e3}
RATIO = (0.8, 1.25)
FORCE_RMS_EV_A = (0.04, 15.0)
NEAR_A = 0.3
LEAST_WORK_EV = 1e-3
ENOUGH_PAIRS = 10

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def force_factor(units: str) -> float:
    """eV/A in one of `units`, such as "Ha/Bohr" or "kcal/mol/A". Raises ValueError."""
    energy, _, length = units.rpartition("/")
    if energy not in ENERGY_EV or length not in LENGTH_A:
        raise ValueError(
            f"force units: found {units!r}, expected ENERGY/LENGTH with one of {list(ENERGY_EV)} and {list(LENGTH_A)}"
        )
    return ENERGY_EV[energy] / LENGTH_A[length]


def stress_factor(units: str) -> float:
    """eV/A^3 in one of `units`, such as "GPa", "kbar" or "Ha/Bohr^3". Raises ValueError."""
    energy, _, volume = units.rpartition("/")
    length = volume.removesuffix("^3")
    if units in PRESSURE_EV_A3:
        return PRESSURE_EV_A3[units]
    if energy not in ENERGY_EV or length not in LENGTH_A or length == volume:
        raise ValueError(
            f"stress units: found {units!r}, expected one of {', '.join(PRESSURE_EV_A3)} or ENERGY/LENGTH^3 with one "
            f"of {list(ENERGY_EV)} and {list(LENGTH_A)}"
        )
    return ENERGY_EV[energy] / LENGTH_A[length] ** 3


def energy_units_of(energy: FloatArray, numbers: IntArray, first_atom: IntArray) -> NDArray[np.str_]:
    """The unit that each energy (n_configs,) betrays, "" where it tells nothing."""
    z = numbers.clip(0).astype(np.float64)
    atoms = -0.768745 * z ** (7 / 3) + z**2 / 2 - 0.2699 * z ** (5 / 3)
    total = np.add.reduceat(np.where((numbers < 1) | (numbers > 118), np.nan, atoms), first_atom)
    ratio = energy / total
    found = np.full(energy.shape, "", dtype="U8")
    for unit in ("eV", "Ha", "Ry", "kcal/mol", "kJ/mol"):
        value = HARTREE_EV / ENERGY_EV[unit]
        found[(ratio > RATIO[0] * value) & (ratio < RATIO[1] * value)] = unit
    return found


def implausible_forces(rms_eV_A: float) -> str:
    """What is odd about a root mean square of forces, "" where nothing is, or all are zero."""
    low, high = FORCE_RMS_EV_A
    odd = rms_eV_A and not low <= rms_eV_A <= high
    return f"found a root mean square of {rms_eV_A:.3g}, expected {low:g} to {high:g} eV/A" if odd else ""


def work_quotients(
    energy_eV: FloatArray,
    numbers: IntArray,
    positions_A: FloatArray,
    forces_eV_A: FloatArray,
    first_atom: IntArray,
    n_atoms: IntArray,
) -> list[float]:
    """Energy differences over the work of the forces, of those neighbouring records that are near each other."""
    quotients: list[float] = []
    for config in range(len(n_atoms) - 1):
        if n_atoms[config] != n_atoms[config + 1]:
            continue
        here = slice(int(first_atom[config]), int(first_atom[config + 1]))
        there = slice(int(first_atom[config + 1]), int(first_atom[config + 1] + n_atoms[config]))
        step = positions_A[there] - positions_A[here]
        if not np.abs(step).max() < NEAR_A or (numbers[here] != numbers[there]).any():
            continue
        work = -0.5 * float(((forces_eV_A[here] + forces_eV_A[there]) * step).sum())
        change = float(energy_eV[config + 1] - energy_eV[config])
        if abs(work) > LEAST_WORK_EV and np.isfinite(change):
            quotients.append(change / work)
    return quotients


def slope(quotients: Sequence[float]) -> float | None:
    """What energy differences over work are, as a rule; None where they are too few or scatter."""
    if len(quotients) < ENOUGH_PAIRS:
        return None
    low, middle, high = np.quantile(quotients, [0.25, 0.5, 0.75])
    return float(middle) if high - low < 0.5 * abs(middle) else None


def share_attracted(
    numbers: IntArray,
    positions_A: FloatArray,
    forces_eV_A: FloatArray,
    first_atom: IntArray,
    n_atoms: IntArray,
) -> tuple[float, int]:
    """Share of configurations whose closest atoms, images left out, are driven together, and of how many."""
    from ase.data import covalent_radii

    attracted = []
    for config in range(len(n_atoms)):
        atoms = slice(int(first_atom[config]), int(first_atom[config] + min(n_atoms[config], 300)))
        force, position = forces_eV_A[atoms], positions_A[atoms]
        if not (np.isfinite(force).all() and np.isfinite(position).all()):
            continue
        radii = covalent_radii[numbers[atoms]]
        apart = position[None, :] - position[:, None]
        distance = np.linalg.norm(apart, axis=2) / (radii[None, :] + radii[:, None])
        i, j = np.unravel_index(np.argmin(distance + np.diag(np.full(len(radii), np.inf))), distance.shape)
        push = float((force[j] - force[i]) @ apart[i, j])
        if push:
            attracted.append(push < 0)
    return (float(np.mean(attracted)), len(attracted)) if attracted else (0.0, 0)
