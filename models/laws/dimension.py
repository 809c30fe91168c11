"""How many dimensions does a cloud of points need? Two answers, neither of which looks at a label.

    elbow       of the residual variance, 1 - r^2 between the distances that a map stands for and those in its first d
                coordinates (Tenenbaum, de Silva and Langford 2000): the first d after which one more coordinate
                explains less than `minimum_gain` of the variance
    intrinsic   how fast neighbours become more with distance, by the likelihood of Levina and Bickel (2004) with the
                average of MacKay and Ghahramani, in the coordinates that hold at least 3 % of the map's variance:
                what is below counts as noise, of which features have some in every direction
                    1/m = mean over rows and j < k of log(T_k / T_j),     T_j distance to the j-th neighbour

The dimension taken is the larger of the elbow and the rounded intrinsic dimension, among those computed. Each covers a
weakness of the other: a circle is one-dimensional but takes two coordinates, which the elbow sees; a long strip is
explained by its length alone, but no map of fewer coordinates than the intrinsic dimension is one to one.
Suffixes: N rows, L landmarks, D coordinates, M rows among the landmarks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from models.laws.manifold import Embedding

__all__ = ["DimensionChoice", "choose_dimension", "intrinsic_dimension", "residual_variance"]

Array = NDArray[np.float64]
NOISE_SHARE = 0.03
COPY_SHARE = 1e-9  # rows nearer than this, of the size of the cloud, are copies


@dataclass(frozen=True, kw_only=True)
class DimensionChoice:
    """`residual_variance` of 1, 2, ... coordinates; `elbow` is their number where every coordinate still gains."""

    dimension: int
    elbow: int
    intrinsic: float
    residual_variance: tuple[float, ...]


def choose_dimension(
    embedding: Embedding, *, n_neighbours: int, minimum_gain: float, max_rows: int = 2000
) -> DimensionChoice:
    """Dimension of `embedding`, see above; at most `max_rows` rows, evenly taken, are looked at."""
    residual_D = residual_variance(embedding, max_rows=max_rows)
    gains = -np.diff(residual_D)
    elbow = 1 + int(np.argmax(np.append(gains < minimum_gain, True)))
    variance_D = embedding.coordinates_ND.var(0)
    held = variance_D >= NOISE_SHARE * variance_D.sum()
    rows = _spread(len(embedding.coordinates_ND), max_rows)
    intrinsic = intrinsic_dimension(embedding.coordinates_ND[np.ix_(rows, np.flatnonzero(held))], n_neighbours)
    return DimensionChoice(
        dimension=int(np.clip(max(elbow, round(intrinsic)), 1, len(residual_D))),
        elbow=elbow,
        intrinsic=intrinsic,
        residual_variance=tuple(float(value) for value in residual_D),
    )


def residual_variance(embedding: Embedding, *, max_rows: int = 2000) -> Array:
    """1 - r^2 (D,) of distances in the first 1, 2, ... coordinates."""
    rows = _spread(len(embedding.coordinates_ND), max_rows)
    marks = _spread(len(embedding.landmarks_L), max_rows)
    wanted = embedding.distances_LN[np.ix_(marks, rows)]
    x_MD, x_ND = embedding.coordinates_ND[embedding.landmarks_L[marks]], embedding.coordinates_ND[rows]
    square = np.zeros_like(wanted)
    residual = []
    for column in range(x_ND.shape[1]):
        square += (x_MD[:, column, None] - x_ND[:, column]) ** 2
        residual.append(1 - np.corrcoef(wanted.ravel(), np.sqrt(square).ravel())[0, 1] ** 2)
    return np.asarray(residual)


def intrinsic_dimension(points_ND: Array, n_neighbours: int) -> float:
    """Likelihood estimate from `n_neighbours`. Of rows that are copies of each other one counts.

    Never more than the rows that differ can span, which is also the answer where all neighbours are equally far.
    """
    rounding = COPY_SHARE * max(float(np.abs(points_ND).max()), np.finfo(float).tiny)
    _, first = np.unique((points_ND / rounding).round(), axis=0, return_index=True)
    rows_ND = points_ND[np.sort(first)]
    most = len(rows_ND) - 1
    if most < 2:
        return float(most)
    distance_Nk = NearestNeighbors(n_neighbors=min(n_neighbours, most)).fit(rows_ND).kneighbors()[0]
    rate = float(np.log(distance_Nk[:, -1:] / distance_Nk[:, :-1]).mean())
    return 1 / max(rate, 1 / most)


def _spread(n_rows: int, max_rows: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, max_rows)).round().astype(np.int64))
