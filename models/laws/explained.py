"""How much do the latents say together about one quantity?

Per quantity y, beside the best single latent:

    linear_direction   |Spearman| between y and the best direction in latent space (least squares on the ranks of y)
    nonlinear_r2       R2 of y predicted from all active latents by nearest neighbours

Both are out of fold: directions and neighbours come from other groups than the rows that they are judged on.
Suffixes: N rows, L latents.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsRegressor

from models.laws.correlation import spearman
from models.laws.groups import group_folds

__all__ = ["Explained", "explained"]

Array = NDArray[np.float64]


class Explained(NamedTuple):
    """What all active latents say about one quantity."""

    linear_direction: float
    nonlinear_r2: float
    direction_L: Array  # unit vector in units of each latent's standard deviation


def explained(
    z_NL: Array, y_N: Array, groups_N: NDArray[np.int64], *, n_folds: int, n_neighbours: int, seed: int
) -> Explained:
    """Best linear direction and nonlinear R2 of `y_N` from the latents, cross-validated over groups."""
    fold_N = group_folds(groups_N, n_folds, seed)
    z_NL = (z_NL - z_NL.mean(0)) / np.maximum(z_NL.std(0), 1e-12)
    rank_N = (np.argsort(np.argsort(y_N)) / len(y_N)).astype(np.float64)
    linear_N, nearest_N = np.empty(len(y_N)), np.empty(len(y_N))
    for fold in range(n_folds):
        held = fold_N == fold
        linear_N[held] = _with_one(z_NL[held]) @ _least_squares(z_NL[~held], rank_N[~held])
        neighbours = KNeighborsRegressor(min(n_neighbours, int((~held).sum())), weights="distance")
        nearest_N[held] = neighbours.fit(z_NL[~held], y_N[~held]).predict(z_NL[held])
    direction_L = _least_squares(z_NL, rank_N)[:-1]
    return Explained(
        linear_direction=abs(spearman(linear_N, y_N)),
        nonlinear_r2=float(1 - np.mean((nearest_N - y_N) ** 2) / np.var(y_N)),
        direction_L=direction_L / max(float(np.linalg.norm(direction_L)), 1e-12),
    )


def _with_one(z_NL: Array) -> Array:
    return np.column_stack([z_NL, np.ones(len(z_NL))])


def _least_squares(z_NL: Array, y_N: Array) -> Array:
    return np.asarray(np.linalg.lstsq(_with_one(z_NL), y_N, rcond=None)[0], dtype=np.float64)
