"""Spectra through the self-energy, which cancels most of the discretisation and broadening error.

With q_s = [d_s, H_U] / U = d_s n_-s and the correlators G = <<d; d+>>, F = <<q; d+>>, I = <<q; q+>> of one and the same
NRG run, broadened alike,

    Bulla, Hewson, Pruschke, J. Phys.: Condens. Matter 10, 8365 (1998):  Sigma = U F / G
    Kugler, Phys. Rev. B 105, 245132 (2022):                             Sigma = U <n_-s> + U^2 (I - F^2 / G)

and then, with the hybridization function of the continuous bath, G(w) = 1 / (w - eps_d + s B/2 - Delta(w) - Sigma(w)).

The second rests on the equation of motion twice, and truncation breaks it: off particle-hole symmetry its static part
is off by as much as the first moment of A, some 0.002 D; on the imaginary axis as well, so no broadening is at fault.
Beside a small Gamma this breaks Friedel's rule by up to 0.2, and more kept states mend it slowly. U F / G rests on the
equation of motion once; its real part is right, and it is the default. Its weak sides are Im Sigma at w = T = 0, some
0.003 Gamma instead of zero, and a tail U^2 <n>(1 - <n>) / w too large by exp(alpha^2 / 2); the second form has both
right. Re of the one with Im of the other would keep Friedel's rule best, but breaks the sum rule of A by up to 0.08.
`benchmarks/self_energy.md` has the figures. What is left of a positive Im Sigma is cut to zero, and its largest value
in units of Gamma is told: at resonance pi Gamma A = Gamma / (Gamma - Im Sigma), so cutting c Gamma moves it from
1 / (1 - c) to 1, and elsewhere by less.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from models.physics.impurity.bath import Bath
from models.physics.impurity.broadening import log_grid
from models.physics.impurity.hamiltonian import AndersonImpurity

__all__ = [
    "bulla_self_energy",
    "causal",
    "clipped_share",
    "hilbert_matrix",
    "inverse_green_function",
    "kugler_self_energy",
    "retarded",
    "spectral_function",
]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]


@cache
def hilbert_matrix(grid: tuple[float, float, int]) -> Floats:
    """H with Re G = H A on log_grid(*grid): P int A(w') / (w - w') dw' for A linear between the points, 0 beyond.

    Over one interval [a, b], with L = ln|(w - a) / (w - b)|, the weight of A(a) is (b - w) L / (b - a) + 1 and that of
    A(b) is (w - a) L / (b - a) - 1; the logarithms at w = a and w = b cancel between neighbouring intervals. A is
    taken for zero at the two ends of the grid.
    """
    x = log_grid(*grid)
    left, right = x[:-1], x[1:]
    width = right - left
    beyond = x[:, None] - right  # w - b
    at_end = (beyond == 0) | (x[:, None] == left)
    # With y = (b - a) / (w - b), L = ln(1 + y), which keeps its digits where the interval is narrow and far away.
    y = width / np.where(at_end, 1.0, beyond)
    log_ratio = np.log1p(np.where(y > -1, y, -2 - y))  # |1 + y|
    low = np.where(np.abs(y) < 1e-5, y / 2 - y**2 / 3, 1 - log_ratio / y)
    high = log_ratio - low
    # At w = b the weights are 1 and L - 1, at w = a 1 + L and -1: of the infinities of neighbours a ratio is left.
    low, high = np.where(at_end, 0.0, low), np.where(at_end, 0.0, high)
    matrix = np.zeros((x.size, x.size))
    matrix[:, :-1] += low
    matrix[:, 1:] += high
    index = np.arange(x.size - 1)
    matrix[index + 1, index] += 1.0  # w = b of the interval, A(a)
    matrix[index, index + 1] -= 1.0  # w = a, A(b)
    inner = np.arange(1, x.size - 1)
    matrix[inner, inner] += np.log(width[:-1] / width[1:])
    return matrix


def retarded(spectra: Floats, grid: tuple[float, float, int]) -> Complexes:
    """G = P int A / (w - w') - i pi A, same shape (..., n_omega)."""
    return np.asarray(spectra @ hilbert_matrix(grid).T - 1j * np.pi * spectra)


def bulla_self_energy(interaction: float, g: Complexes, f: Complexes) -> Complexes:
    """U F / G."""
    return np.asarray(interaction * f / g)


def kugler_self_energy(interaction: float, occupation: Floats, g: Complexes, f: Complexes, i: Complexes) -> Complexes:
    """U <n_-s> + U^2 (I - F^2 / G)."""
    return np.asarray(interaction * occupation + interaction**2 * (i - f**2 / g))


def causal(sigma: Complexes) -> Complexes:
    """The same with Im Sigma <= 0."""
    return np.asarray(sigma.real + 1j * np.minimum(sigma.imag, 0.0))


def clipped_share(omega: Floats, imaginary: Floats, hybridization: float, bath: Bath | None = None) -> float:
    """Largest of what `causal` cuts off inside the band, in units of Gamma; both arrays (n_omega,) [D].

    The band is |omega| < 1, or where the bath has weight.
    """
    inside = np.abs(omega) < 1 if bath is None else bath(omega) > 0
    return float(np.max(imaginary[inside], initial=0.0)) / hybridization


def spectral_function(
    impurity: AndersonImpurity, spin: int, sigma: Complexes, grid: tuple[float, float, int], omega: Floats
) -> Floats:
    """A_s [1/D] at any omega (n_omega,), from Sigma on log_grid(*grid); spin +1 for up, -1 for dn."""
    return np.asarray(-(1 / inverse_green_function(impurity, spin, sigma, grid, omega)).imag / np.pi)


def inverse_green_function(
    impurity: AndersonImpurity, spin: int, sigma: Complexes, grid: tuple[float, float, int], omega: Floats
) -> Complexes:
    """omega - eps_d + s B/2 - Delta - Sigma [D] at any omega (n_omega,), for the arguments of `spectral_function`."""
    points = log_grid(*grid)
    level = impurity.level - spin * impurity.field / 2
    real, imaginary = np.interp(omega, points, sigma.real), np.interp(omega, points, sigma.imag)
    return np.asarray(omega - level - impurity.delta(omega, spin) - (real + 1j * imaginary))
