"""Shards are named by what is in them: the same items have one name in a dataset of any size, others have another."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from pipeline.runtime.shard_names import shard_name


@dataclass(frozen=True)
class Sample:
    index: int
    energy: float
    positions: object = None


ITEMS = [Sample(0, 0.1, np.arange(3.0)), Sample(1, 0.2)]


def test_a_name_does_not_depend_on_the_place_of_the_items():
    moved = [replace(item, index=item.index + 1700) for item in ITEMS]
    assert shard_name(ITEMS, ("index",)) == shard_name(moved, ("index",))
    assert shard_name(ITEMS) != shard_name(moved)


@pytest.mark.parametrize(
    "change", [{"energy": np.nextafter(0.1, 1)}, {"positions": np.arange(3)}, {"positions": np.array([0.0, 1.0, -2.0])}]
)
def test_whatever_shapes_a_shard_changes_its_name(change):
    assert shard_name([replace(ITEMS[0], **change), ITEMS[1]]) != shard_name(ITEMS)
    assert shard_name(ITEMS[::-1]) != shard_name(ITEMS) != shard_name(ITEMS[:1])


def test_items_that_are_made_as_they_are_asked_for_have_names():
    assert shard_name(range(1000, 1003)) == shard_name([1000, 1001, 1002]) != shard_name([1000, 1001, 1003])


def test_numbers_that_json_does_not_know_have_names():
    unknown = [replace(ITEMS[0], positions=np.array([0.0, value])) for value in (np.nan, np.inf, 1.0)]
    names = {shard_name([item]) for item in [*unknown, Sample(0, float("nan")), Sample(0, float("inf"))]}
    assert len(names) == 5


def test_what_has_no_form_of_its_own_is_refused():
    with pytest.raises(TypeError, match="expected dataclasses, arrays, numbers and texts"):
        shard_name([object()])
