"""Spectra through the self-energy, which cancels most of the discretisation and broadening error.

With q_s = [d_s, H_U] / U = d_s n_-s and the correlators G = <<d; d+>>, F = <<q; d+>>, I = <<q; q+>> of one and the same
NRG run, broadened alike,

    Bulla, Hewson, Pruschke, J. Phys.: Condens. Matter 10, 8365 (1998):  Sigma = U F / G
    Kugler, Phys. Rev. B 105, 245132 (2022):                             Sigma = U <n_-s> + U^2 (I - F^2 / G)

and then, with the hybridization function of the continuous band, G(w) = 1 / (w - eps_d + s B/2 - Delta(w) - Sigma(w)).
Kugler's form is symmetric and keeps Im Sigma <= 0 much better; what is left of a positive Im Sigma is cut to zero.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from models.physics.impurity.broadening import log_grid
from models.physics.impurity.hamiltonian import AndersonImpurity, hybridization_function

__all__ = ["bulla_self_energy", "causal", "hilbert_matrix", "kugler_self_energy", "retarded", "spectral_function"]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]


@cache
def hilbert_matrix(grid: tuple[float, float, int]) -> Floats:
    """H with Re G = H A on log_grid(*grid): P int A(w') / (w - w') dw' for A linear between the points, 0 beyond.

    Over one interval [a, b], with L = ln|(w - a) / (w - b)|, the weight of A(a) is (b - w) L / (b - a) + 1 and that of
    A(b) is (w - a) L / (b - a) - 1; the logarithms at w = a and w = b cancel between neighbouring intervals.
    """
    x = log_grid(*grid)
    left, right = x[:-1], x[1:]
    tiny = 1e-30  # stands for the distance zero; it cancels between neighbours
    distance = np.abs(x[:, None] - x[None, :]) + tiny * np.eye(x.size)
    log_ratio = np.log(distance[:, :-1] / distance[:, 1:])
    width = right - left
    matrix = np.zeros((x.size, x.size))
    matrix[:, :-1] += (right - x[:, None]) * log_ratio / width + 1
    matrix[:, 1:] += (x[:, None] - left) * log_ratio / width - 1
    # at w = b and w = a the factor of the divergent logarithm is exactly one interval: (b - a) / (b - a)
    return matrix


def retarded(spectra: Floats, grid: tuple[float, float, int]) -> Complexes:
    """G = P int A / (w - w') - i pi A, same shape (..., n_omega)."""
    return np.asarray(spectra @ hilbert_matrix(grid).T - 1j * np.pi * spectra)


def bulla_self_energy(interaction: float, g: Complexes, f: Complexes) -> Complexes:
    """U F / G."""
    return np.asarray(interaction * f / g)


def kugler_self_energy(interaction: float, occupation: float, g: Complexes, f: Complexes, i: Complexes) -> Complexes:
    """U <n_-s> + U^2 (I - F^2 / G)."""
    return np.asarray(interaction * occupation + interaction**2 * (i - f**2 / g))


def causal(sigma: Complexes) -> Complexes:
    """The same with Im Sigma <= 0."""
    return np.asarray(sigma.real + 1j * np.minimum(sigma.imag, 0.0))


def spectral_function(
    impurity: AndersonImpurity, spin: int, sigma: Complexes, grid: tuple[float, float, int], omega: Floats
) -> Floats:
    """A_s [1/D] at any omega (n_omega,), from Sigma on log_grid(*grid); spin +1 for up, -1 for dn."""
    points = log_grid(*grid)
    level = impurity.level - spin * impurity.field / 2
    real, imaginary = np.interp(omega, points, sigma.real), np.interp(omega, points, sigma.imag)
    delta = hybridization_function(omega, impurity.hybridization)
    green = 1 / (omega - level - delta - (real + 1j * imaginary))
    return np.asarray(-green.imag / np.pi)
