"""The single-band Hubbard model in dynamical mean-field theory, on the real axis by NRG.

    H = -t sum c+_is c_js + U sum n_i,up n_i,dn - mu sum n_i

In infinite dimensions the self-energy is local, and that of one impurity whose bath is made of the lattice itself:

    G(w) = int rho(e) de / (w + mu - Sigma(w) - e)         of the lattice
    Delta(w) = w + mu - Sigma(w) - 1 / G(w)                of the impurity, on the Bethe lattice D^2 G / 4
    Sigma = U F / G of the impurity in Delta, level -mu    by NRG (models.physics.impurity)

iterated until the bath no longer changes. Below a critical temperature a metal and an insulator are both solutions
between U_c1 and U_c2; which one is found depends on `start`.

Georges, Kotliar, Krauth, Rozenberg, Rev. Mod. Phys. 68, 13 (1996); NRG as the solver: Bulla, Phys. Rev. Lett. 83, 136
(1999); Bulla, Costi, Vollhardt, Phys. Rev. B 64, 045103 (2001). Energies are in units of the half bandwidth D.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import NoConvergence, anderson

from models.physics.dmft.lattice import Lattice
from models.physics.impurity.bath import Bath, NoWeightAtFermiLevel
from models.physics.impurity.broadening import log_grid
from models.physics.impurity.hamiltonian import ImpurityInBath
from models.physics.impurity.nrg_solver import NRGSettings, binned_correlators, self_energies, working_grid
from models.physics.impurity.self_energy import causal

__all__ = ["HubbardSolution", "MeanFieldSettings", "solve_hubbard"]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
LEAST_GAMMA = 1e-6  # of the largest: less is no part of the bath
PER_DECADE = 24
Z_WINDOW = (0.03, 0.2)  # of Z D: where Re Sigma is a straight line
TAIL = 3.0  # the grid ends this far beyond the Hubbard bands [D]


@dataclass(frozen=True, kw_only=True)
class MeanFieldSettings:
    """tolerance: largest change of Gamma(w) in a turn, in units of D/2, its value at w = 0 on the Bethe lattice.

    mixing, n_mixed: share of the new bath, and how many turns Anderson's mixing (scipy.optimize.anderson) looks back.
    """

    nrg: NRGSettings
    tolerance: float = 2e-3
    max_iterations: int = 60
    mixing: float = 0.8
    n_mixed: int = 4


@dataclass(frozen=True, kw_only=True)
class HubbardSolution:
    """Of one spin. `changes` of all iterations; the last iterate is kept where they did not converge."""

    omega: Floats  # (n_omega,) [D]
    spectrum: Floats  # (n_omega,) A(w) [1/D]
    self_energy: Complexes  # (n_omega,) without mu [D]
    bath: Floats  # (n_omega,) Gamma(w) [D]
    filling: float  # of both spins
    double_occupancy: float
    chemical_potential: float  # [D]
    quasiparticle_weight: float  # 1 / (1 - d Re Sigma / d w) at w = 0
    converged: bool
    changes: list[float]


def solve_hubbard(
    interaction: float,
    temperature: float,
    lattice: Lattice,
    settings: MeanFieldSettings,
    *,
    start: Literal["metal", "insulator"] = "metal",
    report: Callable[[int, float], None] = lambda number, change: None,
    first: Floats | None = None,  # Gamma to begin with, such as the last of a run that was stopped
) -> HubbardSolution:
    """Half filling: mu = U / 2, and both sides of w = 0 are made alike. Energies [D]."""
    omega = frequency_grid(interaction, temperature)
    loop = Loop(interaction, temperature, lattice, settings.nrg, omega, report)
    gamma = loop.bath_of(starting_self_energy(omega, interaction, start)) if first is None else first
    try:
        anderson(
            loop.residual, gamma, alpha=settings.mixing, M=settings.n_mixed, line_search=None,
            maxiter=settings.max_iterations, f_tol=settings.tolerance / 2, x_tol=np.inf, tol_norm=maxnorm,
        )  # fmt: skip
        converged = True
    except NoConvergence:
        converged = False
    spectrum = -lattice.green_function(omega + 1e-12j - loop.sigma).imag / np.pi
    return HubbardSolution(
        omega=omega,
        spectrum=spectrum,
        self_energy=np.asarray(loop.sigma + interaction / 2, dtype=np.complex128),
        bath=loop.gamma,
        filling=float(loop.weights[1] + loop.weights[2] + 2 * loop.weights[3]),
        double_occupancy=float(loop.weights[3]),
        chemical_potential=interaction / 2,
        quasiparticle_weight=quasiparticle_weight(omega, loop.sigma.real, temperature),
        converged=converged,
        changes=loop.changes,
    )


class Loop:
    """One turn of the self-consistency, and what the last one found; `sigma` is less U / 2."""

    def __init__(
        self, interaction: float, temperature: float, lattice: Lattice, nrg: NRGSettings, omega: Floats,
        report: Callable[[int, float], None],
    ) -> None:  # fmt: skip
        self.interaction, self.temperature, self.lattice, self.nrg, self.omega = (
            interaction, temperature, lattice, nrg, omega,
        )  # fmt: skip
        self.report = report
        self.sigma: Complexes = np.zeros(omega.shape, dtype=np.complex128)
        self.gamma = np.zeros_like(omega)
        self.weights = np.zeros(4)
        self.changes: list[float] = []

    def bath_of(self, sigma: Complexes) -> Floats:
        """Gamma of the lattice with this self-energy, both sides of w = 0 alike."""
        green = self.lattice.green_function(self.omega + 1e-12j - sigma)
        return symmetric(np.maximum(-(self.omega - sigma - 1 / green).imag, 0.0))

    def residual(self, gamma: Floats) -> Floats:
        """What comes out less what goes in [D]; an extrapolated Gamma below 0 is cut."""
        self.gamma = symmetric(np.maximum(gamma, 0.0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoWeightAtFermiLevel)  # an insulator has none
            bath = bath_where_it_is(self.omega, self.gamma)
        impurity = ImpurityInBath(interaction=self.interaction, level=-self.interaction / 2, bath=bath)
        raw = binned_correlators(impurity, self.nrg, np.array([self.temperature]))
        found = causal(self_energies(impurity, raw, 0, self.temperature, self.nrg)[0])
        points = log_grid(*working_grid(raw, self.nrg))
        real, imaginary = (np.interp(self.omega, points, part) for part in (found.real, found.imag))
        self.sigma = antisymmetric(real - self.interaction / 2) + 1j * symmetric(imaginary)
        self.weights = raw.impurity_weights[0]
        change = self.bath_of(self.sigma) - gamma
        self.changes.append(2 * float(np.abs(change).max()))
        self.report(len(self.changes), self.changes[-1])
        return change


def quasiparticle_weight(omega: Floats, real: Floats, temperature: float) -> float:
    """1 / (1 - d Re Sigma / dw), the slope fitted where w is well above T and well below Z; NaN where nothing is.

    Within some T of w = 0 the broadening spoils U F / G; above Z D / 5 Sigma is no longer linear. 0 for an insulator.
    """
    z = 100 * temperature
    for _ in range(100):
        low, high = max(10 * temperature, Z_WINDOW[0] * z), Z_WINDOW[1] * z
        used = (np.abs(omega) >= low) & (np.abs(omega) <= high)
        if used.sum() < 6:
            return float("nan")
        slope = float(np.sum(omega[used] * real[used]) / np.sum(omega[used] ** 2))
        if slope >= 0:
            return 0.0
        before, z = z, float(np.sqrt(z / (1 - slope)))
        if abs(z - before) < 1e-6 * before:
            break
    return z


def frequency_grid(interaction: float, temperature: float) -> Floats:
    """Logarithmic on both sides of 0, finer where the Hubbard bands lie; ascending, symmetric, without 0."""
    highest = 1 + interaction / 2 + TAIL
    lowest = temperature / 10
    positive = np.geomspace(lowest, highest, int(np.log10(highest / lowest) * PER_DECADE) + 1)
    positive = np.unique(np.concatenate([positive, np.arange(0.05, highest, 0.02)]))
    return np.concatenate([-positive[::-1], positive])


def starting_self_energy(omega: Floats, interaction: float, start: str) -> Complexes:
    """Less U / 2: none for the metal; for the insulator that of the atom, U^2 / 4w, broadened."""
    if start == "metal":
        return np.zeros_like(omega, dtype=complex)
    return np.asarray(interaction**2 / 4 / (omega + 0.02j))


def bath_where_it_is(omega: Floats, gamma: Floats) -> Bath:
    """Where it is more than LEAST_GAMMA; zero elsewhere, so that a gap is one."""
    kept = np.where(gamma > LEAST_GAMMA * gamma.max(), gamma, 0.0)
    return Bath(omega, kept)


def maxnorm(values: Floats) -> float:
    return float(np.abs(values).max())


def symmetric(values: Floats) -> Floats:
    return np.asarray((values + values[::-1]) / 2)


def antisymmetric(values: Floats) -> Floats:
    return np.asarray((values - values[::-1]) / 2)
