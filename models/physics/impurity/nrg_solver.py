"""The embedded impurity solver: full-density-matrix NRG with z-averaging and the improved self-energy.

One diagonalisation per z serves all temperatures (each with the chain that ends at its own scale) and both spins. Where
up and dn are alike, symmetry su2 finds the same numbers with one state for each spin multiplet (multiplets/), 2.4 times
faster at 1,000 states (benchmarks/nrg_su2.md).
"""

import math
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from threadpoolctl import ThreadpoolController

from models.physics.impurity.broadening import broaden, log_grid
from models.physics.impurity.density_matrix import density_matrix, needs_discarded_pairs
from models.physics.impurity.friedel import band_integrals, bath_integrals, charge_outside
from models.physics.impurity.hamiltonian import AndersonImpurity, ImpurityInBath
from models.physics.impurity.multiplets.iteration import check_spin_symmetry
from models.physics.impurity.multiplets.spectra import multiplet_correlators
from models.physics.impurity.nrg import Truncation, iterate, last_sites
from models.physics.impurity.operators import IMPURITY_OPERATORS, carry
from models.physics.impurity.self_energy import (
    bulla_self_energy,
    causal,
    clipped_share,
    inverse_green_function,
    kugler_self_energy,
    retarded,
    spectral_function,
)
from models.physics.impurity.shell import SPIN_DN, SPIN_UP
from models.physics.impurity.solver import IMPURITY_SOLVERS, ImpuritySolution, SolverError, check_request
from models.physics.impurity.spectral import FrequencyBins, correlators, pair_bins
from models.settings import settings

__all__ = [
    "BinnedCorrelators",
    "NRGSettings",
    "NRGSolver",
    "Symmetry",
    "binned_correlators",
    "self_energies",
    "working_grid",
]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Symmetry = Literal["u1", "su2"]  # of the spin: S_z, or the whole spin
HIGHEST = 30.0  # [D] upper end of bins and working grid: nothing of a band of half width 1 lies beyond


@settings
class NRGSettings:
    """Accuracy of the embedded solver; the defaults are the production settings.

    Beyond the ranges a run would take hours or memory without end, or broaden the spectrum to nothing.
    """

    discretization: Annotated[float, Field(ge=1.2, le=20)] = 4.0  # Lambda
    n_keep: Annotated[int, Field(ge=16, le=20_000)] = 256
    n_z: Annotated[int, Field(ge=1, le=256)] = 3
    self_energy: Literal["bulla", "kugler"] = "bulla"  # estimator, see self_energy.py
    broadening: Annotated[float, Field(ge=0.01, le=5)] = 0.35  # alpha of the logarithmic Gaussian
    thermal_width: Annotated[float, Field(ge=0.01, le=10)] = 0.5  # omega_0 / T of the Gaussian below
    bins_per_decade: Annotated[int, Field(ge=20, le=5000)] = 200
    grid_per_decade: Annotated[int, Field(ge=10, le=200)] = 50

    @property
    def truncation(self) -> Truncation:
        return Truncation(discretization=self.discretization, n_keep=self.n_keep)

    @property
    def z_values(self) -> list[float]:
        return [(i + 1) / self.n_z for i in range(self.n_z)]


@dataclass(frozen=True, kw_only=True)
class BinnedCorrelators:
    """z-averaged raw result: binned <<d; d+>>, <<q; d+>>, <<q; q+>> per temperature and spin, and occupations."""

    bins: FrequencyBins
    histograms: Floats  # (n_temperatures, 2 spins, 3, n_bins)
    impurity_weights: Floats  # (n_temperatures, 4): probabilities of |0>, |up>, |dn>, |up dn>


class NRGSolver:
    """`ImpuritySolver` without any dependence beyond NumPy and Numba.

    symmetry: su2 finds the same numbers faster where up and dn are alike. Raises ValueError for any other word.
    """

    def __init__(self, settings: NRGSettings, *, symmetry: Symmetry = "u1") -> None:
        if symmetry not in get_args(Symmetry):
            raise ValueError(f"symmetry: found {symmetry!r}, expected one of {get_args(Symmetry)}")
        self.settings, self.symmetry = settings, symmetry

    def solve(self, impurity: AndersonImpurity, *, temperatures: Floats, omega: Floats) -> ImpuritySolution:
        """Both spins at all temperatures; ValueError for a bad request, SolverError if no finite spectrum came out.

        With symmetry su2 an impurity whose spins differ is a bad request.
        """
        if self.symmetry == "su2":
            check_spin_symmetry(impurity)
        in_bath = isinstance(impurity, ImpurityInBath)
        check_request(temperatures, omega, impurity.divergences() if in_bath else None)
        raw = binned_correlators(impurity, self.settings, temperatures, symmetry=self.symmetry)
        _, up, dn, both = raw.impurity_weights.T
        n_up, n_dn = up + both, dn + both
        grid = working_grid(raw, self.settings)
        spectra = np.empty((2, temperatures.size, omega.size))
        weight, charge, clipped = np.empty((3, 2, temperatures.size))
        for t, temperature in enumerate(temperatures):
            sigma = self_energies(impurity, raw, t, float(temperature), self.settings)
            for s in (0,) if impurity.spin_symmetric and np.array_equal(*sigma) else (0, 1):
                known = (impurity, 1 - 2 * s, causal(sigma[s]), grid)
                a_s = partial(spectral_function, *known)
                spectra[s:, t] = a_s(omega)
                if isinstance(impurity, ImpurityInBath):
                    bath = impurity.of_spin(1 - 2 * s)
                    clipped[s:, t] = clipped_share(log_grid(*grid), sigma[s].imag, bath.mean, bath)
                    weight[s:, t], charge[s:, t] = bath_integrals(
                        partial(inverse_green_function, *known), bath, lowest=raw.bins.lowest, omega=omega
                    )
                    continue
                clipped[s:, t] = clipped_share(log_grid(*grid), sigma[s].imag, impurity.hybridization)
                weight[s:, t], charge[s:, t] = band_integrals(
                    a_s, impurity.hybridization, lowest=raw.bins.lowest, omega=omega
                )
                charge[s:, t] += charge_outside(partial(inverse_green_function, *known), impurity.hybridization)
            charge[:, t] += n_up[t], n_dn[t]
        if not np.isfinite(spectra).all():
            raise SolverError(
                f"{impurity}: the spectrum is not finite; try a larger n_keep than {self.settings.n_keep}"
            )
        return ImpuritySolution(
            temperatures=temperatures, omega=omega, spectrum_up=spectra[0], spectrum_dn=spectra[1],
            n_up=n_up, n_dn=n_dn, double_occupancy=both, weight_up=weight[0], weight_dn=weight[1],
            displaced_charge_up=charge[0], displaced_charge_dn=charge[1],
            clipped_up=clipped[0], clipped_dn=clipped[1],
        )  # fmt: skip


@IMPURITY_SOLVERS.register("nrg")
def embedded_nrg(*, nrg: NRGSettings) -> NRGSolver:
    return NRGSolver(nrg)


def binned_correlators(
    impurity: AndersonImpurity, settings: NRGSettings, temperatures: Floats, *, symmetry: Symmetry = "u1"
) -> BinnedCorrelators:
    """Run every z and average; where the spins are alike the dn spin is the up spin.

    Raises ValueError where they are not and symmetry is su2.
    """
    bins = FrequencyBins(
        lowest=10.0 ** math.floor(math.log10(temperatures.min() / 20)),
        highest=HIGHEST * max(1.0, impurity.reach),
        per_decade=settings.bins_per_decade,
    )
    histograms = np.zeros((temperatures.size, 2, 3, 2 * bins.n_per_sign))
    weights = np.zeros((temperatures.size, 4))
    spins = (
        (("d_up", "q_up", SPIN_UP),)
        if impurity.spin_symmetric
        else (("d_up", "q_up", SPIN_UP), ("d_dn", "q_dn", SPIN_DN))
    )
    with one_thread().limit(limits=1):
        for z in settings.z_values:
            if symmetry == "su2":
                binned, probabilities = multiplet_correlators(impurity, settings.truncation, z, temperatures, bins)
                histograms[:, 0] += binned / settings.n_z
                weights += probabilities / settings.n_z
                continue
            lasts = last_sites(impurity, temperatures, settings.discretization, z)
            shells = iterate(impurity, settings.truncation, z=z, n_sites=max(lasts))
            want_dd = needs_discarded_pairs(shells, temperatures, lasts)
            densities = [density_matrix(shells, float(t), last) for t, last in zip(temperatures, lasts, strict=True)]
            weights += np.array([density.impurity_weights for density in densities]) / settings.n_z
            for s, (d_name, q_name, charge) in enumerate(spins):
                d, q = (carry(shells, IMPURITY_OPERATORS[name], want_dd) for name in (d_name, q_name))
                pairs = pair_bins(shells, charge, want_dd, bins)
                for t, density in enumerate(densities):
                    histograms[t, s] += correlators(shells, density, charge, d, q, pairs, bins) / settings.n_z
    if impurity.spin_symmetric:
        histograms[:, 1] = histograms[:, 0]
    return BinnedCorrelators(bins=bins, histograms=histograms, impurity_weights=weights)


def working_grid(raw: BinnedCorrelators, settings: NRGSettings) -> tuple[float, float, int]:
    """Of log_grid, which the self-energy is made on."""
    return raw.bins.lowest, raw.bins.highest, settings.grid_per_decade


def self_energies(
    impurity: AndersonImpurity, raw: BinnedCorrelators, index: int, temperature: float, settings: NRGSettings
) -> Complexes:
    """Sigma [D] on log_grid(*working_grid(...)) of both spins at temperature number `index`, (2, n_omega).

    Spins that are alike have the same correlators, which are broadened once; `kugler` asks for the occupations too.
    """
    grid = working_grid(raw, settings)
    smooth = broaden(
        raw.histograms[index, : 1 if impurity.spin_symmetric else 2],
        raw.bins,
        grid=grid,
        alpha=settings.broadening,
        omega_0=settings.thermal_width * temperature,
    )
    g, f, i = np.moveaxis(retarded(smooth, grid), 1, 0)
    if settings.self_energy == "bulla":
        return np.broadcast_to(bulla_self_energy(impurity.interaction, g, f), (2, g.shape[-1]))
    _, up, dn, both = raw.impurity_weights[index]
    others = np.array([dn + both, up + both])
    return kugler_self_energy(impurity.interaction, others[:, None], g, f, i)


@cache
def one_thread() -> ThreadpoolController:
    """BLAS threads cost more than they bring on blocks of a hundred, and change the last digits of sums."""
    return ThreadpoolController()
