import numpy as np
import pytest

from models.laws.correlation import spearman
from models.laws.held_out import Coordinates, TooFewGroups, held_out_associations

N = 400
GROUPS = np.arange(N) // 2
CHOOSE, SCORE = np.arange(N) < 100, np.arange(N) >= 200


def quantity(seed=0):
    return np.repeat(np.random.default_rng(seed).normal(size=N // 2), 2)


def noisy(y, noise, seed):
    return y + noise * np.random.default_rng(seed).normal(size=N)


def associations(sets, y, **changes):
    settings = {"choose_N": CHOOSE, "score_N": SCORE, "against": "none", "n_bootstrap": 400, "seed": 0}
    return held_out_associations(sets, y, GROUPS, **settings | changes)


def coordinates(*columns):
    return Coordinates(z_NL=np.column_stack(columns), names=tuple(f"z{i}" for i in range(len(columns))))


def test_the_coordinate_is_chosen_where_it_is_not_scored():
    """A column that is right on the scored rows alone is not taken; the number is that of the scored rows."""
    y = quantity()
    right_where_scored = np.where(SCORE, y, noisy(0 * y, 1, 1))
    honest = noisy(y, 0.5, 2)
    result = associations({"none": coordinates(right_where_scored, honest)}, y)["none"]
    assert result.coordinate == "z1"
    assert result.spearman.value == pytest.approx(abs(spearman(honest[SCORE], y[SCORE])), abs=1e-12)
    assert (result.n_rows, result.n_groups) == (200, 100)


def test_a_difference_of_two_sets_has_a_narrower_interval_than_either():
    y = quantity()
    shared = noisy(y, 0.6, 3)
    sets = {"none": coordinates(shared), "better": coordinates(shared + 0.1 * y)}
    results = associations(sets, y)
    better = results["better"]
    assert better.ahead.low > 0
    assert better.ahead.high - better.ahead.low < (better.spearman.high - better.spearman.low) / 2
    assert results["none"].ahead == (0, 0, 0)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Rows of one group are copies: an interval that drew rows would be too narrow by sqrt(2)."""
    truth = spearman(*np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 200_000).T)
    covered = 0
    for seed in range(100):
        pairs = np.random.default_rng(1000 + seed).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], N // 2)
        z, y = np.repeat(pairs, 2, axis=0).T
        interval = associations({"none": coordinates(z)}, y, n_bootstrap=200)["none"].spearman
        covered += interval.low <= truth <= interval.high
    assert 88 <= covered <= 99


def test_too_few_groups_say_how_many_are_needed():
    with pytest.raises(TooFewGroups, match=r"found 5 groups to score on, expected at least 10"):
        associations({"none": coordinates(quantity())}, quantity(), score_N=np.arange(N) >= N - 10)


def test_a_constant_quantity_and_shared_groups_are_refused():
    with pytest.raises(ValueError, match="constant on the rows to choose on"):
        associations({"none": coordinates(quantity())}, np.where(CHOOSE, 1.0, quantity()))
    with pytest.raises(ValueError, match="both chosen and scored"):
        associations({"none": coordinates(quantity())}, quantity(), choose_N=SCORE)


def test_a_set_without_coordinates_is_left_out():
    empty = Coordinates(z_NL=np.empty((N, 0)), names=())
    assert set(associations({"none": coordinates(quantity()), "empty": empty}, quantity())) == {"none"}
