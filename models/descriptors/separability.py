"""Can a linear classifier tell two kinds of images apart by their features? AUC with an interval.

Used to ask how much of a data set is beyond two-point statistics: real images against their phase surrogates
(models.descriptors.surrogates). Logistic regression on standardised features, scored out of fold: an image, its
surrogate and all images of the same group are held out together, so nothing is scored that was learnt from.

    AUC = P(score of a real image > score of a surrogate) + P(equal) / 2
          0.5: indistinguishable by these features        1: always distinguished

AUC near 0.5 says that this classifier sees no difference, not that there is none. The interval is a bootstrap over
groups of the out-of-fold scores: it does not contain the scatter of training itself.
Suffixes: N images, F features, G groups.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

__all__ = ["Separability", "area_under_curve", "separability"]

FloatArray = NDArray[np.float64]


class Separability(NamedTuple):
    """AUC with its 95 % interval, and the out-of-fold scores that it comes from."""

    auc: float
    low: float
    high: float
    scores_real_N: FloatArray
    scores_surrogate_N: FloatArray


def separability(
    real_NF: NDArray[np.floating],
    surrogate_NF: NDArray[np.floating],
    groups_N: NDArray[np.integer],
    *,
    n_folds: int = 5,
    regularization: float = 0.1,
    n_bootstrap: int = 400,
    seed: int = 0,
) -> Separability:
    """AUC of real against surrogate features; row i of both belongs to the group `groups_N[i]`.

    `regularization` is C of the logistic regression: smaller is stronger. Raises ValueError for shapes that do not
    match, values that are not finite and fewer groups than folds.
    """
    groups_N = np.asarray(groups_N)
    _require(np.asarray(real_NF), np.asarray(surrogate_NF), groups_N, n_folds)
    features = np.concatenate([real_NF, surrogate_NF]).astype(np.float64)
    is_real = np.repeat([1, 0], len(groups_N))
    groups = np.concatenate([groups_N, groups_N])
    scores = np.empty(len(is_real))
    folds = GroupKFold(n_folds, shuffle=True, random_state=seed)
    for train, test in folds.split(features, is_real, groups):
        scaler = StandardScaler()
        classifier = make_pipeline(scaler, LogisticRegression(C=regularization, max_iter=2000))
        scores[test] = classifier.fit(features[train], is_real[train]).decision_function(features[test])
    real_N, surrogate_N = scores[: len(groups_N)], scores[len(groups_N) :]
    low, high = _bootstrap(real_N, surrogate_N, groups_N, n_bootstrap, np.random.default_rng(seed))
    return Separability(area_under_curve(real_N, surrogate_N), low, high, real_N, surrogate_N)


def area_under_curve(positive: FloatArray, negative: FloatArray) -> float:
    """P(positive > negative) + P(equal) / 2 for one drawn of each (Mann and Whitney)."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float((below + not_above).mean() / (2 * len(negative)))


def _bootstrap(
    real_N: FloatArray, surrogate_N: FloatArray, groups_N: NDArray[np.integer], n: int, rng: np.random.Generator
) -> tuple[float, float]:
    _, group_N = np.unique(groups_N, return_inverse=True)
    n_groups = int(group_N.max()) + 1
    rows_of = [np.flatnonzero(group_N == g) for g in range(n_groups)]
    areas = []
    for _ in range(n):
        rows = np.concatenate([rows_of[g] for g in rng.integers(n_groups, size=n_groups)])
        areas.append(area_under_curve(real_N[rows], surrogate_N[rows]))
    low, high = np.percentile(areas, [2.5, 97.5])
    return float(low), float(high)


def _require(
    real_NF: NDArray[np.floating], surrogate_NF: NDArray[np.floating], groups_N: NDArray[np.integer], n_folds: int
) -> None:
    problems = []
    if real_NF.ndim != 2 or real_NF.shape != surrogate_NF.shape or groups_N.shape != real_NF.shape[:1]:
        shapes = f"{real_NF.shape}, {surrogate_NF.shape} and {groups_N.shape}"
        problems.append(f"found shapes {shapes} of real, surrogate and groups, expected (N, F), (N, F) and (N,)")
    elif not (np.isfinite(real_NF).all() and np.isfinite(surrogate_NF).all()):
        problems.append("found features that are not finite; leave these images out")
    if (n_groups := len(np.unique(groups_N))) < n_folds:
        problems.append(f"found {n_groups} groups, expected at least n_folds = {n_folds}; add images or lower n_folds")
    if problems:
        raise ValueError("real against surrogates: " + "; ".join(problems))
