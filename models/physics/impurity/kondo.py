"""Three definitions of the Kondo temperature.

1. from the local spin susceptibility, T_K = 1 / (4 chi_loc(T -> 0, B = 0)): measured, defined for every U, and the one
   which the symbolic regression is asked to explain;
2. half width at half maximum of the Kondo peak of A(w) at low temperature: measured, undefined without a peak;
3. Haldane's formula, Phys. Rev. Lett. 40, 416 (1978), T_K = sqrt(U Gamma / 2) exp(pi eps_d (eps_d + U) / (2 U Gamma)):
   perturbative, for the local-moment regime U > 0, -U < eps_d < 0. Beside it the symmetric Bethe-ansatz scale, which
   carries exp(pi Gamma / (2 U)) in addition. Neither enters any training target. Without a local moment in a wide band
   both are numbers without meaning; `outside_haldane_range` says where that is.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.physics.impurity.density_matrix import density_matrix, needs_discarded_pairs
from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.multiplets.susceptibility import spin_susceptibilities
from models.physics.impurity.nrg import iterate, last_sites
from models.physics.impurity.nrg_solver import NRGSettings, Symmetry, one_thread
from models.physics.impurity.operators import IMPURITY_OPERATORS, carry
from models.physics.impurity.thermodynamics import static_susceptibility

__all__ = [
    "corrected_haldane_kondo_temperature",
    "haldane_kondo_temperature",
    "half_width_at_half_maximum",
    "kondo_temperature",
    "outside_haldane_range",
    "without_field",
]

Floats = NDArray[np.float64]
SATURATED = 0.02  # chi may still grow by this fraction over the last factor of ten in temperature


def kondo_temperature(
    impurity: AndersonImpurity, settings: NRGSettings, *, lowest_temperature: float = 1e-10, symmetry: Symmetry = "u1"
) -> float:
    """1 / (4 chi_loc) [D] at B = 0 and the lowest temperature [D], which stands for T -> 0.

    symmetry: su2 finds the same number faster.

    ValueError where the bath differs between the spins: then <S_z> is not zero at B = 0.
    NaN where chi has not saturated there, that is for T_K below about ten times that temperature.
    """
    free = without_field(impurity)
    temperatures = np.array([lowest_temperature, 10 * lowest_temperature])
    chi = np.zeros(2)
    with one_thread().limit(limits=1):
        for z in settings.z_values:
            if symmetry == "su2":
                chi += spin_susceptibilities(free, settings.truncation, z, temperatures) / settings.n_z
                continue
            lasts = last_sites(free, temperatures, settings.discretization, z)
            shells = iterate(free, settings.truncation, z=z, n_sites=max(lasts))
            s_z = carry(shells, IMPURITY_OPERATORS["s_z"], needs_discarded_pairs(shells, temperatures, lasts))
            for t, (temperature, last) in enumerate(zip(temperatures, lasts, strict=True)):
                density = density_matrix(shells, float(temperature), last)
                chi[t] += static_susceptibility(shells, density, s_z, 0.0) / settings.n_z
    return float(1 / (4 * chi[0])) if chi[0] < (1 + SATURATED) * chi[1] else math.nan


def without_field(impurity: AndersonImpurity) -> AndersonImpurity:
    """The same at B = 0; ValueError where its spins still differ."""
    free = replace(impurity, field=0.0)
    if not free.spin_symmetric:
        raise ValueError("the baths of up and dn differ: T_K = 1 / (4 chi) expected one bath for both spins")
    return free


def half_width_at_half_maximum(omega: Floats, spectrum: Floats) -> float:
    """Half of the distance between the points left and right of the peak nearest w = 0 where A is half its height [D].

    NaN where no maximum lies within |w| < 0.1 D of zero or a flank never falls to half (no separate Kondo peak).
    """
    near = np.flatnonzero(np.abs(omega) < 0.1)
    if near.size < 3:
        return math.nan
    peak = near[np.argmax(spectrum[near])]
    half = spectrum[peak] / 2
    below = np.flatnonzero(spectrum < half)
    left, right = below[below < peak], below[below > peak]
    if peak in (near[0], near[-1]) or not left.size or not right.size:
        return math.nan
    lower = np.interp(half, spectrum[[left[-1], left[-1] + 1]], omega[[left[-1], left[-1] + 1]])
    upper = np.interp(half, spectrum[[right[0], right[0] - 1]], omega[[right[0], right[0] - 1]])
    return float(upper - lower) / 2


def haldane_kondo_temperature(interaction: float, level: float, hybridization: float) -> float:
    """sqrt(U Gamma / 2) exp(pi eps_d (eps_d + U) / (2 U Gamma)) [D]; NaN outside U > 0, -U < eps_d < 0."""
    if interaction <= 0 or not -interaction < level < 0:
        return math.nan
    exponent = math.pi * level * (level + interaction) / (2 * interaction * hybridization)
    return math.sqrt(interaction * hybridization / 2) * math.exp(exponent)


def corrected_haldane_kondo_temperature(interaction: float, level: float, hybridization: float) -> float:
    """Haldane's form times exp(pi Gamma / (2 U)), for U >> pi Gamma: the Bethe ansatz at symmetry, measured off it."""
    haldane = haldane_kondo_temperature(interaction, level, hybridization)
    return haldane * math.exp(math.pi * hybridization / (2 * interaction)) if math.isfinite(haldane) else math.nan


def outside_haldane_range(interaction: float, level: float, hybridization: float) -> list[str]:
    """What keeps these parameters [D] from a local moment in a wide band, where definition 3 holds; empty inside."""
    problems = []
    if interaction < math.pi * hybridization:
        problems.append(f"U / (pi Gamma) = {interaction / (math.pi * hybridization):.3g}: expected at least 1")
    for name, depth in (("-eps_d", -level), ("eps_d + U", level + interaction)):
        if depth < hybridization:
            problems.append(f"{name} = {depth:.4g}: expected at least Gamma = {hybridization:.4g}")
    if interaction > 1:
        problems.append(f"U = {interaction:.4g}: expected at most the half bandwidth 1, which else cuts the law off")
    return problems
