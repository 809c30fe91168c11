"""Does a model know where it errs? An estimate u of its own uncertainty against the error e that it made.

    rank correlation   Spearman of u and |e|, with the interval of a bootstrap over groups
    risk-coverage      mean |e| of the fraction c that the model trusts most; the area under it is the mean over c.
                       The order by |e| itself, the oracle, has the smallest area, a random order the mean error:

                           relative excess = (area - oracle) / (random - oracle)        0 as good as known, 1 no help

    calibration        after one scale a fitted on other data, sd = a u: the fraction of errors within the central
                       interval of probability p of a normal distribution, expected p. a^2 = mean (e / u)^2 is the scale
                       of largest likelihood.

    AUROC              probability that a row which should be distrusted has a larger estimate than one which should not

Frames of one trajectory err alike, so groups are drawn whole. Suffixes: N rows, P probabilities, R replicates.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from models.laws.correlation import Interval, spearman
from models.laws.groups import cluster_counts

__all__ = [
    "PROBABILITIES",
    "Calibration",
    "RiskCoverage",
    "auroc",
    "calibration",
    "calibration_scale",
    "rank_correlation",
    "risk_coverage",
]

Array = NDArray[np.float64]
PROBABILITIES = tuple(np.round(np.arange(0.05, 0.96, 0.05), 2).tolist())


@dataclass(frozen=True, kw_only=True)
class RiskCoverage:
    """`risk_N[k]` is the mean error of the k + 1 rows with the smallest estimates."""

    coverage_N: Array
    risk_N: Array
    area: float
    oracle_area: float
    random_area: float

    @property
    def excess(self) -> float:
        """Area beyond the oracle's, in units of the error."""
        return self.area - self.oracle_area

    @property
    def relative_excess(self) -> float:
        """0 for the oracle, 1 for a random order, above 1 for a misleading one; 0 where all errors are equal."""
        room = self.random_area - self.oracle_area
        return self.excess / room if room > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class Calibration:
    expected_P: Array
    observed_P: Array

    @property
    def miscalibration(self) -> float:
        """Mean |observed - expected|: 0 for a calibrated estimate, at most 1/2."""
        return float(np.abs(self.observed_P - self.expected_P).mean())


def rank_correlation(
    estimate_N: Array, error_N: Array, groups_N: NDArray[np.int64], *, n_bootstrap: int, seed: int
) -> Interval:
    """Spearman of estimate and |error| with its 95 % interval. Raises ValueError as described in `_check`."""
    _check(estimate_N, error_N)
    size_N = np.abs(error_N)
    counts_RN = cluster_counts(groups_N, n_bootstrap, np.random.default_rng(seed))
    value = spearman(estimate_N, size_N)
    if not len(counts_RN):
        return Interval(value, value, value)
    drawn = [spearman(estimate_N, size_N, weight_N) for weight_N in counts_RN]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value, float(min(low, value)), float(max(high, value)))


def risk_coverage(estimate_N: Array, error_N: Array) -> RiskCoverage:
    """The curve of |error|; rows of equal estimate share their mean error, as any order of them would on average."""
    _check(estimate_N, error_N)
    size_N = np.abs(error_N)
    risk_N, oracle_N = _risk(estimate_N, size_N), _risk(size_N, size_N)
    n = len(size_N)
    return RiskCoverage(
        coverage_N=np.arange(1, n + 1) / n,
        risk_N=risk_N,
        area=float(risk_N.mean()),
        oracle_area=float(oracle_N.mean()),
        random_area=float(size_N.mean()),
    )


def calibration_scale(estimate_N: Array, error_N: Array) -> float:
    """The factor a that makes a u a standard deviation; fit it on data that nothing else is evaluated on.

    Rows with estimate 0 and error 0 say nothing and are left out. Raises ValueError where an estimate of 0 meets an
    error, for which no factor is large enough.
    """
    _check(estimate_N, error_N)
    positive = estimate_N > 0
    if np.any(error_N[~positive] != 0):
        raise ValueError(
            f"calibration: found {int((~positive).sum())} estimates of 0 beside errors, expected all above 0; "
            "an ensemble of one has no spread"
        )
    return float(np.sqrt(np.mean((error_N[positive] / estimate_N[positive]) ** 2))) if positive.any() else 1.0


def calibration(sd_N: Array, error_N: Array, probabilities: tuple[float, ...] = PROBABILITIES) -> Calibration:
    """Fraction of errors within the central interval of each probability, for errors of standard deviation `sd_N`."""
    _check(sd_N, error_N)
    z_P = np.array([NormalDist().inv_cdf((1 + p) / 2) for p in probabilities])
    observed = (np.abs(error_N) <= z_P[:, None] * sd_N).mean(axis=1)
    return Calibration(expected_P=np.array(probabilities), observed_P=observed)


def auroc(familiar_N: Array, strange_N: Array) -> float:
    """P(u of a strange row > u of a familiar one), ties counting half: 1 for never mistaken, 1/2 for blind."""
    _check(familiar_N, familiar_N)
    _check(strange_N, strange_N)
    familiar = np.sort(familiar_N)
    below = np.searchsorted(familiar, strange_N, side="left") + np.searchsorted(familiar, strange_N, side="right")
    return float(below.mean() / (2 * len(familiar)))


def _risk(estimate_N: Array, size_N: Array) -> Array:
    _, tie_N, count = np.unique(estimate_N, return_inverse=True, return_counts=True)
    mean = np.bincount(tie_N, weights=size_N) / count
    in_order = np.repeat(mean, count)
    return np.asarray(np.cumsum(in_order) / np.arange(1, len(size_N) + 1), dtype=np.float64)


def _check(estimate_N: Array, error_N: Array) -> None:
    """Estimates are one number a row, at least one row, finite and not negative; errors are finite."""
    problems = []
    if estimate_N.ndim != 1 or estimate_N.shape != error_N.shape or not len(estimate_N):
        problems.append(f"found shapes {estimate_N.shape} and {error_N.shape}, expected two equal ones (n_rows,)")
    elif not (np.isfinite(estimate_N).all() and np.isfinite(error_N).all()):
        problems.append("found numbers that are not finite; leave those rows out")
    elif estimate_N.min() < 0:
        problems.append(f"found an estimate of {estimate_N.min():.3g}, expected 0 or more")
    if problems:
        raise ValueError("uncertainty: " + "; ".join(problems))
