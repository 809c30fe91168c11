"""Density matrix and spectral functions of multiplets, from the kernels for plain states.

rho is the same for all 2S + 1 states of a multiplet. The trace over a new site adds up all of them, so it is done with
the weights of whole multiplets, (2S + 1) R; sums over pairs of states are done with those of one state, R, beside D of
recoupling.py. Both kinds of pairs, S_a = S_b - 1/2 and S_b + 1/2, add to one spectrum.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.physics.impurity.density_matrix import DensityMatrix, density_matrix, needs_discarded_pairs
from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.multiplets.iteration import iterate_multiplets, multiplicity
from models.physics.impurity.multiplets.operators import IMPURITY_TENSORS, carry_tensor
from models.physics.impurity.multiplets.recoupling import DOUBLET
from models.physics.impurity.nrg import Truncation, last_sites
from models.physics.impurity.shell import Shell
from models.physics.impurity.spectral import FrequencyBins, correlators, pair_bins

__all__ = ["impurity_states", "multiplet_correlators", "multiplet_density"]

Floats = NDArray[np.float64]


def multiplet_correlators(
    impurity: AndersonImpurity, truncation: Truncation, z: float, temperatures: Floats, bins: FrequencyBins
) -> tuple[Floats, Floats]:
    """Of one chain: binned <<d; d+>>, <<q; d+>>, <<q; q+>> of either spin, (n_temperatures, 3, n_bins), and the
    probabilities of |0>, |up>, |dn>, |up dn>, (n_temperatures, 4). ValueError where up and dn differ.
    """
    lasts = last_sites(impurity, temperatures, truncation.discretization, z)
    shells = iterate_multiplets(impurity, truncation, z=z, n_sites=max(lasts))
    want_dd = needs_discarded_pairs(shells, temperatures, lasts)
    densities = [multiplet_density(shells, float(t), last) for t, last in zip(temperatures, lasts, strict=True)]
    operators = (carry_tensor(shells, IMPURITY_TENSORS[name], want_dd) for name in ("d", "q"))
    histograms = np.zeros((temperatures.size, 3, 2 * bins.n_per_sign))
    for charge, d, q in zip(DOUBLET, *operators, strict=True):
        pairs = pair_bins(shells, charge, want_dd, bins)
        for t, density in enumerate(densities):
            histograms[t] += correlators(shells, density, charge, d, q, pairs, bins)
    return histograms, np.array([impurity_states(density) for density in densities])


def multiplet_density(shells: list[Shell], temperature: float, last: int) -> DensityMatrix:
    """rho with the weights of one state of each multiplet; ValueError where `last` is no shell of the chain."""
    each = [np.repeat(multiplicity(shell), shell.size).astype(float) for shell in shells]
    whole = density_matrix(shells, temperature, last, multiplicities=each)
    return replace(
        whole,
        weights=[weights / states for weights, states in zip(whole.weights, each, strict=False)],
        reduced=[
            reduced / np.repeat(multiplicity(shell), shell.keep**2) if reduced.size else reduced
            for reduced, shell in zip(whole.reduced, shells, strict=False)
        ],
    )


def impurity_states(density: DensityMatrix) -> Floats:
    """Probabilities of |0>, |up>, |dn>, |up dn>, (4,)."""
    return density.impurity_weights[[0, 1, 1, 2]]
