"""Rows that are not independent, such as all spectra of one Hamiltonian or all images of one parameter point.

They are drawn, split and held out together: a test row with a copy among the training rows proves nothing.
Suffixes: N rows, R replicates.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["cluster_counts", "group_folds", "split_by_group", "whole_groups"]


def split_by_group(
    groups_N: NDArray[np.int64], *, validation: float, test: float, seed: int, what: str = "groups"
) -> NDArray[np.int64]:
    """0 train, 1 validation, 2 test per row; the same for all rows of a group, at least one group in each.

    A group's draw depends on `seed` and its number alone, so that a larger store keeps the split of a smaller one;
    the shares are met on average. A share of 0 stays empty. `what` names the groups in messages. Raises ValueError
    for fewer groups than parts.
    """
    if not (0 <= validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise ValueError(
            f"split: found shares validation {validation:g}, test {test:g}, expected >= 0 with sum below 1"
        )
    names, row_N = np.unique(groups_N, return_inverse=True)
    parts = {0: "train"} | ({1: "validation"} if validation else {}) | ({2: "test"} if test else {})
    if len(names) < len(parts):
        wanted = f"at least {len(parts)} ({', '.join(parts.values())})"
        raise ValueError(f"split: found {len(names)} {what}, expected {wanted}")
    draw = np.array([np.random.SeedSequence(seed, spawn_key=(int(n),)).generate_state(1)[0] / 2**32 for n in names])
    split = np.where(draw < test, 2, np.where(draw < test + validation, 1, 0))
    order = np.argsort(draw)
    for part, group in ((0, order[-1]), (2, order[0]), (1, order[min(1, len(parts) - 2)])):
        if part in parts and not (split == part).any():
            split[group] = part
    return np.asarray(split[row_N], dtype=np.int64)


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
