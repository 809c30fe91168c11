"""The single-band Hubbard model in dynamical mean-field theory, on the real axis by NRG.

    H = -t sum c+_is c_js + U sum n_i,up n_i,dn - mu sum n_i

In infinite dimensions the self-energy is local, and that of one impurity whose bath is made of the lattice itself:

    G(w) = int rho(e) de / (w + mu - Sigma(w) - e)         of the lattice
    Delta(w) = w + mu - Sigma(w) - 1 / G(w)                of the impurity, on the Bethe lattice D^2 G / 4
    Sigma = U F / G of the impurity in Delta, level -mu    by NRG (models.physics.impurity)

iterated until the bath no longer changes. Below a critical temperature a metal and an insulator are both solutions
between U_c1 and U_c2; which one is found depends on `start`.

Georges, Kotliar, Krauth, Rozenberg, Rev. Mod. Phys. 68, 13 (1996); NRG as the solver: Bulla, Phys. Rev. Lett. 83, 136 (1999);
Bulla, Costi, Vollhardt, Phys. Rev. B 64, 045103 (2001). Energies are in units of the half bandwidth D.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.physics.dmft.lattice import Lattice
from models.physics.impurity.bath import Bath
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
    """tolerance: largest change of pi D A(w) / 2 between iterations; mixing: share of the new bath."""

    nrg: NRGSettings
    tolerance: float = 2e-3
    max_iterations: int = 60
    mixing: float = 0.8


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
    first: Complexes | None = None,
) -> HubbardSolution:
    """Half filling: mu = U / 2, and both sides of w = 0 are made alike. Energies [D]."""
    omega = frequency_grid(interaction, temperature)
    shift = interaction / 2
    sigma = first if first is not None else starting_self_energy(omega, interaction, start)  # less U / 2
    changes: list[float] = []
    spectrum = np.zeros_like(omega)
    weights = np.zeros(4)
    gamma = None
    while len(changes) < settings.max_iterations:
        green = lattice.green_function(omega + 1e-12j - sigma)
        delta = omega - sigma - 1 / green
        new = symmetric(np.maximum(-delta.imag, 0.0))
        gamma = new if gamma is None else settings.mixing * new + (1 - settings.mixing) * gamma
        impurity = ImpurityInBath(interaction=interaction, level=-shift, bath=bath_of(omega, gamma))
        raw = binned_correlators(impurity, settings.nrg, np.array([temperature]))
        found = causal(self_energies(impurity, raw, 0, temperature, settings.nrg)[0])
        points = log_grid(*working_grid(raw, settings.nrg))
        sigma = antisymmetric(np.interp(omega, points, found.real) - shift) + 1j * symmetric(
            np.interp(omega, points, found.imag)
        )
        weights = raw.impurity_weights[0]
        before, spectrum = spectrum, -lattice.green_function(omega + 1e-12j - sigma).imag / np.pi
        changes.append(float(np.abs(spectrum - before).max() * np.pi / 2))
        report(len(changes), changes[-1])
        if changes[-1] < settings.tolerance:
            break
    return HubbardSolution(
        omega=omega,
        spectrum=spectrum,
        self_energy=sigma + shift,
        bath=np.asarray(gamma),
        filling=float(weights[1] + weights[2] + 2 * weights[3]),
        double_occupancy=float(weights[3]),
        chemical_potential=shift,
        quasiparticle_weight=quasiparticle_weight(omega, sigma.real, temperature),
        converged=changes[-1] < settings.tolerance,
        changes=changes,
    )


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


def bath_of(omega: Floats, gamma: Floats) -> Bath:
    """Where it is more than LEAST_GAMMA; zero elsewhere, so that a gap is one."""
    kept = np.where(gamma > LEAST_GAMMA * gamma.max(), gamma, 0.0)
    return Bath(omega, kept)


def symmetric(values: Floats) -> Floats:
    return np.asarray((values + values[::-1]) / 2)


def antisymmetric(values: Floats) -> Floats:
    return np.asarray((values - values[::-1]) / 2)
