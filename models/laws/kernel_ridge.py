"""How much do features say of a parameter, whatever the form? Kernel ridge regression that chooses its own form.

    y(x) = mean(y) + sum_i a_i K(x, x_i),        (K + n l I) a = y - mean(y)

    linear    K = x . x' / m^2, x from the mean of the training rows, m^2 their mean square: ridge regression
    gaussian  K = exp(-|x - x'|^2 / 2 (w m)^2)             w in WIDTHS

Kernel, width and penalty l are those of least squared error within the training rows, over folds of whole groups
(parameter points), for each column of y by itself: what is predicted has no part in the choice. Where a linear map of a
few coordinates asks how parameters lie in a map, this asks whether they are in the features at all; it favours nobody.
One eigendecomposition of K serves all penalties and columns.
Suffixes: N training rows, M new rows, F features, C columns, L penalties.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from models.laws.groups import group_folds

__all__ = ["PENALTIES", "WIDTHS", "kernel_ridge"]

Array = NDArray[np.float64]
Kernel = Callable[[Array, Array], Array]
WIDTHS = (0.5, 1.0, 2.0)
PENALTIES = np.logspace(-7, 1, 17)


def kernel_ridge(
    x_NF: Array, y_NC: Array, groups_N: NDArray[np.int64], new_MF: Array, *, n_folds: int, seed: int
) -> Array:
    """Predictions (M, C). Raises ValueError for fewer groups than folds."""
    fold_N = group_folds(groups_N, n_folds, seed)
    kernels = list(_kernels(x_NF))
    error_KLC = np.zeros((len(kernels), len(PENALTIES), y_NC.shape[1]))
    for k, kernel in enumerate(kernels):
        gram_NN = kernel(x_NF, x_NF)
        for fold in range(n_folds):
            held, kept = np.flatnonzero(fold_N == fold), np.flatnonzero(fold_N != fold)
            predicted_LMC = _predict(gram_NN[np.ix_(kept, kept)], y_NC[kept], gram_NN[np.ix_(held, kept)])
            error_KLC[k] += ((predicted_LMC - y_NC[held]) ** 2).sum(1)
    best_C = error_KLC.reshape(-1, y_NC.shape[1]).argmin(0)
    kernel_C, penalty_C = np.unravel_index(best_C, error_KLC.shape[:2])
    predicted_MC = np.empty((len(new_MF), y_NC.shape[1]))
    for k in np.unique(kernel_C):
        predicted_LMC = _predict(kernels[k](x_NF, x_NF), y_NC, kernels[k](new_MF, x_NF))
        for column in np.flatnonzero(kernel_C == k):
            predicted_MC[:, column] = predicted_LMC[penalty_C[column], :, column]
    return predicted_MC


def _kernels(x_NF: Array) -> Iterator[Kernel]:
    """Functions of (x, x'), scaled by the training rows."""
    mean_F = x_NF.mean(0)
    square = max(float(((x_NF - mean_F) ** 2).sum(1).mean()), np.finfo(float).tiny)
    yield lambda a_NF, b_MF: (a_NF - mean_F) @ (b_MF - mean_F).T / square
    for width in WIDTHS:
        yield lambda a_NF, b_MF, width=width: np.exp(  # type: ignore[misc]
            -_square_distances(a_NF - mean_F, b_MF - mean_F) / (2 * width**2 * square)
        )


def _square_distances(a_NF: Array, b_MF: Array) -> Array:
    square_NM = (a_NF**2).sum(1)[:, None] + (b_MF**2).sum(1) - 2 * a_NF @ b_MF.T
    return np.asarray(np.maximum(square_NM, 0.0))


def _predict(gram_NN: Array, y_NC: Array, new_MN: Array) -> Array:
    """(L, M, C), for every penalty."""
    mean_C = y_NC.mean(0)
    values_N, vectors_NN = np.linalg.eigh(gram_NN)
    inverse_LN = 1 / (np.maximum(values_N, 0) + len(y_NC) * PENALTIES[:, None])
    rotated_NC = vectors_NN.T @ (y_NC - mean_C)
    return np.asarray((new_MN @ vectors_NN) @ (inverse_LN[:, :, None] * rotated_NC) + mean_C)
