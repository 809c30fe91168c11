"""Rows that are not independent, such as all spectra of one Hamiltonian or all images of one parameter point.

They are drawn, split and held out together: a test row with a copy among the training rows proves nothing.
Suffixes: N rows, R replicates.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["cluster_counts", "group_folds", "whole_groups"]


def group_folds(groups_N: NDArray[np.int64], n_folds: int, seed: int) -> NDArray[np.int64]:
    """Fold of each row, the same for all rows of a group. Raises ValueError for fewer groups than folds."""
    names, cluster_N = np.unique(groups_N, return_inverse=True)
    if len(names) < n_folds:
        raise ValueError(f"cross-validation: found {len(names)} groups, expected at least n_folds = {n_folds}")
    fold_N: NDArray[np.int64] = (np.random.default_rng(seed).permutation(len(names)) % n_folds)[cluster_N]
    return fold_N


def whole_groups(groups_N: NDArray[np.int64], max_rows: int, seed: int) -> NDArray[np.int64]:
    """Rows of groups drawn at random, about `max_rows` of them, ascending."""
    names, row_N, sizes = np.unique(groups_N, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    taken = np.zeros(len(names), dtype=bool)
    taken[order[np.cumsum(sizes[order]) <= max(max_rows, 10)]] = True
    return np.flatnonzero(taken[row_N])


def cluster_counts(groups_N: NDArray[np.int64], n_replicates: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Row multiplicities (R, N) of a bootstrap that draws whole groups."""
    names, cluster_N = np.unique(groups_N, return_inverse=True)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n_replicates)
    return drawn[:, cluster_N].astype(np.float64)
