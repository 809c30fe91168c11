"""How strongly do latents and known quantities depend on each other?

Four measures for every pair of columns, each with an interval from a bootstrap over clusters (all rows of one
Hamiltonian are drawn together: mirrored and multi-temperature copies are not independent):

    pearson                 linear correlation
    spearman                Pearson correlation of the (mid)ranks; sees any monotone law
    distance_correlation    Szekely, Rizzo and Bakirov, arXiv:0803.4101; 0 only for independence. V-statistic with
                            weights p: dCov^2 = p.(Dx*Dy)p - 2 p.(ax ay) + (p.ax)(p.ay), a = D p
    mutual_information      nats, plug-in on a grid of equally filled bins with the Miller-Madow correction; bins blur,
                            so of a sharp law it is a lower bound (at most log of the number of bins)

Bootstrap copies lift the last two (a copy has distance zero), so their replicates are shifted to the median of the
estimate. A replicate is a vector of row multiplicities: nothing is copied, and ranks of a replicate are cumulated
counts.
Suffixes: N rows, V columns, R replicates.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.laws.groups import cluster_counts

__all__ = [
    "MEASURES",
    "Association",
    "Interval",
    "associations",
    "distance_correlation",
    "mutual_information",
    "spearman",
    "spearman_resampled",
]

MEASURES = ("pearson", "spearman", "distance_correlation", "mutual_information")
Array = NDArray[np.float64]


class Interval(NamedTuple):
    """Estimate with the 95 % interval of its bootstrap."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Association:
    """All measures of one pair of columns."""

    pearson: Interval
    spearman: Interval
    distance_correlation: Interval
    mutual_information: Interval


def associations(
    x_NV: Array, y_NV: Array, groups_N: NDArray[np.int64], *, n_bootstrap: int, seed: int, max_rows_distance: int = 600
) -> list[list[Association]]:
    """Associations [column of x][column of y].

    `groups_N`: cluster of each row. Distance correlation costs N^2 and uses whole clusters drawn at random until
    `max_rows_distance` rows are reached. Raises ValueError for non-finite cells or fewer than three clusters.
    """
    _check(x_NV, y_NV, groups_N)
    rng = np.random.default_rng(seed)
    weights_RN = np.vstack([np.ones(len(groups_N)), cluster_counts(groups_N, n_bootstrap, rng)])
    samples = {
        "pearson": np.array([_cross_correlation(x_NV, y_NV, weight_N) for weight_N in weights_RN]),
        "spearman": _spearman_replicates(x_NV, y_NV, weights_RN),
        "mutual_information": np.empty((0,)),
        "distance_correlation": np.empty((0,)),
    }
    samples["mutual_information"] = np.stack(
        [[mutual_information(x_N, y_N, weights_RN) for y_N in y_NV.T] for x_N in x_NV.T]
    ).transpose(2, 0, 1)
    part_N = _whole_clusters(groups_N, max_rows_distance, rng)
    weights_part_RN = np.vstack([np.ones(part_N.sum()), cluster_counts(groups_N[part_N], n_bootstrap, rng)])
    samples["distance_correlation"] = np.stack(
        [[distance_correlation(x_N, y_N, weights_part_RN) for y_N in y_NV[part_N].T] for x_N in x_NV[part_N].T]
    ).transpose(2, 0, 1)
    return [
        [
            Association(
                **{
                    name: _interval(sample[:, i, j], shift=name in ("distance_correlation", "mutual_information"))
                    for name, sample in samples.items()
                }
            )
            for j in range(y_NV.shape[1])
        ]
        for i in range(x_NV.shape[1])
    ]


def spearman(x_N: Array, y_N: Array, weight_N: Array | None = None) -> float:
    """Spearman's rank correlation; `weight_N` are row multiplicities."""
    weight_N = np.ones(len(x_N)) if weight_N is None else weight_N
    return float(_spearman_replicates(x_N[:, None], y_N[:, None], weight_N[None])[0, 0, 0])


def spearman_resampled(x_N: Array, y_N: Array, weights_RN: Array) -> Array:
    """Spearman's rank correlation (R,) under R vectors of row multiplicities."""
    return _spearman_replicates(x_N[:, None], y_N[:, None], weights_RN)[:, 0, 0]


def distance_correlation(x_N: Array, y_N: Array, weights_RN: Array) -> Array:
    """Distance correlation (R,) of two samples under R vectors of row multiplicities."""
    p_RN = weights_RN / weights_RN.sum(1, keepdims=True)
    distance_x, distance_y = np.abs(x_N[:, None] - x_N), np.abs(y_N[:, None] - y_N)
    row_x_RN, row_y_RN = p_RN @ distance_x, p_RN @ distance_y

    def covariance(product: Array, a_RN: Array, b_RN: Array) -> Array:
        total_a, total_b = (p_RN * a_RN).sum(1), (p_RN * b_RN).sum(1)
        return np.asarray(((p_RN @ product) * p_RN).sum(1) - 2 * (p_RN * a_RN * b_RN).sum(1) + total_a * total_b)

    cross = covariance(distance_x * distance_y, row_x_RN, row_y_RN)
    variances = covariance(distance_x**2, row_x_RN, row_x_RN) * covariance(distance_y**2, row_y_RN, row_y_RN)
    tiny = np.finfo(float).tiny
    return np.sqrt(np.clip(cross, 0, None) / np.sqrt(np.maximum(variances, tiny)))


def mutual_information(x_N: Array, y_N: Array, weights_RN: Array) -> Array:
    """Mutual information [nats] (R,) on equally filled bins, about N^(1/3) but at most 24 a side."""
    n_bins = int(np.clip(round(len(x_N) ** (1 / 3)), 2, 24))
    cell_N = _bins(x_N, n_bins) * n_bins + _bins(y_N, n_bins)
    counts = np.array([np.bincount(cell_N, weights=weight_N, minlength=n_bins**2) for weight_N in weights_RN])
    counts = counts.reshape(len(weights_RN), n_bins, n_bins)
    return _entropy(counts.sum(2)) + _entropy(counts.sum(1)) - _entropy(counts.reshape(len(counts), -1))


def _spearman_replicates(x_NV: Array, y_NV: Array, weights_RN: Array) -> Array:
    inverse_x = [np.unique(x_N, return_inverse=True)[1] for x_N in x_NV.T]
    inverse_y = [np.unique(y_N, return_inverse=True)[1] for y_N in y_NV.T]
    result = np.empty((len(weights_RN), len(inverse_x), len(inverse_y)))
    for replicate, weight_N in enumerate(weights_RN):
        ranks_x = np.stack([_midranks(inverse, weight_N) for inverse in inverse_x], axis=1)
        ranks_y = np.stack([_midranks(inverse, weight_N) for inverse in inverse_y], axis=1)
        result[replicate] = _cross_correlation(ranks_x, ranks_y, weight_N)
    return result


def _midranks(inverse_N: NDArray[np.int64], weight_N: Array) -> Array:
    count = np.bincount(inverse_N, weights=weight_N)
    rank: Array = (np.cumsum(count) - (count - 1) / 2)[inverse_N]
    return rank


def _cross_correlation(x_NV: Array, y_NV: Array, weight_N: Array) -> Array:
    p_N1 = (weight_N / weight_N.sum())[:, None]
    x_NV, y_NV = x_NV - (p_N1 * x_NV).sum(0), y_NV - (p_N1 * y_NV).sum(0)
    scale = np.sqrt(np.outer((p_N1 * x_NV**2).sum(0), (p_N1 * y_NV**2).sum(0)))
    correlation: Array = np.divide((p_N1 * x_NV).T @ y_NV, scale, out=np.zeros_like(scale), where=scale > 0)
    return correlation


def _bins(x_N: Array, n_bins: int) -> NDArray[np.int64]:
    edges = np.quantile(x_N, np.linspace(0, 1, n_bins + 1)[1:-1])
    return np.searchsorted(edges, x_N, side="right")


def _entropy(counts_RK: Array) -> Array:
    """Entropy [nats] of each row of counts, with the Miller-Madow correction (occupied - 1) / 2N."""
    total = counts_RK.sum(1, keepdims=True)
    p = counts_RK / total
    plug_in = -np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0).sum(1)
    corrected: Array = plug_in + ((counts_RK > 0).sum(1) - 1) / (2 * total[:, 0])
    return corrected


def _interval(sample_R: Array, *, shift: bool) -> Interval:
    value, replicates = float(sample_R[0]), sample_R[1:]
    if len(replicates) == 0:
        return Interval(value, value, value)
    low, high = np.quantile(replicates, [0.025, 0.975]) + (value - np.median(replicates) if shift else 0.0)
    return Interval(value, float(min(low, value)), float(max(high, value)))


def _whole_clusters(groups_N: NDArray[np.int64], max_rows: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    names, cluster_N, sizes = np.unique(groups_N, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    taken = np.zeros(len(names), dtype=bool)
    taken[order[: max(3, int(np.searchsorted(np.cumsum(sizes[order]), max_rows, side="right")))]] = True
    part: NDArray[np.bool_] = taken[cluster_N]
    return part


def _check(x_NV: Array, y_NV: Array, groups_N: NDArray[np.int64]) -> None:
    problems = []
    for name, columns in (("x", x_NV), ("y", y_NV)):
        if columns.ndim != 2 or len(columns) != len(groups_N):
            problems.append(f"{name}: found shape {columns.shape}, expected ({len(groups_N)}, columns)")
        elif not np.isfinite(columns).all():
            problems.append(f"{name}: {int((~np.isfinite(columns)).sum())} cells are not finite; leave those rows out")
    if len(np.unique(groups_N)) < 3:
        problems.append(f"groups: found {len(np.unique(groups_N))} clusters, expected at least 3")
    if problems:
        raise ValueError("associations: " + "; ".join(problems))
