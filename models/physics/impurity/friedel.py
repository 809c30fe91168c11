"""Friedel's sum rule for a finite band, the check on every low-temperature spectrum.

At T = 0 and per spin, with or without field (Langreth, Phys. Rev. 150, 516 (1966)),

    pi Gamma A_s(0) = sin^2(pi N_s),

where N_s is the charge that the impurity displaces: <n_s> and what it takes from the band. The density of states of
impurity and band together is that of the bare band and (1/pi) Im d/dw ln G_s, so the band's part is the integral of
Im(G_s dDelta/dw) / pi up to w = 0. Turned to the imaginary axis, where dDelta/dz = (2 Gamma / pi) / (1 + y^2) at
z = i y, this is

    N_s = <n_s> + (Gamma / pi) int A_s(w) sign(w) / (1 + |w|) dw.

The second term is zero at particle-hole symmetry and vanishes for a wide band; at Gamma = 0.06 D it moves
pi Gamma A(0) by up to 0.025. It runs over all w: a wide resonance or a Hubbard peak beyond the band edge has part of
its weight outside, in bound states where Sigma is real, and without them the rule is off by 0.2 at Gamma = D.

Of any other bath, pi Gamma(0) A_s(0) = sin^2(pi N_s) with

    N_s = <n_s> + (1/pi) int dw A_s(w) sign(w) int' de Gamma'(e) / (w - e),

where e runs over the sign that w does not have and Gamma' includes the steps, such as the band edges; for the flat band
these alone are left. It asks for a Gamma(0) that is positive and no step.

The rule is one of T = 0: it holds at temperatures far below Gamma and below the larger of T_K and |B|.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.physics.impurity.bath import Bath

__all__ = ["LOWEST_SCALE", "band_integrals", "bath_integrals", "charge_outside", "friedel_residual"]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
LOWEST_SCALE = 30.0  # in units of T: what Gamma and max(T_K, |B|) must exceed; there T itself moves A(0) by under 0.01
POINTS_PER_WIDTH = 20  # of the mesh of integration, per Gamma: no resonance is narrower than Gamma but at w = 0
POINTS_PER_DECADE = 200
MOST_POINTS = 2_000_000  # bounds memory; coarser than that below Gamma = 1e-5 D
MESH_PER_DECADE, MOST_KINKS = 60, 1000  # of the mesh for any bath
EDGE = 1e-9  # the meshes end this far from the band edges, where Delta diverges
OUTERMOST = 30.0  # [D] nothing of a flat band lies beyond


def band_integrals(
    spectrum: Callable[[Floats], Floats], hybridization: float, *, lowest: float, omega: Floats
) -> tuple[float, float]:
    """Spectral weight within the range of omega, at most the band; and what the band adds to N_s - <n_s>.

    spectrum: A_s [1/D] at any ascending frequencies (n,) inside the band. lowest [D]: below it A_s is flat.
    The mesh is logarithmic near w = 0 and has 20 points per Gamma [D] elsewhere; a logarithmic grid has fewer.
    """
    turn = max(min(hybridization, 0.5), 2 * lowest)
    n_log = int(np.ceil(POINTS_PER_DECADE * np.log10(turn / lowest))) + 1
    n_linear = min(int(np.ceil(POINTS_PER_WIDTH / hybridization)) + 2, MOST_POINTS)
    positive = np.concatenate([np.geomspace(lowest, turn, n_log)[:-1], np.linspace(turn, 1 - EDGE, n_linear)])
    mesh = np.concatenate([-positive[::-1], [0.0], positive])
    values = spectrum(mesh)
    charge = hybridization / np.pi * np.trapezoid(values * np.sign(mesh) / (1 + np.abs(mesh)), mesh)
    low, high = max(float(omega[0]), mesh[0]), min(float(omega[-1]), mesh[-1])
    inside = (mesh > low) & (mesh < high)
    ends = np.array([low, high])
    at_ends = np.interp(ends, mesh, values)
    x = np.concatenate([ends[:1], mesh[inside], ends[1:]])
    y = np.concatenate([at_ends[:1], values[inside], at_ends[1:]])
    return float(np.trapezoid(y, x)), float(charge)


def charge_outside(inverse_green: Callable[[Floats], Complexes], hybridization: float) -> float:
    """What states outside of the band add to N_s - <n_s> of Friedel's rule.

    inverse_green: 1 / G_s [D] at any frequencies |w| > 1 (n,), Im >= 0. Taken as linear between the points of a mesh it
    is integrated exactly, also over a bound state: a zero of it where Im vanishes.
    """
    distance = np.geomspace(EDGE, OUTERMOST - 1, int(POINTS_PER_DECADE * np.log10((OUTERMOST - 1) / EDGE)))
    charge = 0.0
    for omega in (1 + distance, -1 - distance[::-1]):
        inverse = inverse_green(omega)
        inverse = inverse.real + 1j * np.maximum(inverse.imag, 0.0)  # no -0.0: its logarithm lies in [0, pi]
        weight = -(np.diff(np.log(inverse)) / np.diff(inverse)).imag / np.pi * np.diff(omega)
        centre = (omega[1:] + omega[:-1]) / 2
        charge += float(np.sum(weight * np.sign(centre) / (1 + np.abs(centre))))
    return hybridization / np.pi * charge


def bath_integrals(
    inverse_green: Callable[[Floats], Complexes], bath: Bath, *, lowest: float, omega: Floats
) -> tuple[float, float]:
    """Spectral weight within the range of omega, at most the support of the bath; and N_s - <n_s> of Friedel's rule.

    inverse_green: 1 / G_s [D] at any frequencies (n,) off the steps of the bath, Im >= 0. Both integrals run over the
    same mesh, on which it is taken as linear: bound states in a gap or beyond the band are counted. N_s is NaN where
    Gamma(0) is zero or a step.
    """
    mesh = integration_mesh(bath, lowest)
    inverse = inverse_green(mesh)
    inverse = inverse.real + 1j * np.maximum(inverse.imag, 0.0)  # no -0.0: its logarithm lies in [0, pi]
    weight = -(np.diff(np.log(inverse)) / np.diff(inverse)).imag / np.pi * np.diff(mesh)
    centre = (mesh[1:] + mesh[:-1]) / 2
    low, high = max(float(omega[0]), bath.support[0]), min(float(omega[-1]), bath.support[1])
    share = np.clip((np.minimum(mesh[1:], high) - np.maximum(mesh[:-1], low)) / np.diff(mesh), 0.0, 1.0)
    charge = float(weight @ bath.slope_integral(centre)) / np.pi if bath.at_fermi_level > 0 else np.nan
    return float(weight @ share), charge


def integration_mesh(bath: Bath, lowest: float) -> Floats:
    """Ascending, with 0 and off the steps: logarithmic at w = 0, at the steps and beyond the band, else linear [D]."""
    first, last = bath.support
    width, scale = last - first, bath.mean
    turn = max(min(scale, 0.5 * bath.reach), 2 * lowest)
    near = np.geomspace(lowest, turn, int(np.ceil(MESH_PER_DECADE * np.log10(turn / lowest))) + 1)
    band = np.linspace(first, last, min(int(np.ceil(POINTS_PER_WIDTH * width / scale)) + 2, MOST_POINTS))
    edges = np.unique(np.concatenate([bath.steps, bath.support]))[:, None]
    beside = np.geomspace(EDGE * width, 0.5 * width, 4 * MESH_PER_DECADE)
    beyond = np.geomspace(EDGE * width, OUTERMOST * max(1.0, bath.reach), 8 * MESH_PER_DECADE)
    kinks = bath.omega if bath.omega.size <= MOST_KINKS else np.empty(0)  # more of them resolve a smooth curve
    points = [-near, np.zeros(1), near, band, kinks, (edges - beside).ravel(), (edges + beside).ravel()]
    return np.setdiff1d(np.concatenate([*points, first - beyond, last + beyond]), bath.steps)


def friedel_residual(
    height: Floats, displaced_charge: Floats, temperatures: Floats, *, hybridization: float, scale: float
) -> Floats:
    """pi Gamma A_s(0) - sin^2(pi N_s), (n_temperatures,); NaN where the temperature is too high for the rule.

    height: pi Gamma A_s(0), (n_temperatures,); scale: max(T_K, |B|) [D], NaN where neither is known.
    """
    residual = np.asarray(height - np.sin(np.pi * displaced_charge) ** 2)
    applies = LOWEST_SCALE * temperatures <= np.fmin(scale, hybridization) if np.isfinite(scale) else False
    return np.where(applies, residual, np.nan)
