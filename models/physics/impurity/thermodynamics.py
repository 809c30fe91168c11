"""Static properties of the impurity: occupations, entropy, spin and charge susceptibility.

The full density matrix gives thermodynamics at any temperature (Merker, Weichselbaum, Costi, Phys. Rev. B 86, 075153
(2012)). The impurity's share of the entropy is that of the whole chain less that of the chain without impurity, which
is a problem of free fermions. Local susceptibilities chi_O = d<O>/dh, H -> H - h O, follow from Kubo's formula in the
complete basis, with the commutator [R, O] traded for the anticommutator by the fluctuation-dissipation theorem,

    chi_O = sum_n sum_(i, k not both kept) O_ik [R O + O R]_ik tanh((E_k - E_i) / 2T) / (E_k - E_i)  -  <O>^2 / T.

The commutator would divide the truncation error of R by gaps that may be far below T; this form has no small divisor.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.physics.impurity.density_matrix import DensityMatrix, density_matrix, needs_discarded_pairs
from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.nrg import iterate, last_site
from models.physics.impurity.nrg_solver import NRGSettings, one_thread
from models.physics.impurity.operators import IMPURITY_OPERATORS, OperatorBlocks, carry
from models.physics.impurity.shell import DIAGONAL, Links, Shell, links
from models.physics.impurity.wilson_chain import wilson_chain

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


def thermodynamics(impurity: AndersonImpurity, settings: NRGSettings, temperatures: Floats) -> Thermodynamics:
    """One NRG run per z for all temperatures."""
    lasts = [last_site(float(t), settings.discretization) + 1 for t in temperatures]
    sums = np.zeros((6, temperatures.size))
    with one_thread().limit(limits=1):
        for z in settings.z_values:
            shells = iterate(impurity, settings.truncation, z=z, n_sites=max(lasts))
            want_dd = needs_discarded_pairs(shells, temperatures, lasts)
            spin, charge = (carry(shells, IMPURITY_OPERATORS[name], want_dd) for name in ("s_z", "n_d"))
            for t, (temperature, last) in enumerate(zip(temperatures, lasts, strict=True)):
                density = density_matrix(shells, float(temperature), last)
                _, up, dn, both = density.impurity_weights
                hoppings = wilson_chain(settings.discretization, z, max(lasts))[: last - 1]
                sums[:, t] += (
                    density.log_z + density.energy / density.temperature - chain_entropy(hoppings, density.temperature),
                    up + both,
                    dn + both,
                    both,
                    static_susceptibility(shells, density, spin, (up - dn) / 2),
                    static_susceptibility(shells, density, charge, up + dn + 2 * both),
                )
    entropy, n_up, n_dn, both, chi_spin, chi_charge = sums / settings.n_z
    return Thermodynamics(
        temperatures=temperatures, entropy=entropy, n_up=n_up, n_dn=n_dn, double_occupancy=both,
        spin_susceptibility=chi_spin, charge_susceptibility=chi_charge,
    )  # fmt: skip


def chain_entropy(hoppings: Floats, temperature: float) -> float:
    """Entropy of free electrons of both spins on the bare chain [k_B]."""
    energies = np.linalg.eigvalsh(np.diag(hoppings, 1) + np.diag(hoppings, -1)) if hoppings.size else np.zeros(1)
    x = np.abs(energies) / temperature  # the entropy of a level is even in its energy
    return 2 * float(np.sum(np.log1p(np.exp(-x)) + x * np.exp(-x) / (1 + np.exp(-x))))


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
