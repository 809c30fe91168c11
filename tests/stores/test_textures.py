import json

import numpy as np
import pytest

from stores.schema import SchemaError
from stores.textures import schema_of, textures_schema, tiny
from stores.validate import find_schema, report
from stores.zarr_store import open_store, write_store

SCHEMA = textures_schema(["efficientnet", "two_point"])


def test_example_is_valid_and_found_by_its_own_attributes(tmp_path, capsys):
    write_store(tmp_path / "textures.zarr", SCHEMA, tiny())
    assert report(tmp_path / "textures.zarr") == 0
    assert "valid textures store" in capsys.readouterr().out
    attributes = open_store(tmp_path / "textures.zarr").attrs
    assert [v.name for v in schema_of(attributes).variables] == [v.name for v in SCHEMA.variables]


def test_a_vector_of_another_length_is_refused(tmp_path):
    dataset = tiny()
    dataset["two_point"].values[1] *= 0.9
    with pytest.raises(SchemaError, match=r"two_point, row 1: expected feature vectors of length 1"):
        write_store(tmp_path / "textures.zarr", SCHEMA, dataset)


def test_a_missing_descriptor_is_reported(tmp_path):
    with pytest.raises(SchemaError, match="vgg19, dataset: missing variable"):
        write_store(tmp_path / "textures.zarr", textures_schema(["efficientnet", "two_point", "vgg19"]), tiny())


@pytest.mark.parametrize("message", [None, "no JSON", json.dumps({"a": 1}), json.dumps([1])])
def test_a_store_that_does_not_tell_its_descriptors_has_no_schema(message):
    attributes = {} if message is None else {"descriptors": message}
    with pytest.raises(ValueError, match="expected a JSON list of names"):
        schema_of(attributes)
    assert find_schema("textures", attributes) is None


def test_schemas_of_the_same_descriptors_find_the_same_faults():
    broken = tiny()
    broken["efficientnet"].values[0, 0] = np.nan
    from stores.schema import block_violations

    assert [v.where for v in block_violations(broken, schema_of(broken.attrs))][:1] == ["row 0"]
