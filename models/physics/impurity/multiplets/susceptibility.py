"""Kubo's formula between multiplets, for the local spin and charge susceptibility.

As in thermodynamics.py, with D of recoupling.py for the matrix elements. Of S_z the pairs with S_a = S_b - 1 are
stored, and count twice for those with S_b + 1. A scalar operator, such as n_d, leaves multiplets and coupling as they
are: it is carried like a plain one, and D is its element times sqrt(2S + 1).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.physics.impurity.density_matrix import DensityMatrix, needs_discarded_pairs
from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.multiplets.iteration import iterate_multiplets, multiplicity
from models.physics.impurity.multiplets.operators import IMPURITY_TENSORS, carry_tensor, pairs_of
from models.physics.impurity.multiplets.recoupling import TRIPLET, Charge
from models.physics.impurity.multiplets.spectra import multiplet_density
from models.physics.impurity.nrg import Truncation, last_sites
from models.physics.impurity.operators import ImpurityOperator, OperatorBlocks, carry
from models.physics.impurity.shell import DIAGONAL, Links, Shell
from models.physics.impurity.thermodynamics import response

__all__ = ["charge_response", "spin_response", "spin_susceptibilities"]

Floats = NDArray[np.float64]
OCCUPATION = ImpurityOperator(charge=DIAGONAL, elements=(0.0, 1.0, 2.0))


def spin_susceptibilities(impurity: AndersonImpurity, truncation: Truncation, z: float, temperatures: Floats) -> Floats:
    """d<S_z>/dB of one chain, (n_temperatures,) [1/D]. ValueError where up and dn differ."""
    lasts = last_sites(impurity, temperatures, truncation.discretization, z)
    shells = iterate_multiplets(impurity, truncation, z=z, n_sites=max(lasts))
    densities = [multiplet_density(shells, float(t), last) for t, last in zip(temperatures, lasts, strict=True)]
    return spin_response(shells, densities, needs_discarded_pairs(shells, temperatures, lasts))


def spin_response(shells: list[Shell], densities: list[DensityMatrix], want_dd: NDArray[np.bool_]) -> Floats:
    """d<S_z>/dB, (n_densities,) [1/D]."""
    same, different = carry_tensor(shells, IMPURITY_TENSORS["s_z"], want_dd)
    return np.array(
        [
            kubo(shells, density, TRIPLET[0], same) + 2 * kubo(shells, density, TRIPLET[1], different)
            for density in densities
        ]
    )


def charge_response(shells: list[Shell], densities: list[DensityMatrix], want_dd: NDArray[np.bool_]) -> Floats:
    """-d<n_d>/d eps_d, (n_densities,) [1/D]."""
    n_d = [
        with_multiplicity(shell, blocks)
        for shell, blocks in zip(shells, carry(shells, OCCUPATION, want_dd), strict=True)
    ]
    result = []
    for density in densities:
        _, one, two = density.impurity_weights
        average = 2 * (one + two)
        result.append(kubo(shells, density, DIAGONAL, n_d) - average**2 / density.temperature)
    return np.array(result)


def with_multiplicity(shell: Shell, blocks: OperatorBlocks) -> OperatorBlocks:
    """D of a scalar operator."""
    link, factor = pairs_of(shell, DIAGONAL), np.sqrt(multiplicity(shell))
    pieces = {
        name: piece * np.repeat(factor, np.diff(getattr(link, name))) if piece.size else piece
        for name, piece in blocks._asdict().items()
    }
    return OperatorBlocks(**pieces)


def kubo(shells: list[Shell], density: DensityMatrix, charge: Charge, operator: list[OperatorBlocks]) -> float:
    """The sum over all pairs of one kind [1/D]."""
    total = 0.0
    for n in range(1, density.last + 1):
        shell = shells[n]
        beta, is_last = shell.scale / density.temperature, n == density.last
        link, reduced, weights = pairs_of(shell, charge), density.reduced[n], density.weights[n]
        total += pair_sum(shell, link, reduced, weights, operator[n], beta, is_last) / shell.scale
    return total


@njit(cache=True)
def pair_sum(
    shell: Shell, link: Links, reduced: Floats, weights: Floats, operator: OperatorBlocks, beta: float, is_last: bool
) -> float:
    """sum over i (bra), k (ket) of O_ik [R O + O R]_ik tanh((E_k - E_i) / 2T) / (E_k - E_i), at one shell [1/scale]."""
    thermal = weights.max() > 0 and operator.dd.size > 0
    total = 0.0
    for b in range(shell.size.size):
        a = link.bra[b]
        if a < 0:
            continue
        n_a, n_b, k_a, k_b = shell.size[a], shell.size[b], shell.keep[a], shell.keep[b]
        of_a, of_b = slice(shell.state[a], shell.state[a + 1]), slice(shell.state[b], shell.state[b + 1])
        e_a, w_a, e_b, w_b = shell.energies[of_a], weights[of_a], shell.energies[of_b], weights[of_b]
        kx = operator.kx[link.kx[b] : link.kx[b + 1]].reshape(k_a, n_b)
        dk = operator.dk[link.dk[b] : link.dk[b + 1]].reshape(n_a - k_a, k_b)
        if is_last:
            total += diagonal_sum(kx, e_a[:k_a], w_a[:k_a], e_b, w_b, beta)
            total += diagonal_sum(dk, e_a[k_a:], w_a[k_a:], e_b[:k_b], w_b[:k_b], beta)
        else:
            if k_a > 0 and k_b < n_b:
                kd = np.ascontiguousarray(kx[:, k_b:])
                r = reduced[shell.kept_matrix[a] : shell.kept_matrix[a + 1]].reshape(k_a, k_a)
                traced = np.dot(r, kd)
                for i in range(k_a):
                    for k in range(n_b - k_b):
                        factor = response(e_b[k_b + k] - e_a[i], beta)
                        total += factor * kd[i, k] * (traced[i, k] + w_b[k_b + k] * kd[i, k])
            if k_b > 0 and k_a < n_a:
                r = reduced[shell.kept_matrix[b] : shell.kept_matrix[b + 1]].reshape(k_b, k_b)
                traced = np.dot(dk, r)
                for i in range(n_a - k_a):
                    for k in range(k_b):
                        factor = response(e_b[k] - e_a[k_a + i], beta)
                        total += factor * dk[i, k] * (traced[i, k] + w_a[k_a + i] * dk[i, k])
        if thermal and k_a < n_a and k_b < n_b:
            dd = operator.dd[link.dd[b] : link.dd[b + 1]].reshape(n_a - k_a, n_b - k_b)
            total += diagonal_sum(dd, e_a[k_a:], w_a[k_a:], e_b[k_b:], w_b[k_b:], beta)
    return total


@njit(cache=True)
def diagonal_sum(o: Floats, e_a: Floats, w_a: Floats, e_b: Floats, w_b: Floats, beta: float) -> float:
    """The part of pairs between which R is diagonal."""
    total = 0.0
    for i in range(o.shape[0]):
        for k in range(o.shape[1]):
            total += o[i, k] ** 2 * (w_a[i] + w_b[k]) * response(e_b[k] - e_a[i], beta)
    return total
