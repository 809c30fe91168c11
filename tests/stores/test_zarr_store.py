"""Stores are written once, whole shards, and say the same thing byte for byte whenever they say the same."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from stores import kondo_temperatures, layout, spectra
from stores.layout import shard_rows
from stores.manifest import VariableHash, read_manifest
from stores.schema import SchemaError, StoreSchema, Variable
from stores.validate import validate
from stores.zarr_store import StoreWriter, open_store, write_store

SPECTRA, KONDO_TEMPERATURES = spectra.SPECTRA, kondo_temperatures.KONDO_TEMPERATURES


def bytes_of(root: Path) -> dict[str, str]:
    return {
        str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in root.rglob("*") if f.is_file()
    }


@pytest.mark.parametrize(("schema", "tiny"), [(SPECTRA, spectra.tiny), (KONDO_TEMPERATURES, kondo_temperatures.tiny)])
def test_a_store_gives_back_what_was_written(schema, tiny, tmp_path):
    write_store(tmp_path / "s.zarr", schema, tiny())
    dataset = open_store(tmp_path / "s.zarr", schema)
    xr.testing.assert_equal(dataset.load(), tiny())
    assert {name: dataset[name].attrs for name in dataset.variables} == {v.name: v.attrs for v in schema.all_variables}


def test_equal_data_is_equal_bytes_and_equal_hash(tmp_path):
    first = write_store(tmp_path / "a.zarr", SPECTRA, spectra.tiny())
    second = write_store(tmp_path / "b.zarr", SPECTRA, spectra.tiny())
    assert first == second == read_manifest(tmp_path / "a.zarr")
    assert bytes_of(tmp_path / "a.zarr") == bytes_of(tmp_path / "b.zarr")


@pytest.mark.parametrize("change", ["value", "attribute", "row"])
def test_any_change_of_content_changes_the_hash(change, tmp_path):
    dataset = spectra.tiny()
    if change == "value":
        dataset["level"][:] = dataset["level"].values * 2
    elif change == "attribute":
        dataset.attrs["solver"] = "another"
    else:
        dataset = dataset.isel(sample=slice(4))
    changed = write_store(tmp_path / "b.zarr", SPECTRA, dataset)
    assert changed.hash != write_store(tmp_path / "a.zarr", SPECTRA, spectra.tiny()).hash


@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=12))
def test_rows_in_any_portions_make_the_same_store(tmp_path_factory, portions):
    root = tmp_path_factory.mktemp("portions")
    n_rows = sum(portions)
    columns = {
        "interaction": np.linspace(0.1, 0.2, n_rows),
        "hybridization": np.linspace(0.01, 0.02, n_rows),
        "level": np.full(n_rows, -0.05),
        "kondo_temperature": np.linspace(1e-4, 1e-3, n_rows),
        "kondo_temperature_error": np.full(n_rows, 1e-7),
        "status": np.zeros(n_rows, dtype=np.int8),
        "failure": np.full(n_rows, ""),
    }
    hashes = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SHARD_BYTES", 2048)  # many shards from few rows
        patch.setattr(layout, "CHUNK_BYTES", 512)
        for i, steps in enumerate((portions, [n_rows])):
            writer = StoreWriter(
                root / f"{i}", KONDO_TEMPERATURES, sizes={"sample": n_rows}, coordinates={}, attributes={}
            )
            ends = np.cumsum(steps)
            for start, stop in zip([0, *ends[:-1]], ends, strict=True):
                for name, column in columns.items():
                    writer.write(name, column[start:stop])
            hashes.append(writer.finish().hash)
    assert hashes[0] == hashes[1]
    assert bytes_of(root / "0") == bytes_of(root / "1")


def test_ragged_rows_live_in_flat_arrays_with_a_dimension_of_their_own(tmp_path):
    """Configurations of any size: flat arrays over atoms beside one row per configuration."""
    schema = StoreSchema(
        name="ragged",
        version="1",
        coordinates=(),
        variables=(
            Variable(name="n_atoms", dims=("configuration",), dtype="int64", units="dimensionless", description="n"),
            Variable(name="position", dims=("atom", "xyz"), dtype="float64", units="A", description="r"),
        ),
    )
    dataset = xr.Dataset({"n_atoms": ("configuration", [2, 1]), "position": (("atom", "xyz"), np.ones((3, 3)))})
    write_store(tmp_path / "s.zarr", schema, dataset)
    assert dict(open_store(tmp_path / "s.zarr", schema).sizes) == {"configuration": 2, "atom": 3, "xyz": 3}


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("interaction", np.zeros(3, dtype=np.float32), "found dtype float32, expected float64"),
        ("interaction", np.zeros((3, 2)), r"found rows of shape \(2,\), expected \(\)"),
        ("interaction", np.zeros(9), "found 9 rows, expected 3"),
        ("gamma", np.zeros(3), "found variable 'gamma', expected one of"),
    ],
)
def test_the_writer_refuses_what_does_not_fit(name, rows, message, tmp_path):
    writer = StoreWriter(tmp_path / "s", KONDO_TEMPERATURES, sizes={"sample": 3}, coordinates={}, attributes={})
    with pytest.raises(ValueError, match=message):
        writer.write(name, rows)
        writer.finish()


def test_a_store_without_all_its_rows_has_no_manifest(tmp_path):
    writer = StoreWriter(tmp_path / "s", KONDO_TEMPERATURES, sizes={"sample": 3}, coordinates={}, attributes={})
    with pytest.raises(ValueError, match="interaction: found 0 rows, expected 3"):
        writer.finish()
    with pytest.raises(ValueError, match="never finished"):
        read_manifest(tmp_path / "s")


def test_a_bad_dataset_leaves_the_old_store_alone(tmp_path):
    path = tmp_path / "s.zarr"
    old = write_store(path, SPECTRA, spectra.tiny())
    bad = spectra.tiny()
    bad["spectrum"][1, 2] = np.nan
    with pytest.raises(SchemaError, match="spectrum, row 1: found nan"):
        write_store(path, SPECTRA, bad)
    with pytest.raises(SchemaError, match="level, dataset: missing variable"):
        write_store(path, SPECTRA, spectra.tiny().drop_vars("level"))
    assert read_manifest(path) == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["s.zarr"]


def test_opening_another_kind_is_refused(tmp_path):
    write_store(tmp_path / "s.zarr", SPECTRA, spectra.tiny())
    with pytest.raises(SchemaError, match="found schema 'spectra', expected 'kondo_temperatures'"):
        open_store(tmp_path / "s.zarr", KONDO_TEMPERATURES)
    with pytest.raises(FileNotFoundError, match="no store found"):
        open_store(tmp_path / "nothing.zarr")


def test_shards_hold_whole_chunks_of_bounded_size():
    for trailing in ((), (3,), (333,), (10**7,)):
        for variable in SPECTRA.variables:
            chunk, shard = shard_rows(variable, trailing)
            assert shard % chunk == 0
            assert chunk == 1 or chunk * np.prod(trailing, dtype=int) <= layout.CHUNK_BYTES


def test_the_hash_of_a_variable_does_not_depend_on_blocks():
    values = np.arange(12.0).reshape(6, 2)
    whole, parts = (VariableHash("a", "float64", (6, 2), ("x", "y"), {}) for _ in range(2))
    whole.update(values)
    parts.update(values[:1])
    parts.update(values[1:])
    assert whole.hexdigest() == parts.hexdigest()


def test_a_written_store_is_valid(tmp_path):
    write_store(tmp_path / "s.zarr", SPECTRA, spectra.tiny())
    assert validate(tmp_path / "s.zarr") == []
