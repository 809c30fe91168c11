"""Nearest seeds against a KD-tree, and what makes a mosaic."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from models.physics.microstructure.voronoi import Voronoi, draw_seeds, nearest_seeds, voronoi


def pixels(shape: tuple[int, int]) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)


@settings(max_examples=40, deadline=None)
@given(
    n_y=st.integers(8, 170),
    n_x=st.integers(8, 170),
    n_seeds=st.integers(4, 200),
    periodic=st.booleans(),
    spread=st.sampled_from([1.0, 0.1]),
    seed=st.integers(0, 2**32),
)
def test_distances_are_those_of_a_kd_tree(n_y, n_x, n_seeds, periodic, spread, seed):
    """Also for seeds crowded into one corner, where most of the image is far from all."""
    shape = (n_y, n_x)
    seeds = np.random.default_rng(seed).random((n_seeds, 2)) * np.array(shape) * spread
    found = nearest_seeds(seeds, shape, periodic=periodic)
    if periodic:
        images = np.concatenate([seeds + np.array([i, j]) * shape for i in (-1, 0, 1) for j in (-1, 0, 1)])
    else:
        images = seeds
    distance, index = cKDTree(images).query(pixels(shape), k=2)
    # single precision holds squares: to 1e-4 px in the distance, except within a tenth of a pixel of a seed
    np.testing.assert_allclose(np.hypot(found.first, 0.1), np.hypot(distance[..., 0], 0.1), atol=1e-4)
    np.testing.assert_allclose(np.hypot(found.second, 0.1), np.hypot(distance[..., 1], 0.1), atol=1e-4)
    clear = distance[..., 1] - distance[..., 0] > 1e-3
    np.testing.assert_array_equal(found.seed[clear], index[..., 0][clear] % n_seeds)


def test_a_periodic_mosaic_moves_with_its_seeds():
    shape, step = (80, 64), np.array([13, 29])
    seeds = draw_seeds(10.0, shape, np.random.default_rng(0))
    moved = nearest_seeds((seeds + step) % np.array(shape), shape, periodic=True)
    still = nearest_seeds(seeds, shape, periodic=True)
    np.testing.assert_allclose(moved.first, np.roll(still.first, step, axis=(0, 1)), atol=1e-4)
    assert (moved.seed == np.roll(still.seed, step, axis=(0, 1))).mean() > 0.999


def test_a_bounded_mosaic_differs_only_near_the_edges():
    seeds = draw_seeds(8.0, (96, 96), np.random.default_rng(0))
    open_, closed = (nearest_seeds(seeds, (96, 96), periodic=p).seed for p in (False, True))
    assert (open_[30:-30, 30:-30] == closed[30:-30, 30:-30]).all()
    assert (open_ != closed).any()


def test_there_is_one_seed_per_scale_squared_and_each_grain_has_one_grey():
    params = Voronoi(scale_px=16.0, shape=(128, 128), wall_depth=0.0)
    image = voronoi(params, np.random.default_rng(1))
    assert len(np.unique(image)) == 64
    assert 0.3 <= image.min() < image.max() <= 1


def test_boundaries_are_dark():
    plain, walled = (
        voronoi(Voronoi(scale_px=16.0, shape=(64, 64), wall_depth=depth), np.random.default_rng(1)) for depth in (0, 1)
    )
    boundary = plain != np.roll(plain, 1, axis=1)
    assert (walled <= plain + 1e-12).all()
    assert walled[boundary].mean() < 0.5 * walled[~boundary].mean()


def test_all_bad_parameters_are_reported_at_once():
    with pytest.raises(ValueError) as raised:
        Voronoi(scale_px=1.0, shape=(2, 2), wall_width=2, wall_depth=-1)
    for name in ("scale_px", "shape", "wall_width", "wall_depth"):
        assert re.search(rf"(: |; ){name}", str(raised.value))
