"""Where do images lie relative to each other? Low-dimensional coordinates of points that are known by many features.

    mds      classical MDS of Euclidean distances, which is PCA of the features. With landmarks: axes from L rows, all
             others projected on them (the Nystroem extension)
    isomap   the same of geodesic distances, shortest paths through nearest neighbours (Tenenbaum, de Silva and
             Langford, Science 290, 2319, 2000). With landmarks: paths from L rows only (de Silva and Tenenbaum 2004);
             with D2 the squared geodesics of the landmarks among themselves and B = -J D2 J / 2 = V S V^T,
                 x_i = S^(-1/2) V^T (mean of D2 - d2_i) / 2,        d2_i: landmarks to row i
             which is Isomap itself when every row is a landmark. The neighbour graph has at most eight rows for
             every landmark; a path to any other row ends with one step from its nearest members of the graph

Memory: features are read in blocks, never kept; then N x n_axes, N x k neighbours, L x N distances. No N x N array
exists unless L = N. Time: linear in N once N passes the size of the graph.

The number of dimensions of a map is chosen without looking at a label (`choose_dimension`), by two answers:

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
Suffixes: N rows, L landmarks, M members of the graph, F features, K axes, D coordinates, k neighbours.
"""

import importlib
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, shortest_path
from sklearn.neighbors import NearestNeighbors

__all__ = [
    "Axes",
    "DimensionChoice",
    "Embedding",
    "choose_dimension",
    "classical_mds",
    "draw_landmarks",
    "intrinsic_dimension",
    "isomap",
    "principal_axes",
    "residual_variance",
    "umap_embedding",
]

Array = NDArray[np.float64]
GRAPH_ROWS_PER_LANDMARK = 8
ROWS_PER_STEP = 1000
ROUNDING = 1e-7  # of features of unit length in single precision


@dataclass(frozen=True, kw_only=True)
class Axes:
    """Principal axes of some rows; `kept` is the share of their variance that the axes hold."""

    mean_F: Array
    axes_FK: Array
    kept: float

    def project(self, blocks: Iterable[NDArray[np.floating]]) -> Array:
        """Principal coordinates (N, K) of rows that come in blocks (n, F)."""
        offset = self.mean_F @ self.axes_FK
        return np.concatenate([block @ self.axes_FK - offset for block in blocks])


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """`coordinates_ND` by falling variance; `distances_LN` are those that they stand for, from the landmarks."""

    method: str
    coordinates_ND: Array
    landmarks_L: NDArray[np.int64]
    distances_LN: Array


def draw_landmarks(n_rows: int, n_landmarks: int, seed: int) -> NDArray[np.int64]:
    """Rows drawn at random, ascending; all rows where there are no more."""
    if n_rows <= n_landmarks:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, n_landmarks, replace=False))


def principal_axes(features_LF: NDArray[np.floating], n_axes: int) -> Axes:
    """At most `n_axes` principal axes of the rows, by the smaller of the two products X X^T and X^T X.

    Signs are fixed (largest entry positive). Raises ValueError for NaN, fewer than three rows, or rows all alike.
    """
    x = np.asarray(features_LF, dtype=np.float64)
    if len(x) < 3 or not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).any(1).sum())
        raise ValueError(f"embedding: found {len(x)} rows, {bad} of them not finite, expected at least 3, all finite")
    mean_F = x.mean(0)
    x = x - mean_F
    kernel = len(x) < x.shape[1]
    values, vectors = np.linalg.eigh(x @ x.T if kernel else x.T @ x)
    values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
    n_useful = int((values > 1e-10 * max(values[0], np.finfo(float).tiny)).sum())
    if not values[0] > ROUNDING**2 * max(1.0, float(mean_F @ mean_F)) * len(x):
        raise ValueError(
            f"embedding: found {len(x)} rows with the same features, expected rows that differ; "
            "add images that differ, or choose another descriptor"
        )
    n = min(n_axes, n_useful)
    axes_FK = x.T @ vectors[:, :n] / np.sqrt(values[:n]) if kernel else vectors[:, :n]
    return Axes(mean_F=mean_F, axes_FK=_signed(axes_FK), kept=float(values[:n].sum() / values.sum()))


def classical_mds(points_NK: Array, landmarks_L: NDArray[np.int64], n_components: int) -> Embedding:
    """Classical MDS of Euclidean distances; `points_NK` are principal coordinates, so the first ones are the answer."""
    marks = points_NK[landmarks_L]
    square_LN = (marks**2).sum(1)[:, None] + (points_NK**2).sum(1) - 2 * marks @ points_NK.T
    return Embedding(
        method="mds",
        coordinates_ND=points_NK[:, :n_components],
        landmarks_L=landmarks_L,
        distances_LN=np.sqrt(np.clip(square_LN, 0, None)),
    )


def isomap(points_NK: Array, landmarks_L: NDArray[np.int64], n_components: int, *, n_neighbours: int) -> Embedding:
    """Isomap, from all rows or from landmarks. Raises ValueError for fewer rows than neighbours."""
    if len(points_NK) <= n_neighbours:
        raise ValueError(f"isomap: found {len(points_NK)} rows, expected more than n_neighbours = {n_neighbours}")
    members_M = _graph_members(len(points_NK), landmarks_L)
    points_MK = points_NK[members_M]
    search = NearestNeighbors(n_neighbors=n_neighbours).fit(points_MK)
    graph = _connected(search.kneighbors_graph(mode="distance"), points_MK)
    starts_L = np.searchsorted(members_M, landmarks_L)
    distances_LM = np.asarray(shortest_path(graph, method="D", directed=False, indices=starts_L))
    distances_LN = _one_step_further(distances_LM, members_M, points_NK, search)
    square_LN = distances_LN**2
    square_LL = square_LN[:, landmarks_L]
    mean_L = square_LL.mean(1)
    values, vectors = np.linalg.eigh(-(square_LL - mean_L - mean_L[:, None] + mean_L.mean()) / 2)
    values, vectors = values[::-1][:n_components], _signed(vectors[:, ::-1][:, :n_components])
    positive = values > 1e-12 * values[0]
    values, vectors = values[positive], vectors[:, positive]
    coordinates_ND = (mean_L[:, None] - square_LN).T @ vectors / (2 * np.sqrt(values))
    return Embedding(
        method="isomap",
        coordinates_ND=coordinates_ND - coordinates_ND.mean(0),
        landmarks_L=landmarks_L,
        distances_LN=distances_LN,
    )


def umap_embedding(
    points_NK: Array, landmarks_L: NDArray[np.int64], n_components: int, *, n_neighbours: int, seed: int
) -> Embedding:
    """UMAP in one thread, so that a seed repeats. Raises ValueError where the optional umap-learn is missing."""
    if importlib.util.find_spec("umap") is None:
        raise ValueError(
            "embedding method umap: the package umap-learn is not installed; "
            "install it with `pip install umap-learn`, or leave umap out of embedding.methods"
        )
    umap = importlib.import_module("umap")
    reducer = umap.UMAP(n_neighbors=n_neighbours, n_components=n_components, random_state=seed, n_jobs=1)
    coordinates_ND = np.asarray(reducer.fit_transform(points_NK), dtype=np.float64)
    distances = classical_mds(points_NK, landmarks_L, 1).distances_LN
    return Embedding(method="umap", coordinates_ND=coordinates_ND, landmarks_L=landmarks_L, distances_LN=distances)


def _graph_members(n_rows: int, landmarks_L: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows that the neighbour graph is made of, ascending: the landmarks, and others at even steps."""
    n_members = GRAPH_ROWS_PER_LANDMARK * len(landmarks_L)
    if n_rows <= n_members:
        return np.arange(n_rows)
    return np.union1d(landmarks_L, np.linspace(0, n_rows - 1, n_members - len(landmarks_L)).astype(np.int64))


def _one_step_further(
    distances_LM: Array, members_M: NDArray[np.int64], points_NK: Array, search: NearestNeighbors
) -> Array:
    """Distances of the landmarks to all rows: to a row outside of the graph through its nearest members."""
    if len(members_M) == len(points_NK):
        return distances_LM
    distances_LN = np.empty((len(distances_LM), len(points_NK)))
    distances_LN[:, members_M] = distances_LM
    others = np.setdiff1d(np.arange(len(points_NK)), members_M)
    for start in range(0, len(others), ROWS_PER_STEP):
        rows = others[start : start + ROWS_PER_STEP]
        length_nk, nearest_nk = search.kneighbors(points_NK[rows])
        reach_Ln = distances_LM[:, nearest_nk[:, 0]] + length_nk[:, 0]
        for k in range(1, nearest_nk.shape[1]):
            np.minimum(reach_Ln, distances_LM[:, nearest_nk[:, k]] + length_nk[:, k], out=reach_Ln)
        distances_LN[:, rows] = reach_Ln
    return distances_LN


def _connected(graph: csr_array, points_NK: Array) -> csr_array:
    """The neighbour graph with its parts joined: each by the shortest edge to the rest, until one part is left."""
    graph = csr_array(graph)
    while True:
        n_parts, part_N = connected_components(graph, directed=False)
        if n_parts == 1:
            return graph
        inside = part_N == np.argmin(np.bincount(part_N))
        length, nearest = NearestNeighbors(n_neighbors=1).fit(points_NK[~inside]).kneighbors(points_NK[inside])
        row = int(np.argmin(length[:, 0]))
        i, j = np.flatnonzero(inside)[row], np.flatnonzero(~inside)[nearest[row, 0]]
        edge = max(float(length[row, 0]), np.finfo(float).tiny)  # a stored zero would be no edge
        graph = graph + csr_array(([edge], ([i], [j])), shape=graph.shape)


def _signed(vectors: Array) -> Array:
    """Columns with their largest entry positive, so that the same data give the same signs."""
    largest = vectors[np.argmax(np.abs(vectors), axis=0), np.arange(vectors.shape[1])]
    return np.asarray(vectors * np.where(largest < 0, -1.0, 1.0))


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
