"""Static properties of the impurity: occupations, entropy, spin and charge susceptibility.

The full density matrix gives thermodynamics at any temperature (Merker, Weichselbaum, Costi, Phys. Rev. B 86, 075153
(2012)). The impurity's share of the entropy is that of the whole chain less that of the chain without impurity, which
is a problem of free fermions. Local susceptibilities chi_O = d<O>/dh, H -> H - h O, follow from Kubo's formula in the
complete basis, with the commutator [R, O] traded for the anticommutator by the fluctuation-dissipation theorem,

    chi_O = sum_n sum_(i, k not both kept) O_ik [R O + O R]_ik tanh((E_k - E_i) / 2T) / (E_k - E_i)  -  <O>^2 / T.

The commutator would divide the truncation error of R by gaps that may be far below T; this form has no small divisor.

The effective moment, T chi_imp, is what the impurity adds to the variance of the conserved total S_z: that of all
states in the density matrix, to which each site still to come adds 1/8, less that of the free chain, sum f (1 - f) / 4.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.physics.impurity.density_matrix import DensityMatrix, density_matrix, needs_discarded_pairs
from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.nrg import Chain, chain_of, iterate, last_sites
from models.physics.impurity.nrg_solver import NRGSettings, one_thread
from models.physics.impurity.operators import IMPURITY_OPERATORS, OperatorBlocks, carry
from models.physics.impurity.shell import DIAGONAL, Links, Shell, links

__all__ = ["Thermodynamics", "static_susceptibility", "thermodynamics"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Thermodynamics:
    """z-averaged static properties; all (n_temperatures,)."""

    temperatures: Floats  # [D]
    entropy: Floats  # impurity contribution [k_B]
    n_up: Floats
    n_dn: Floats
    double_occupancy: Floats
    spin_susceptibility: Floats  # d<S_z>/dB, local [1/D]
    charge_susceptibility: Floats  # -d<n_d>/d eps_d, local [1/D]
    effective_moment: Floats  # T chi_imp of the total spin: 1/4 of a free spin, 0 of a singlet


def thermodynamics(impurity: AndersonImpurity, settings: NRGSettings, temperatures: Floats) -> Thermodynamics:
    """One NRG run per z for all temperatures."""
    sums = np.zeros((7, temperatures.size))
    with one_thread().limit(limits=1):
        for z in settings.z_values:
            lasts = last_sites(impurity, temperatures, settings.discretization, z)
            chain = chain_of(impurity, settings.discretization, z, max(lasts))
            shells = iterate(impurity, settings.truncation, z=z, n_sites=max(lasts))
            want_dd = needs_discarded_pairs(shells, temperatures, lasts)
            spin, charge = (carry(shells, IMPURITY_OPERATORS[name], want_dd) for name in ("s_z", "n_d"))
            for t, (temperature, last) in enumerate(zip(temperatures, lasts, strict=True)):
                density = density_matrix(shells, float(temperature), last)
                _, up, dn, both = density.impurity_weights
                free = levels_of(chain, last)
                sums[:, t] += (
                    density.log_z + density.energy / density.temperature - chain_entropy(free, density.temperature),
                    up + both,
                    dn + both,
                    both,
                    static_susceptibility(shells, density, spin, (up - dn) / 2),
                    static_susceptibility(shells, density, charge, up + dn + 2 * both),
                    total_spin_variance(shells, density) - chain_spin_variance(free, density.temperature),
                )
    entropy, n_up, n_dn, both, chi_spin, chi_charge, moment = sums / settings.n_z
    return Thermodynamics(
        temperatures=temperatures, entropy=entropy, n_up=n_up, n_dn=n_dn, double_occupancy=both,
        spin_susceptibility=chi_spin, charge_susceptibility=chi_charge,
        effective_moment=moment,
    )  # fmt: skip


def levels_of(chain: Chain, n_sites: int) -> list[Floats]:
    """Energies of up and dn electrons on the first sites of the bare chain [D]; one entry where they are alike."""
    alike = np.array_equal(*chain.hoppings) and np.array_equal(*chain.levels)
    result = []
    for hoppings, levels in zip(chain.hoppings[: 1 if alike else 2, 1:n_sites], chain.levels, strict=False):
        matrix = np.diag(hoppings, 1) + np.diag(hoppings, -1)
        result.append(np.linalg.eigvalsh(matrix + np.diag(levels[:n_sites])) if hoppings.size else levels[:1])
    return result


def chain_entropy(energies: list[Floats], temperature: float) -> float:
    """Entropy of free electrons of both spins on the bare chain [k_B]."""
    total = 0.0
    for levels in energies:
        x = np.abs(levels) / temperature  # the entropy of a level is even in its energy
        total += float(np.sum(np.log1p(np.exp(-x)) + x * np.exp(-x) / (1 + np.exp(-x))))
    return 2 * total / len(energies)


def chain_spin_variance(energies: list[Floats], temperature: float) -> float:
    """<S_z^2> - <S_z>^2 of the same electrons."""
    fluctuations = (1 / (4 * np.cosh(np.clip(levels / temperature, -600, 600) / 2) ** 2) for levels in energies)
    return 2 / len(energies) * math.fsum(float(np.sum(f)) / 4 for f in fluctuations)


def total_spin_variance(shells: list[Shell], density: DensityMatrix) -> float:
    """<S_z^2> - <S_z>^2 of impurity and chain."""
    first, second = 0.0, 0.0
    for n in range(1, density.last + 1):
        shell = shells[n]
        spin = np.repeat((shell.n_up - shell.n_dn) / 2, shell.size)
        w = density.weights[n]
        first += float(w @ spin)
        second += float(w @ (spin**2 + (density.last - n) / 8))
    return second - first**2


def static_susceptibility(
    shells: list[Shell], density: DensityMatrix, operator: list[OperatorBlocks], average: float
) -> float:
    """chi of an operator that conserves N_up and N_dn [1/D]; `average` is its expectation value."""
    total = -(average**2) / density.temperature
    for n in range(1, density.last + 1):
        shell, link, o = shells[n], links(shells[n], DIAGONAL), operator[n]
        kubo = kubo_sum(
            shell, link, density.reduced[n], density.weights[n], o, shell.scale / density.temperature, n == density.last
        )
        total += kubo / shell.scale
    return total


@njit(cache=True)
def kubo_sum(
    shell: Shell, link: Links, reduced: Floats, weights: Floats, operator: OperatorBlocks, beta: float, is_last: bool
) -> float:
    """The sum over i and k above at one shell [1/scale]."""
    thermal = weights.max() > 0 and operator.dd.size > 0
    total = 0.0
    for b in range(shell.size.size):
        n, k = shell.size[b], shell.keep[b]
        states = slice(shell.state[b], shell.state[b + 1])
        e, w = shell.energies[states], weights[states]
        upper = operator.kx[link.kx[b] : link.kx[b + 1]].reshape(k, n)
        if is_last and k > 0:
            for i in range(k):
                for j in range(k):
                    total += upper[i, j] ** 2 * (w[i] + w[j]) * response(e[j] - e[i], beta)
        if 0 < k < n:
            right = np.ascontiguousarray(upper[:, k:])
            left = operator.dk[link.dk[b] : link.dk[b + 1]].reshape(n - k, k)
            if is_last:
                for i in range(k):
                    for j in range(n - k):
                        factor = (w[i] + w[k + j]) * response(e[k + j] - e[i], beta)
                        total += (right[i, j] ** 2 + left[j, i] ** 2) * factor
            else:
                r = reduced[shell.kept_matrix[b] : shell.kept_matrix[b + 1]].reshape(k, k)
                r_right, left_r = np.dot(r, right), np.dot(left, r)
                for i in range(k):
                    for j in range(n - k):
                        factor = response(e[k + j] - e[i], beta)
                        total += factor * right[i, j] * (r_right[i, j] + w[k + j] * right[i, j])
                        total += factor * left[j, i] * (left_r[j, i] + w[k + j] * left[j, i])
        if thermal and k < n:
            far = operator.dd[link.dd[b] : link.dd[b + 1]].reshape(n - k, n - k)
            for i in range(n - k):
                for j in range(n - k):
                    total += far[i, j] ** 2 * (w[k + i] + w[k + j]) * response(e[k + j] - e[k + i], beta)
    return total


@njit(cache=True)
def response(gap: float, beta: float) -> float:
    """tanh(beta gap / 2) / gap, even in the gap."""
    x = 0.5 * beta * gap
    return 0.5 * beta * (1 - x * x / 3) if abs(x) < 1e-4 else np.tanh(x) / gap
