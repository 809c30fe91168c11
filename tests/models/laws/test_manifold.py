"""Maps of known manifolds, landmarks against the whole, and the choice of dimension."""

import sys
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import make_swiss_roll
from sklearn.decomposition import PCA
from sklearn.manifold import Isomap

from models.laws.manifold import (
    choose_dimension,
    classical_mds,
    draw_landmarks,
    intrinsic_dimension,
    isomap,
    principal_axes,
    residual_variance,
    umap_embedding,
)

RNG = np.random.default_rng(0)
CHOICE = {"n_neighbours": 20, "minimum_gain": 0.01}


def points(features, n_axes=50):
    return principal_axes(features, n_axes).project([features])


def noisy_plane(noise, n=600):
    basis = np.linalg.qr(RNG.normal(size=(50, 2)))[0]
    return RNG.uniform(-1, 1, (n, 2)) @ basis.T + noise * RNG.normal(size=(n, 50))


@pytest.mark.parametrize("shape", [(40, 90), (90, 40)])  # kernel and covariance form
def test_principal_axes_are_those_of_pca(shape):
    features = RNG.normal(size=shape) * np.linspace(3, 1, shape[1])
    axes = principal_axes(features, 5)
    peer = PCA(5, svd_solver="full").fit(features)
    np.testing.assert_allclose(np.abs(axes.axes_FK), np.abs(peer.components_.T), atol=1e-9)
    assert axes.kept == pytest.approx(peer.explained_variance_ratio_.sum())


def test_projection_in_blocks_is_projection_at_once():
    features = RNG.normal(size=(100, 30)).astype(np.float32)
    axes = principal_axes(features, 30)
    np.testing.assert_allclose(axes.project([features[:33], features[33:]]), axes.project([features]), atol=1e-12)


def test_classical_mds_keeps_the_distances_of_a_flat_cloud():
    features = RNG.normal(size=(80, 3)) @ np.linalg.qr(RNG.normal(size=(20, 3)))[0].T
    map_ = classical_mds(points(features), np.arange(80), 3)
    wanted = np.linalg.norm(features[:, None] - features, axis=2)
    found = np.linalg.norm(map_.coordinates_ND[:, None] - map_.coordinates_ND, axis=2)
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    np.testing.assert_allclose(map_.distances_LN, wanted, atol=1e-6)


def test_isomap_agrees_with_scikit_learn():
    cloud = points(make_swiss_roll(400, random_state=0)[0])
    peer = Isomap(n_neighbors=10, n_components=3, eigen_solver="dense").fit_transform(cloud)
    entry = isomap(cloud, np.arange(400), 3, n_neighbours=10).coordinates_ND
    np.testing.assert_allclose(np.abs(entry), np.abs(peer), atol=1e-8)


def test_isomap_unrolls_a_swiss_roll():
    roll, along = make_swiss_roll(1500, random_state=0)
    map_ = isomap(points(roll), np.arange(1500), 6, n_neighbours=10)
    arc = 0.5 * (along * np.sqrt(1 + along**2) + np.arcsinh(along))
    assert abs(np.corrcoef(map_.coordinates_ND[:, 0], arc)[0, 1]) > 0.999
    assert abs(np.corrcoef(map_.coordinates_ND[:, 1], roll[:, 1])[0, 1]) > 0.99
    assert choose_dimension(map_, **CHOICE).dimension == 2
    flat = classical_mds(points(roll), np.arange(1500), 3)
    assert choose_dimension(flat, **CHOICE).dimension == 3


def test_landmarks_give_the_map_of_all_rows():
    cloud = points(make_swiss_roll(1500, random_state=0)[0])
    whole = isomap(cloud, np.arange(1500), 2, n_neighbours=10).coordinates_ND
    part = isomap(cloud, draw_landmarks(1500, 200, seed=0), 2, n_neighbours=10).coordinates_ND
    for column in range(2):
        assert abs(np.corrcoef(whole[:, column], part[:, column])[0, 1]) > 0.99


def test_rows_outside_of_the_graph_find_their_place():
    """800 of 6,000 rows make the graph; the map of all is the one that the full graph gives."""
    cloud = points(make_swiss_roll(6000, random_state=0)[0])
    whole = isomap(cloud, draw_landmarks(6000, 1000, seed=0), 2, n_neighbours=10)
    part = isomap(cloud, draw_landmarks(6000, 100, seed=0), 2, n_neighbours=10)
    assert part.distances_LN.shape == (100, 6000) and np.isfinite(part.distances_LN).all()
    assert (part.distances_LN[np.arange(100), part.landmarks_L] == 0).all()
    for column in range(2):
        assert abs(np.corrcoef(whole.coordinates_ND[:, column], part.coordinates_ND[:, column])[0, 1]) > 0.99


def test_axes_from_landmarks_give_the_map_of_all_rows():
    features = noisy_plane(0.02, n=2000)
    marks = draw_landmarks(2000, 200, seed=0)
    part, whole = principal_axes(features[marks], 2).project([features]), points(features, 2)
    fitted = np.linalg.lstsq(np.column_stack([part, np.ones(2000)]), whole, rcond=None)[0]
    assert np.abs(part @ fitted[:2] + fitted[2] - whole).max() < 0.05


def test_memory_with_landmarks_grows_with_the_rows_and_not_with_their_square():
    peaks = []
    for n in (2000, 4000):
        cloud = RNG.normal(size=(n, 8))
        tracemalloc.start()
        isomap(cloud, draw_landmarks(n, 100, seed=0), 4, n_neighbours=8)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2.5 * peaks[0]
    assert peaks[1] < 4000**2 * 8 / 4


def test_two_clouds_far_apart_are_joined():
    cloud = np.concatenate([RNG.normal(size=(40, 3)), RNG.normal(size=(40, 3)) + 100])
    map_ = isomap(points(cloud), np.arange(80), 3, n_neighbours=5)
    assert np.isfinite(map_.distances_LN).all()
    assert len(np.unique(map_.coordinates_ND[:, 0] > 0)) == 2


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05])
@pytest.mark.parametrize("make", ["mds", "isomap"])
def test_a_noisy_plane_in_fifty_dimensions_has_two(noise, make):
    cloud = points(noisy_plane(noise))
    marks = np.arange(len(cloud))
    map_ = classical_mds(cloud, marks, 10) if make == "mds" else isomap(cloud, marks, 10, n_neighbours=20)
    assert choose_dimension(map_, **CHOICE).dimension == 2


def test_a_circle_has_one_intrinsic_dimension_but_takes_two_coordinates():
    angle = RNG.uniform(0, 2 * np.pi, 500)
    cloud = points(np.column_stack([np.cos(angle), np.sin(angle)]))
    choice = choose_dimension(classical_mds(cloud, np.arange(500), 2), **CHOICE)
    assert choice.intrinsic == pytest.approx(1, abs=0.1)
    assert (choice.elbow, choice.dimension) == (2, 2)


def test_residual_variance_of_a_complete_map_is_zero():
    cloud = RNG.normal(size=(100, 4))
    residual = residual_variance(classical_mds(points(cloud), np.arange(100), 4))
    assert residual[-1] == pytest.approx(0, abs=1e-9)
    assert (np.diff(residual) < 0).all()


def test_intrinsic_dimension_of_a_cube():
    assert intrinsic_dimension(RNG.uniform(size=(3000, 3)), 10) == pytest.approx(3, abs=0.35)


def test_copies_count_once_and_rows_equally_far_span_what_they_can():
    cube = RNG.uniform(size=(300, 3))
    assert intrinsic_dimension(np.repeat(cube, 20, axis=0), 10) == intrinsic_dimension(cube, 10)
    assert intrinsic_dimension(np.eye(6), 3) == pytest.approx(5)
    assert intrinsic_dimension(np.repeat(np.eye(2), 9, axis=0), 12) == 1
    assert choose_dimension(classical_mds(points(np.eye(5)), np.arange(5), 4), **CHOICE).dimension == 4


def test_rows_that_cannot_be_embedded_are_refused():
    broken = RNG.normal(size=(10, 4))
    broken[3, 1] = np.nan
    with pytest.raises(ValueError, match="found 10 rows, 1 of them not finite"):
        principal_axes(broken, 2)
    with pytest.raises(ValueError, match="found 10 rows with the same features"):
        principal_axes(np.ones((10, 4)) + 1e-8 * RNG.normal(size=(10, 4)), 2)
    with pytest.raises(ValueError, match="expected more than n_neighbours = 20"):
        isomap(RNG.normal(size=(10, 4)), np.arange(10), 2, n_neighbours=20)


def test_umap_is_optional_and_runs_in_one_thread(monkeypatch):
    message = {}

    class Reducer:
        def __init__(self, **settings):
            message.update(settings)

        def fit_transform(self, cloud):
            return cloud[:, :2]

    cloud = RNG.normal(size=(30, 4))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install umap-learn"):
        umap_embedding(cloud, np.arange(30), 2, n_neighbours=5, seed=3)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Reducer))
    map_ = umap_embedding(cloud, np.arange(30), 2, n_neighbours=5, seed=3)
    assert map_.coordinates_ND.shape == (30, 2)
    assert (message["random_state"], message["n_jobs"]) == (3, 1)
