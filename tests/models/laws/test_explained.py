import numpy as np
import pytest

from models.laws.associations import explained

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(1500, 3))
SETTINGS = {"n_folds": 5, "n_neighbours": 8, "seed": 0}


def test_a_turned_axis_is_found_as_a_direction():
    axis = np.array([2.0, -1.0, 0.0]) / np.sqrt(5)
    found = explained(Z, np.exp(Z @ axis), np.arange(1500), **SETTINGS)
    assert found.linear_direction > 0.99
    assert abs(found.direction_L @ axis) > 0.99
    assert np.linalg.norm(found.direction_L) == pytest.approx(1)


def test_a_ring_is_seen_by_neighbours_but_by_no_direction():
    found = explained(Z, Z[:, 0] ** 2 + Z[:, 1] ** 2, np.arange(1500), **SETTINGS)
    assert found.linear_direction < 0.15
    assert found.nonlinear_r2 > 0.8


def test_noise_is_not_explained():
    found = explained(Z, RNG.normal(size=1500), np.arange(1500), **SETTINGS)
    assert found.nonlinear_r2 < 0.05
    assert found.linear_direction < 0.1


def test_copies_of_a_row_do_not_explain_each_other():
    """Noise repeated with its own latents would be predicted perfectly if folds did not go by group."""
    groups = np.repeat(np.arange(300), 4)
    noise = RNG.normal(size=300)[groups]
    assert explained(Z[:300][groups], noise, groups, **SETTINGS).nonlinear_r2 < 0.1


def test_too_few_groups_are_refused():
    with pytest.raises(ValueError, match="found 2 groups, expected at least n_folds = 5"):
        explained(Z[:4], Z[:4, 0], np.array([0, 0, 1, 1]), **SETTINGS)
