"""How well does a map give back the parameters that its points were made with?

    linear_r2, knn_r2     R2 of each parameter from the coordinates, out of fold: linear regression, and the mean of the
                          nearest neighbours. Folds go by group (parameter point), so no row is predicted
                          from its own group.
                          R2 = 1 - SSE / SST, both summed over the columns of a parameter (an angle has two)
    trustworthiness       of the map's neighbourhoods against those of the parameters (Venna and Kaski 2001)
    spearman_distances    rank correlation of pair distances in the map and in the parameters
    same_group_recall     share of rows whose nearest neighbour in the map is of the same group (1 of N by chance)

Parameters are compared in units of their standard deviation. Intervals are 95 %: for R2 and recall a bootstrap over
groups, pooled over the seeds of the folds; for the two measures of pairs a jackknife that leaves out one fold of
groups at a time, averaged over the seeds.
Suffixes: N rows, D coordinates, C columns of a parameter, R replicates.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from scipy.stats import rankdata
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsRegressor, NearestNeighbors

from models.laws.correlation import Interval
from models.laws.groups import cluster_counts, group_folds, whole_groups

__all__ = [
    "Recovery",
    "RecoveryRules",
    "linear_recovery",
    "linear_replicates",
    "r_squared",
    "recovery",
    "replicate_counts",
    "standardised",
]

Array = NDArray[np.float64]
Groups = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class RecoveryRules:
    """`seeds`: one assignment of groups to folds each. Measures of pairs use at most `max_rows_pairs` rows."""

    seeds: tuple[int, ...]
    n_folds: int
    n_neighbours: int
    n_bootstrap: int
    max_rows_pairs: int = 1000


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """R2 by parameter name, `mean` among them."""

    linear_r2: Mapping[str, Interval]
    knn_r2: Mapping[str, Interval]
    trustworthiness: Interval
    spearman_distances: Interval
    same_group_recall: Interval


def recovery(
    coordinates_ND: Array, parameters: Mapping[str, Array], groups_N: Groups, rules: RecoveryRules
) -> Recovery:
    """All measures of one map; `parameters` maps names to columns (N, C).

    Raises ValueError for cells that are not finite, a parameter that does not vary or fewer groups than folds.
    """
    check(coordinates_ND, parameters)
    scaled, counts = standardised(parameters), replicate_counts(groups_N, rules)
    together_NC = np.column_stack(list(scaled.values()))
    return Recovery(
        linear_r2=_cross_validated(_linear, coordinates_ND, scaled, groups_N, counts, rules),
        knn_r2=_cross_validated(_nearest(rules.n_neighbours), coordinates_ND, scaled, groups_N, counts, rules),
        trustworthiness=_jackknife(_trust(rules.n_neighbours), coordinates_ND, together_NC, groups_N, rules),
        spearman_distances=_jackknife(_distance_ranks, coordinates_ND, together_NC, groups_N, rules),
        same_group_recall=_same_group_recall(coordinates_ND, groups_N, counts),
    )


def linear_recovery(
    coordinates_ND: Array, parameters: Mapping[str, Array], groups_N: Groups, rules: RecoveryRules
) -> dict[str, Interval]:
    """Linear R2 alone, as in `recovery`."""
    replicates = linear_replicates(coordinates_ND, parameters, groups_N, rules)
    return {name: _interval(values) for name, values in replicates.items()}


def linear_replicates(
    coordinates_ND: Array, parameters: Mapping[str, Array], groups_N: Groups, rules: RecoveryRules
) -> dict[str, Array]:
    """What the intervals of linear R2 are made of, by parameter name and for `mean`: (n_seeds, 1 + n_bootstrap).

    The first column is of all rows, the others of draws of groups that depend on `groups_N` and `rules` alone.
    """
    check(coordinates_ND, parameters)
    counts = replicate_counts(groups_N, rules)
    return _replicates(_linear, coordinates_ND, standardised(parameters), groups_N, counts, rules)


def standardised(parameters: Mapping[str, Array]) -> dict[str, Array]:
    """Columns in units of their standard deviation, from their mean."""
    return {name: (y - y.mean(0)) / y.std(0) for name, y in parameters.items()}


def replicate_counts(groups_N: Groups, rules: RecoveryRules) -> Array:
    """Row multiplicities (1 + R, N), the first all ones."""
    drawn = cluster_counts(groups_N, rules.n_bootstrap, np.random.default_rng(rules.seeds[0]))
    return np.vstack([np.ones(len(groups_N)), drawn])


def check(coordinates_ND: Array, parameters: Mapping[str, Array]) -> None:
    problems = []
    for name, columns in {"coordinates": coordinates_ND, **parameters}.items():
        if columns.ndim != 2 or len(columns) != len(coordinates_ND):
            problems.append(f"{name}: found shape {columns.shape}, expected ({len(coordinates_ND)}, columns)")
        elif not np.isfinite(columns).all():
            problems.append(f"{name}: {int((~np.isfinite(columns)).any(1).sum())} rows are not finite; leave them out")
        elif name in parameters and not (np.ptp(columns, axis=0) > 0).all():
            problems.append(f"{name}: found the same value in all rows, expected a parameter that varies")
    if problems:
        raise ValueError("recovery: " + "; ".join(problems))


Predictor = Callable[[Array, Array, Array], Array]


def _cross_validated(
    predict: Predictor,
    x_ND: Array,
    parameters: Mapping[str, Array],
    groups_N: Groups,
    counts_RN: Array,
    rules: RecoveryRules,
) -> dict[str, Interval]:
    samples = _replicates(predict, x_ND, parameters, groups_N, counts_RN, rules)
    return {name: _interval(values) for name, values in samples.items()}


def _replicates(
    predict: Predictor,
    x_ND: Array,
    parameters: Mapping[str, Array],
    groups_N: Groups,
    counts_RN: Array,
    rules: RecoveryRules,
) -> dict[str, Array]:
    replicates: dict[str, list[Array]] = {name: [] for name in parameters}
    for seed in rules.seeds:
        fold_N = group_folds(groups_N, rules.n_folds, seed)
        for name, y_NC in parameters.items():
            predicted_NC = np.empty_like(y_NC)
            for fold in range(rules.n_folds):
                held = fold_N == fold
                predicted_NC[held] = predict(x_ND[~held], y_NC[~held], x_ND[held])
            replicates[name].append(r_squared(y_NC, predicted_NC, counts_RN))
    samples = {name: np.array(values) for name, values in replicates.items()}  # (n_seeds, 1 + n_bootstrap)
    return {"mean": np.asarray(np.mean(list(samples.values()), axis=0)), **samples}


def _linear(x: Array, y: Array, new: Array) -> Array:
    centre, middle = x.mean(0), y.mean(0)
    return np.asarray((new - centre) @ np.linalg.lstsq(x - centre, y - middle, rcond=None)[0] + middle)


def _nearest(n_neighbours: int) -> Predictor:
    def predict(x: Array, y: Array, new: Array) -> Array:
        scale = np.maximum(x.std(0).max(), np.finfo(float).tiny)  # one scale for all: the map's own distances count
        model = KNeighborsRegressor(min(n_neighbours, len(x)), weights="distance")
        return np.asarray(model.fit(x / scale, y).predict(new / scale), dtype=np.float64)

    return predict


def r_squared(y_NC: Array, predicted_NC: Array, counts_RN: Array) -> Array:
    """R2 (R,) under row multiplicities, each replicate with its own mean."""
    p_RN = counts_RN / counts_RN.sum(1, keepdims=True)
    error_R = p_RN @ ((y_NC - predicted_NC) ** 2).sum(1)
    total_R = p_RN @ (y_NC**2).sum(1) - ((p_RN @ y_NC) ** 2).sum(1)
    return np.asarray(1 - error_R / np.maximum(total_R, np.finfo(float).tiny))


def _interval(samples: Array) -> Interval:
    """Mean over seeds of the first column; quantiles of all replicates of all seeds."""
    value = float(samples[:, 0].mean())
    low, high = np.quantile(samples[:, 1:] if samples.shape[1] > 1 else samples, [0.025, 0.975])
    return Interval(value, float(min(low, value)), float(max(high, value)))


PairMeasure = Callable[[Array, Array], float]


def _trust(n_neighbours: int) -> PairMeasure:
    def measure(x_ND: Array, y_NC: Array) -> float:
        return float(trustworthiness(y_NC, x_ND, n_neighbors=min(n_neighbours, (len(x_ND) - 1) // 2)))

    return measure


def _distance_ranks(x_ND: Array, y_NC: Array) -> float:
    return float(np.corrcoef(rankdata(pdist(x_ND)), rankdata(pdist(y_NC)))[0, 1])


def _jackknife(measure: PairMeasure, x_ND: Array, y_NC: Array, groups_N: Groups, rules: RecoveryRules) -> Interval:
    rows = whole_groups(groups_N, rules.max_rows_pairs, rules.seeds[0])
    x_ND, y_NC, groups_N = x_ND[rows], y_NC[rows], groups_N[rows]
    value = measure(x_ND, y_NC)
    variances = []
    for seed in rules.seeds:
        fold_N = group_folds(groups_N, rules.n_folds, seed)
        without = np.array([measure(x_ND[fold_N != f], y_NC[fold_N != f]) for f in range(rules.n_folds)])
        variances.append((rules.n_folds - 1) * without.var())
    margin = 1.96 * float(np.sqrt(np.mean(variances)))
    return Interval(value, max(value - margin, -1.0), min(value + margin, 1.0))


def _same_group_recall(x_ND: Array, groups_N: Groups, counts_RN: Array) -> Interval:
    """Rows alone in their group are left out; NaN where all are."""
    _, cluster_N, sizes = np.unique(groups_N, return_inverse=True, return_counts=True)
    paired = sizes[cluster_N] > 1
    if not paired.any():
        return Interval(float("nan"), float("nan"), float("nan"))
    nearest = NearestNeighbors(n_neighbors=1).fit(x_ND).kneighbors(return_distance=False)[:, 0]  # itself left out
    hit = (groups_N[nearest] == groups_N) & paired
    weight_RN = counts_RN * paired
    share_R = (weight_RN @ hit) / np.maximum(weight_RN.sum(1), 1.0)
    return _interval(share_R[None])
