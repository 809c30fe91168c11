"""Paired intervals are narrower than unpaired ones; kernel ridge finds what is there and nothing where nothing is."""

import numpy as np
import pytest

from models.laws.kernel_ridge import kernel_ridge
from models.laws.paired_recovery import paired_difference, pooled, replicates
from models.laws.recovery import RecoveryRules, linear_recovery

RULES = RecoveryRules(seeds=(0, 1), n_folds=4, n_neighbours=4, n_bootstrap=300)
N_POINTS = 60
GROUPS = np.repeat(np.arange(N_POINTS), 2)


def noisy(rng: np.random.Generator, noise: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Two features, the first of which is the parameter with noise; rows of one point share the parameter."""
    y = rng.uniform(-1, 1, N_POINTS)[GROUPS]
    features = np.column_stack([y + noise * rng.standard_normal(len(y)), rng.standard_normal(len(y))])
    return features, {"y": y[:, None]}


def test_linear_replicates_are_those_of_the_recovery_of_maps():
    features, parameters = noisy(np.random.default_rng(0), 0.3)
    found = replicates("linear", features, parameters, GROUPS, RULES)["y"]
    wanted = linear_recovery(features, parameters, GROUPS, RULES)["y"]
    assert found.shape == (2, 301)
    assert found[:, 0].mean() == wanted.value
    np.testing.assert_allclose(np.quantile(found[:, 1:], [0.025, 0.975]), [wanted.low, wanted.high])


def test_a_map_differs_from_itself_by_nothing_however_uncertain_it_is():
    features, parameters = noisy(np.random.default_rng(0), 0.5)
    found = replicates("linear", features, parameters, GROUPS, RULES)["y"]
    assert pooled([found], seed=0).high - pooled([found], seed=0).low > 0.05
    assert paired_difference([found], [found.copy()], seed=0) == (0, 0, 0)


def test_a_difference_that_two_intervals_hide_is_seen_in_pairs():
    """The second map is the first with a little more noise: the same points are hard for both."""
    rng = np.random.default_rng(1)
    features, parameters = noisy(rng, 0.4)
    worse = features + np.array([0.12, 0]) * rng.standard_normal(features.shape)
    first, second = ([replicates("linear", x, parameters, GROUPS, RULES)["y"]] for x in (features, worse))
    one, other = pooled(first, seed=0), pooled(second, seed=0)
    difference = paired_difference(first, second, seed=0)
    assert one.low < other.high
    assert difference.low > 0
    assert difference.value == pytest.approx(one.value - other.value)


def test_the_interval_of_a_difference_covers_the_truth_about_as_often_as_it_says():
    """Two equally good maps, many data sets: 0 lies inside of most intervals, and not of all."""
    rng = np.random.default_rng(2)
    quick = RecoveryRules(seeds=(0,), n_folds=4, n_neighbours=4, n_bootstrap=200)
    inside = 0
    for _ in range(60):
        y = rng.uniform(-1, 1, N_POINTS)[GROUPS]
        maps = [np.column_stack([y + 0.4 * rng.standard_normal(len(y))]) for _ in range(2)]
        pair = [[replicates("linear", x, {"y": y[:, None]}, GROUPS, quick)["y"]] for x in maps]
        low, high = paired_difference(*pair, seed=0, n_draws=1000)[1:]
        inside += low <= 0 <= high
    assert 49 <= inside < 60


def test_data_sets_that_disagree_widen_the_interval():
    same = [np.full((2, 11), 0.8)] * 4
    apart = [np.full((2, 11), value) for value in (0.6, 0.7, 0.9, 1.0)]
    assert pooled(same, seed=0) == pytest.approx((0.8, 0.8, 0.8))
    value, low, high = pooled(apart, seed=0)
    assert value == pytest.approx(0.8)
    assert low < 0.7 < 0.9 < high


def predicted(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    return kernel_ridge(x, y, np.arange(len(x)), new, n_folds=4, seed=0)


def test_kernel_ridge_finds_lines_and_curves_each_column_by_its_own_form():
    rng = np.random.default_rng(3)
    x, new = rng.uniform(-1, 1, (200, 2)), rng.uniform(-0.9, 0.9, (50, 2))

    def truth(x: np.ndarray) -> np.ndarray:
        return np.column_stack([3 * x[:, 0] - x[:, 1] + 5, np.sin(4 * x[:, 0]) * np.cos(3 * x[:, 1])])

    np.testing.assert_allclose(predicted(x, truth(x), new), truth(new), atol=0.01)


def test_kernel_ridge_of_noise_predicts_the_mean():
    rng = np.random.default_rng(4)
    y = 7 + rng.standard_normal((150, 1))
    found = predicted(rng.standard_normal((150, 30)), y, rng.standard_normal((200, 30)))
    assert np.mean((found - 7) ** 2) < 0.1


def test_kernel_ridge_does_not_change_when_features_are_scaled_or_moved():
    rng = np.random.default_rng(5)
    x, y, new = rng.standard_normal((80, 3)), rng.standard_normal((80, 1)), rng.standard_normal((9, 3))
    np.testing.assert_allclose(predicted(5 * x + 2, y, 5 * new + 2), predicted(x, y, new), atol=1e-6)


def test_features_that_know_nothing_score_nothing_in_both_readouts():
    features = np.random.default_rng(6).standard_normal((len(GROUPS), 3))
    parameters = {"y": np.random.default_rng(7).uniform(size=N_POINTS)[GROUPS][:, None]}
    for readout in ("linear", "kernel"):
        assert replicates(readout, features, parameters, GROUPS, RULES)["y"][:, 0].mean() < 0.05
