"""The contract of `data/microstructures.zarr`: the example keeps it, and each way of breaking it is refused."""

import json

import numpy as np
import pytest

from stores.microstructures import GENERATORS, MICROSTRUCTURES, PARAMETERS, tiny
from stores.schema import SchemaError
from stores.validate import find_schema
from stores.zarr_store import open_store, write_store


def test_the_example_is_valid_and_comes_back(tmp_path):
    write_store(tmp_path / "m.zarr", MICROSTRUCTURES, tiny())
    back = open_store(tmp_path / "m.zarr", MICROSTRUCTURES).load()
    assert find_schema("microstructures") is MICROSTRUCTURES
    assert tuple(json.loads(back.attrs["generators"])) == GENERATORS
    np.testing.assert_array_equal(back["image"].values, tiny()["image"].values)


@pytest.mark.parametrize(
    ("name", "row", "value", "message"),
    [
        ("image", 0, np.nan, "finite numbers"),
        ("image", 0, 1.5, "values <= 1"),
        ("image", 0, 0.25, "contrast where status is 0"),
        ("image", 6, 0.25, "zeros elsewhere"),
        ("generator", 2, 9, "one of [0, 1, 2, 3]"),
        ("angle", 3, 0.5, "NaN in those of others"),
        ("angle", 2, np.nan, "numbers in the parameters of the generator"),
        ("scale_px", 1, 5.0, "one set of parameters in all rows of a group"),
        ("failure", 0, "broken", "a reason exactly where status is not 0"),
        ("phase_order", 3, 1.5, "values <= 1"),
    ],
)
def test_a_broken_row_is_named(tmp_path, name, row, value, message):
    dataset = tiny()
    dataset[name].values[row] = value
    with pytest.raises(SchemaError, match=message.replace("[", r"\[").replace("]", r"\]")) as raised:
        write_store(tmp_path / "m.zarr", MICROSTRUCTURES, dataset)
    assert str(row) in str(raised.value)
    assert not (tmp_path / "m.zarr").exists()


def test_every_parameter_column_belongs_to_known_generators():
    assert {owner for owners in PARAMETERS.values() for owner in owners} <= set(GENERATORS)
