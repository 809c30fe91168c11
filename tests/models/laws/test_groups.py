"""Rows of one group are never separated, and a growing store keeps the lots of its groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.laws.groups import split_by_group


@given(
    groups=st.lists(st.integers(0, 40), min_size=3, max_size=200).filter(lambda g: len(set(g)) >= 3),
    seed=st.integers(0, 1000),
)
def test_groups_stay_together_and_no_part_is_empty(groups, seed):
    groups = np.array(groups)
    split = split_by_group(groups, validation=0.1, test=0.2, seed=seed)
    assert set(split) == {0, 1, 2}
    for group in set(groups):
        assert len(set(split[groups == group])) == 1


def test_shares_are_met_on_average():
    split = split_by_group(np.arange(5000), validation=0.1, test=0.2, seed=1)
    assert (np.bincount(split) / 5000).tolist() == pytest.approx([0.7, 0.1, 0.2], abs=0.02)


def test_more_groups_leave_the_lots_of_the_others():
    few = split_by_group(np.arange(100), validation=0.1, test=0.2, seed=1)
    many = split_by_group(np.arange(300), validation=0.1, test=0.2, seed=1)
    assert (many[:100] == few).all()


def test_a_share_of_zero_stays_empty():
    assert set(split_by_group(np.arange(50), validation=0.0, test=0.1, seed=0)) == {0, 2}
    assert set(split_by_group(np.arange(50), validation=0.1, test=0.0, seed=0)) == {0, 1}
    assert set(split_by_group(np.arange(2), validation=0.01, test=0.0, seed=0)) == {0, 1}
    assert set(split_by_group(np.zeros(3, dtype=int), validation=0.0, test=0.0, seed=0)) == {0}


def test_too_few_groups_or_impossible_shares_are_reported():
    with pytest.raises(ValueError, match=r"found 2 molecules, expected at least 3 \(train, validation, test\)"):
        split_by_group(np.array([0, 0, 1]), validation=0.1, test=0.1, seed=0, what="molecules")
    with pytest.raises(ValueError, match="expected >= 0 with sum below 1"):
        split_by_group(np.arange(9), validation=0.5, test=0.5, seed=0)
