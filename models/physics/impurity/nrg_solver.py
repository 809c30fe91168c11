"""The embedded impurity solver: full-density-matrix NRG with z-averaging and the improved self-energy.

One diagonalisation per z serves all temperatures (each with the chain that ends at its own scale) and both spins.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from models.physics.impurity.broadening import broaden
from models.physics.impurity.density_matrix import density_matrix, needs_discarded_pairs
from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.nrg import Truncation, iterate, last_site
from models.physics.impurity.operators import IMPURITY_OPERATORS, carry
from models.physics.impurity.self_energy import (
    bulla_self_energy,
    causal,
    kugler_self_energy,
    retarded,
    spectral_function,
)
from models.physics.impurity.shell import SPIN_DN, SPIN_UP
from models.physics.impurity.solver import ImpuritySolution, SolverError, check_request
from models.physics.impurity.spectral import FrequencyBins, correlators, pair_bins

__all__ = ["BinnedCorrelators", "NRGSettings", "NRGSolver", "binned_correlators"]

Floats = NDArray[np.float64]
HIGHEST = 30.0  # [D] upper end of bins and working grid: nothing of a flat band of half width 1 lies beyond


@dataclass(frozen=True, kw_only=True)
class NRGSettings:
    """Accuracy of the embedded solver; the defaults are the production settings."""

    discretization: float = 4.0  # Lambda
    n_keep: int = 256
    n_z: int = 3
    self_energy: Literal["kugler", "bulla"] = "kugler"  # estimator, see self_energy.py
    broadening: float = 0.35  # alpha of the logarithmic Gaussian
    thermal_width: float = 0.5  # omega_0 / T of the Gaussian below
    bins_per_decade: int = 200
    grid_per_decade: int = 50

    def __post_init__(self) -> None:
        problems = []
        for name in ("discretization", "broadening", "thermal_width"):
            if not math.isfinite(getattr(self, name)):
                problems.append(f"{name} = {getattr(self, name)!r}: expected a finite number")
        if self.self_energy not in ("kugler", "bulla"):
            problems.append(f"self_energy = {self.self_energy!r}: expected 'kugler' or 'bulla'")
        if self.discretization <= 1:
            problems.append(f"discretization (Lambda) = {self.discretization!r}: expected > 1")
        for name, lowest in (("n_keep", 16), ("n_z", 1), ("bins_per_decade", 20), ("grid_per_decade", 10)):
            if getattr(self, name) < lowest:
                problems.append(f"{name} = {getattr(self, name)!r}: expected >= {lowest}")
        for name in ("broadening", "thermal_width"):
            if getattr(self, name) <= 0:
                problems.append(f"{name} = {getattr(self, name)!r}: expected > 0")
        if problems:
            raise ValueError("NRGSettings: " + "; ".join(problems))

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
    """`ImpuritySolver` without any dependence beyond NumPy and Numba."""

    def __init__(self, settings: NRGSettings) -> None:
        self.settings = settings

    def solve(self, impurity: AndersonImpurity, *, temperatures: Floats, omega: Floats) -> ImpuritySolution:
        """Both spins at all temperatures; ValueError for a bad request, SolverError if no finite spectrum came out."""
        check_request(temperatures, omega)
        raw = binned_correlators(impurity, self.settings, temperatures)
        _, up, dn, both = raw.impurity_weights.T
        n_up, n_dn = up + both, dn + both
        grid = (raw.bins.lowest, HIGHEST, self.settings.grid_per_decade)
        spectra = np.empty((2, temperatures.size, omega.size))
        for t, temperature in enumerate(temperatures):
            width = self.settings.thermal_width * float(temperature)
            smooth = broaden(raw.histograms[t], raw.bins, grid=grid, alpha=self.settings.broadening, omega_0=width)
            g, f, i = np.moveaxis(retarded(smooth, grid), 1, 0)
            for s, other in enumerate((n_dn, n_up)):
                if self.settings.self_energy == "kugler":
                    sigma = kugler_self_energy(impurity.interaction, float(other[t]), g[s], f[s], i[s])
                else:
                    sigma = bulla_self_energy(impurity.interaction, g[s], f[s])
                spectra[s, t] = spectral_function(impurity, 1 - 2 * s, causal(sigma), grid, omega)
        if not np.isfinite(spectra).all():
            raise SolverError(
                f"{impurity}: the spectrum is not finite; try a larger n_keep than {self.settings.n_keep}"
            )
        return ImpuritySolution(
            temperatures=temperatures, omega=omega, spectrum_up=spectra[0], spectrum_dn=spectra[1],
            n_up=n_up, n_dn=n_dn, double_occupancy=both,
        )  # fmt: skip


def binned_correlators(impurity: AndersonImpurity, settings: NRGSettings, temperatures: Floats) -> BinnedCorrelators:
    """Run every z and average; at zero field the dn spin is the up spin."""
    lasts = [last_site(float(t), settings.discretization) + 1 for t in temperatures]
    bins = FrequencyBins(
        lowest=10.0 ** math.floor(math.log10(temperatures.min() / 20)),
        highest=HIGHEST,
        per_decade=settings.bins_per_decade,
    )
    histograms = np.zeros((temperatures.size, 2, 3, 2 * bins.n_per_sign))
    weights = np.zeros((temperatures.size, 4))
    spins = (
        (("d_up", "q_up", SPIN_UP),) if impurity.field == 0 else (("d_up", "q_up", SPIN_UP), ("d_dn", "q_dn", SPIN_DN))
    )
    with one_thread().limit(limits=1):
        for z in settings.z_values:
            shells = iterate(impurity, settings.truncation, z=z, n_sites=max(lasts))
            want_dd = needs_discarded_pairs(shells, temperatures, lasts)
            densities = [density_matrix(shells, float(t), last) for t, last in zip(temperatures, lasts, strict=True)]
            weights += np.array([density.impurity_weights for density in densities]) / settings.n_z
            for s, (d_name, q_name, charge) in enumerate(spins):
                d, q = (carry(shells, IMPURITY_OPERATORS[name], want_dd) for name in (d_name, q_name))
                pairs = pair_bins(shells, charge, want_dd, bins)
                for t, density in enumerate(densities):
                    histograms[t, s] += correlators(shells, density, charge, d, q, pairs, bins) / settings.n_z
    if impurity.field == 0:
        histograms[:, 1] = histograms[:, 0]
    return BinnedCorrelators(bins=bins, histograms=histograms, impurity_weights=weights)


@cache
def one_thread() -> ThreadpoolController:
    """BLAS threads cost more than they bring on blocks of a hundred, and change the last digits of sums."""
    return ThreadpoolController()
