"""From a latent that follows some energy to that energy, by dimensional analysis alone.

A latent z is known up to a monotone map. Say it is a function of one energy E of the system, z = h(E), and E depends on
energies p_1 .. p_n. By dimensional analysis E = p_1 F(p_2/p_1, ..., p_n/p_1), so with some map s = log h^-1

    s(z) = log p_1 + log F(p_2/p_1, ..., p_n/p_1)

in which the coefficient of log p_1 is one: the units calibrate the latent. s is expanded in cubic B-splines, log F in
products of the ratios. The pair whose two sides correlate most is the first canonical pair (Hotelling 1936; with free
functions, Breiman and Friedman, J. Am. Stat. Assoc. 80, 580): s is divided by the coefficient of log p_1 on the other
side. Scatter of z is then scatter of the left side, which biases no coefficient of the right one; a fit of log p_1 to
s(z) - log F would shrink s. No formula for E enters. What comes out, y = s(z) - log p_1, is log(E / p_1) up to a
constant: a target for symbolic regression that knows nothing of the law, with the scale of its coefficients fixed.

A latent that follows no energy has no such pair. `explained` tells: of the variance of s(z) that the ratios leave, the
share that log p_1 explains, out of fold; near 0 for a latent of an untrained network, or one of ratios alone.

Suffixes: N rows, G dimensionless ratios.
"""

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from models.laws.groups import group_folds

__all__ = ["CalibratedScale", "NoScale", "calibrated_scale"]

Array = NDArray[np.float64]
SPLINE_DEGREE = 3
RANK = 1e-9  # of the splines: their sum is the constant


class NoScale(ValueError):
    """Too few rows, or the latent follows no energy."""


@dataclass(frozen=True, kw_only=True)
class CalibratedScale:
    """`log_ratio` (N,): log(E / unit), mean free; `explained` and `monotone`: does the latent follow an energy?"""

    log_ratio: Array
    explained: float  # share of what the ratios leave of s(z) that log(unit) explains, out of fold
    monotone: float  # share of steps of s in its main direction


def calibrated_scale(
    z_N: Array,
    log_unit_N: Array,
    ratios_NG: Array,
    *,
    n_spline: int,
    degree: int,
    n_folds: int,
    seed: int,
) -> CalibratedScale:
    """`log_unit_N`: log of the energy that serves as unit; `ratios_NG`: the others over it (or of one another).

    `n_spline` functions of z, polynomials of the ratios up to total `degree`. Raises NoScale for fewer than four rows
    per coefficient, or a unit that does not vary.
    """
    splines_NK, products_NK = _splines(z_N, n_spline), _products(ratios_NG, degree)
    n, n_terms = len(z_N), n_spline + products_NK.shape[1] + 1
    if n < 4 * n_terms:
        raise NoScale(f"energy scale: found {n} rows for {n_terms} coefficients, expected at least {4 * n_terms}")
    if np.ptp(log_unit_N) == 0:
        raise NoScale("energy scale: the unit is the same in all rows, expected it to vary")
    right_NK = np.column_stack([log_unit_N, products_NK])
    fold_N = group_folds(np.arange(n), n_folds, seed)
    with_unit, without = 0.0, 0.0
    for fold in range(n_folds):
        held = fold_N == fold
        s_N = (splines_NK @ _canonical(splines_NK[~held], right_NK[~held])).astype(np.float64)
        with_unit += _squared_error(right_NK, s_N, held)
        without += _squared_error(products_NK, s_N, held)
    s_N = splines_NK @ _canonical(splines_NK, right_NK)
    of_unit = _coefficients(right_NK, s_N)[0]
    log_ratio_N = s_N / of_unit - log_unit_N
    steps = np.diff(s_N[np.argsort(z_N)])
    return CalibratedScale(
        log_ratio=log_ratio_N - log_ratio_N.mean(),
        explained=float(1 - with_unit / without),
        monotone=float(max(np.mean(steps > 0), np.mean(steps < 0))),
    )


def _canonical(left_NK: Array, right_NK: Array) -> Array:
    """Coefficients of the left columns in the pair of combinations that correlate most; left holds the constant."""
    centred = left_NK - left_NK.mean(0)
    u, singular, vt = np.linalg.svd(centred, full_matrices=False)
    kept = singular > RANK * singular[0]
    basis_NK = u[:, kept]
    q_NK, _ = np.linalg.qr(right_NK - right_NK.mean(0))
    first_K = np.linalg.svd(basis_NK.T @ q_NK)[0][:, 0]
    return np.asarray(vt[kept].T @ (first_K / singular[kept]))


def _coefficients(right_NK: Array, s_N: Array) -> Array:
    """Least squares of s on the columns and a constant, which comes last."""
    return np.asarray(np.linalg.lstsq(np.column_stack([right_NK, np.ones(len(s_N))]), s_N, rcond=None)[0])


def _squared_error(right_NK: Array, s_N: Array, held: NDArray[np.bool_]) -> float:
    """Of s on the held rows, relative to its variance on the others, where it was fitted."""
    coefficients = _coefficients(right_NK[~held], s_N[~held])
    residual = s_N[held] - right_NK[held] @ coefficients[:-1] - coefficients[-1]
    return float(np.sum(residual**2) / np.var(s_N[~held]))


def _splines(z_N: Array, n_spline: int) -> Array:
    """(N, n_spline) cubic B-splines between the ends of z, knots at its quantiles."""
    low, high = z_N.min(), z_N.max()
    inner = np.quantile(z_N, np.linspace(0, 1, n_spline - SPLINE_DEGREE + 1)[1:-1])
    knots = np.concatenate([[low] * (SPLINE_DEGREE + 1), inner, [high] * (SPLINE_DEGREE + 1)])
    return np.asarray(BSpline.design_matrix(np.clip(z_N, low, high), knots, SPLINE_DEGREE).toarray())


def _products(ratios_NG: Array, degree: int) -> Array:
    """Products of the standardised ratios up to the degree, without the constant."""
    scaled_NG = (ratios_NG - ratios_NG.mean(0)) / ratios_NG.std(0)
    return np.column_stack(
        [
            scaled_NG[:, list(columns)].prod(1)
            for order in range(1, degree + 1)
            for columns in combinations_with_replacement(range(ratios_NG.shape[1]), order)
        ]
    )
