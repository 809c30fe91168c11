"""From a latent that follows some energy to that energy, by dimensional analysis alone.

A latent z is known up to a monotone map. Say it is a function of one energy E of the system, z = h(E), and E depends on
energies p_1 .. p_n. By dimensional analysis E = p_1 F(p_2/p_1, ..., p_n/p_1), so with some map s = log h^-1

    s(z) - log p_1 = log F(p_2/p_1, ..., p_n/p_1)

in which the coefficient of log p_1 is one: the units calibrate the latent. Both s and log F are expanded in smooth
functions (cubic B-splines of z; products of polynomials of the ratios) and found by one linear least squares fit of
log p_1 to s(z) - log F. No formula for E enters. What comes out, y = s(z) - log p_1, is log(E / p_1) up to a constant:
a target for symbolic regression that knows nothing of the law, with the scale of its coefficients fixed.

The fit must not be trusted where it cannot be checked: `scatter` is the out-of-fold rms of s(z) - log F - log p_1, and
a latent that follows no energy (of an untrained network, say) shows a scatter as large as that of log p_1 itself.

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
RIDGE = 1e-9  # of the normal equations, in units of their mean diagonal: only against exact collinearity


class NoScale(ValueError):
    """Too few rows, or the latent follows no energy."""


@dataclass(frozen=True, kw_only=True)
class CalibratedScale:
    """`log_ratio` (N,): log(E / unit), mean free; `scatter`, out of fold, beside the spread of log(unit) itself."""

    log_ratio: Array
    scatter: float
    spread: float
    monotone: float  # share of steps of s in its main direction

    @property
    def explained(self) -> float:
        """1 - scatter^2 / spread^2, out of fold."""
        return 1.0 - self.scatter**2 / self.spread**2


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
    terms_NK = _design(z_N, ratios_NG, n_spline, degree)
    n, n_terms = terms_NK.shape
    if n < 4 * n_terms:
        raise NoScale(f"energy scale: found {n} rows for {n_terms} coefficients, expected at least {4 * n_terms}")
    spread = float(np.std(log_unit_N))
    if spread == 0:
        raise NoScale("energy scale: the unit is the same in all rows, expected it to vary")
    fold_N = group_folds(np.arange(n), n_folds, seed)
    residual_N = np.empty(n)
    for fold in range(n_folds):
        held = fold_N == fold
        residual_N[held] = log_unit_N[held] - terms_NK[held] @ _solve(terms_NK[~held], log_unit_N[~held])
    coefficients_K = _solve(terms_NK, log_unit_N)
    s_N = terms_NK[:, :n_spline] @ coefficients_K[:n_spline]
    steps = np.diff(s_N[np.argsort(z_N)])
    log_ratio_N = s_N - log_unit_N
    return CalibratedScale(
        log_ratio=log_ratio_N - log_ratio_N.mean(),
        scatter=float(np.sqrt(np.mean(residual_N**2))),
        spread=spread,
        monotone=float(max(np.mean(steps > 0), np.mean(steps < 0))),
    )


def _design(z_N: Array, ratios_NG: Array, n_spline: int, degree: int) -> Array:
    """Columns: splines of z (which hold the constant), then products of the standardised ratios without one."""
    low, high = z_N.min(), z_N.max()
    inner = np.quantile(z_N, np.linspace(0, 1, n_spline - SPLINE_DEGREE + 1)[1:-1])
    knots = np.concatenate([[low] * (SPLINE_DEGREE + 1), inner, [high] * (SPLINE_DEGREE + 1)])
    splines_NK = BSpline.design_matrix(np.clip(z_N, low, high), knots, SPLINE_DEGREE).toarray()
    scaled_NG = (ratios_NG - ratios_NG.mean(0)) / ratios_NG.std(0)
    products = [
        scaled_NG[:, list(columns)].prod(1)
        for order in range(1, degree + 1)
        for columns in combinations_with_replacement(range(ratios_NG.shape[1]), order)
    ]
    return np.column_stack([splines_NK, *products])


def _solve(terms_NK: Array, y_N: Array) -> Array:
    normal = terms_NK.T @ terms_NK
    normal += RIDGE * np.trace(normal) / len(normal) * np.eye(len(normal))
    return np.asarray(np.linalg.solve(normal, terms_NK.T @ y_N))
