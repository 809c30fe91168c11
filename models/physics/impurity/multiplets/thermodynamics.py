"""Static properties at zero field from multiplets: the numbers of models/physics/impurity/thermodynamics.py, faster.

<S_z^2> of a multiplet is S (S + 1) / 3, and <S_z> is zero.
"""

import numpy as np
from numpy.typing import NDArray

from models.physics.impurity.density_matrix import DensityMatrix, needs_discarded_pairs
from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.multiplets.iteration import iterate_multiplets, multiplicity
from models.physics.impurity.multiplets.spectra import impurity_states, multiplet_density
from models.physics.impurity.multiplets.susceptibility import charge_response, spin_response
from models.physics.impurity.nrg import chain_of, last_sites
from models.physics.impurity.nrg_solver import NRGSettings, one_thread
from models.physics.impurity.shell import Shell
from models.physics.impurity.thermodynamics import Thermodynamics, chain_entropy, chain_spin_variance, levels_of

__all__ = ["multiplet_thermodynamics"]

Floats = NDArray[np.float64]


def multiplet_thermodynamics(impurity: AndersonImpurity, settings: NRGSettings, temperatures: Floats) -> Thermodynamics:
    """`thermodynamics` where up and dn are alike; ValueError where they are not."""
    entropy, both, one, chi_spin, chi_charge, moment = np.zeros((6, temperatures.size))
    with one_thread().limit(limits=1):
        for z in settings.z_values:
            lasts = last_sites(impurity, temperatures, settings.discretization, z)
            chain = chain_of(impurity, settings.discretization, z, max(lasts))
            shells = iterate_multiplets(impurity, settings.truncation, z=z, n_sites=max(lasts))
            want_dd = needs_discarded_pairs(shells, temperatures, lasts)
            densities = [multiplet_density(shells, float(t), last) for t, last in zip(temperatures, lasts, strict=True)]
            chi_spin += spin_response(shells, densities, want_dd)
            chi_charge += charge_response(shells, densities, want_dd)
            for t, (density, last) in enumerate(zip(densities, lasts, strict=True)):
                free = levels_of(chain, last)
                _, up, _, up_dn = impurity_states(density)
                entropy[t] += density.log_z + density.energy / density.temperature
                entropy[t] -= chain_entropy(free, density.temperature)
                both[t] += up_dn
                one[t] += up + up_dn
                moment[t] += total_spin_variance(shells, density) - chain_spin_variance(free, density.temperature)
    n = settings.n_z
    return Thermodynamics(
        temperatures=temperatures, entropy=entropy / n, n_up=one / n, n_dn=one / n, double_occupancy=both / n,
        spin_susceptibility=chi_spin / n, charge_susceptibility=chi_charge / n, effective_moment=moment / n,
    )  # fmt: skip


def total_spin_variance(shells: list[Shell], density: DensityMatrix) -> float:
    """<S_z^2> of impurity and chain."""
    total = 0.0
    for n in range(1, density.last + 1):
        shell, states = shells[n], multiplicity(shells[n])
        of_block = np.repeat(states * ((states**2 - 1) / 12 + (density.last - n) / 8), shell.size)
        total += float(density.weights[n] @ of_block)
    return total
