"""Is one map better than another? R2 out of fold with replicates that all maps share, and intervals of differences.

Two intervals that overlap say little: both maps are scored on the same images, and an image that is hard for one is
hard for the other. So every map is scored under the same folds and the same bootstrap draws of parameter points, and
the interval is that of the difference, replicate by replicate,

    d_r = R2_r(first) - R2_r(second)

Several data sets, each with folds and draws of its own, are pooled by a bootstrap of two levels: data sets are drawn
with replacement, then of each one replicate. Predictions stay those of the whole data set, so the interval holds the
scatter of parameter points and of data sets, not that of training rows.

    linear    the linear regression of models.laws.recovery, for coordinates of maps
    kernel    models.laws.kernel_ridge, for features

Suffixes: N rows, F features or coordinates, C columns of a parameter, S seeds of folds, R replicates.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.laws.correlation import Interval
from models.laws.groups import group_folds
from models.laws.kernel_ridge import kernel_ridge
from models.laws.recovery import RecoveryRules, linear_replicates, r_squared, replicate_counts, standardised

__all__ = ["Readout", "paired_difference", "pooled", "replicates"]

Array = NDArray[np.float64]
Readout = Literal["linear", "kernel"]


def replicates(
    readout: Readout,
    features_NF: Array,
    parameters: Mapping[str, Array],
    groups_N: NDArray[np.int64],
    rules: RecoveryRules,
) -> dict[str, Array]:
    """R2 (S, 1 + R) by parameter name, `mean` among them: first of all rows, then of each draw of groups.

    The draws depend on `groups_N` and `rules` alone. Features that are all the same say nothing: predictions are means
    of training rows.
    """
    if readout == "linear":
        return linear_replicates(features_NF, parameters, groups_N, rules)
    scaled = standardised(parameters)
    counts_RN = replicate_counts(groups_N, rules)
    y_NC = np.column_stack(list(scaled.values()))
    ends = np.cumsum([columns.shape[1] for columns in scaled.values()])[:-1]
    r2_of: dict[str, list[Array]] = {name: [] for name in scaled}
    for seed in rules.seeds:
        fold_N = group_folds(groups_N, rules.n_folds, seed)
        predicted_NC = np.empty_like(y_NC)
        for fold in range(rules.n_folds):
            held = fold_N == fold
            predicted_NC[held] = kernel_ridge(
                features_NF[~held],
                y_NC[~held],
                groups_N[~held],
                features_NF[held],
                n_folds=rules.n_folds - 1,
                seed=seed,
            )
        for name, one_NC in zip(scaled, np.split(predicted_NC, ends, axis=1), strict=True):
            r2_of[name].append(r_squared(scaled[name], one_NC, counts_RN))
    samples = {name: np.array(values) for name, values in r2_of.items()}
    return {"mean": np.asarray(np.mean(list(samples.values()), axis=0)), **samples}


def pooled(by_data_set: Sequence[Array], *, seed: int, n_draws: int = 2000) -> Interval:
    """Mean over data sets of replicates (S, 1 + R), with the 95 % interval of the bootstrap of two levels."""
    stack = np.stack(by_data_set)  # (D, S, 1 + R)
    n_sets, n_seeds, n_columns = stack.shape
    rng = np.random.default_rng(seed)
    sets = rng.integers(n_sets, size=(n_draws, n_sets))
    seeds = rng.integers(n_seeds, size=(n_draws, n_sets))
    columns = rng.integers(1, n_columns, size=(n_draws, n_sets))
    low, high = np.quantile(stack[sets, seeds, columns].mean(1), [0.025, 0.975])
    value = float(stack[:, :, 0].mean())
    return Interval(value, float(min(low, value)), float(max(high, value)))


def paired_difference(first: Sequence[Array], second: Sequence[Array], *, seed: int, n_draws: int = 2000) -> Interval:
    """`pooled` of first - second, which were made of the same rows by the same rules."""
    return pooled([a - b for a, b in zip(first, second, strict=True)], seed=seed, n_draws=n_draws)
