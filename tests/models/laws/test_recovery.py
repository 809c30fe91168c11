"""Recovery metrics where the answer is known."""

import numpy as np
import pytest

from models.laws.groups import group_folds
from models.laws.recovery import RecoveryRules, recovery

RNG = np.random.default_rng(1)
RULES = RecoveryRules(seeds=(0, 1, 2), n_folds=5, n_neighbours=8, n_bootstrap=100)
GROUPS = np.repeat(np.arange(100), 2)
X = RNG.normal(size=(100, 3))[GROUPS] + 1e-3 * RNG.normal(size=(200, 3))
TURN = np.linalg.qr(RNG.normal(size=(3, 3)))[0]


def columns(values):
    return {f"p{i}": column[:, None] for i, column in enumerate(values.T)}


def test_a_turned_and_scaled_copy_of_the_parameters_recovers_them():
    found = recovery(X @ TURN * 3 + 7, columns(X), GROUPS, RULES)
    assert found.linear_r2["mean"].value == pytest.approx(1)
    assert list(found.linear_r2) == ["mean", "p0", "p1", "p2"]
    scaled = X / X.std(0)
    exact = recovery(scaled @ TURN, columns(scaled), GROUPS, RULES)
    assert exact.trustworthiness.value == pytest.approx(1)
    assert exact.spearman_distances.value == pytest.approx(1)
    assert exact.same_group_recall.value == 1


def test_a_shuffled_map_recovers_nothing():
    shuffled = X[RNG.permutation(100).repeat(2) * 2]
    found = recovery(shuffled, columns(X), GROUPS, RULES)
    assert abs(found.linear_r2["mean"].value) < 0.15
    assert found.knn_r2["mean"].value < 0.05
    assert abs(found.spearman_distances.value) < 0.15
    assert found.trustworthiness.value < 0.6


def test_no_row_is_predicted_from_its_own_group():
    """Noise that both rows of a group share would be read off the other if folds did not go by group."""
    noise = RNG.normal(size=(100, 1))[GROUPS]
    assert recovery(X, {"noise": noise}, GROUPS, RULES).knn_r2["noise"].value < 0.15


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_never_split(seed):
    fold = group_folds(GROUPS, 5, seed)
    assert (fold[::2] == fold[1::2]).all()
    assert set(fold) == set(range(5))


def test_an_angle_is_one_parameter_of_two_columns():
    angle = RNG.uniform(0, np.pi, 100)[GROUPS]
    double = np.column_stack([np.cos(2 * angle), np.sin(2 * angle)])
    assert recovery(double, {"angle": double}, GROUPS, RULES).linear_r2["angle"].value == pytest.approx(1)
    half = recovery(double[:, :1], {"angle": double}, GROUPS, RULES).linear_r2["angle"].value
    assert half == pytest.approx(0.5, abs=0.1)


def test_intervals_hold_the_value_and_narrow_with_more_groups():
    def width(n):
        groups = np.repeat(np.arange(n), 2)
        x = RNG.normal(size=(2 * n, 2))
        y = x[:, :1] + RNG.normal(size=(2 * n, 1))
        found = recovery(x, {"y": y}, groups, RULES)
        for interval in (found.linear_r2["mean"], found.trustworthiness, found.spearman_distances):
            assert interval.low <= interval.value <= interval.high
        return found.linear_r2["mean"].high - found.linear_r2["mean"].low

    assert width(500) < width(50)


def test_the_same_input_gives_the_same_numbers():
    assert recovery(X, columns(X), GROUPS, RULES) == recovery(X, columns(X), GROUPS, RULES)


def test_rows_alone_in_their_group_have_no_recall():
    assert np.isnan(recovery(X, columns(X), np.arange(200), RULES).same_group_recall.value)


def test_what_cannot_be_judged_is_refused_in_one_message():
    with pytest.raises(ValueError, match="found 4 groups, expected at least n_folds = 5"):
        recovery(X, columns(X), np.arange(200) % 4, RULES)
    broken = X.copy()
    broken[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"coordinates: 1 rows are not finite.*flat: found the same value"):
        recovery(broken, {"flat": np.ones((200, 1))}, GROUPS, RULES)
