"""`latentlaw validate PATH` rejects every kind of damage and says where it is; it passes what is sound."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import zarr

from stores import spectra
from stores.spectra import SPECTRA
from stores.validate import find_schema, report
from stores.zarr_store import write_store


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "spectra.zarr"
    write_store(path, SPECTRA, spectra.tiny())
    return path


@pytest.fixture
def store(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "spectra.zarr")


def rejection(path, capsys, manifest_file=None):
    assert report(path, manifest_file) == 1
    return capsys.readouterr().out


def edit_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_sound_store_passes_in_its_own_process(sound):
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "validate", sound], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "valid spectra store, version 3" in done.stdout


def test_a_missing_shard_is_found(store, capsys):
    (store / "spectrum" / "c" / "0" / "0").unlink()
    assert "spectrum, rows 0 to 4: shard c/0/0 is missing" in rejection(store, capsys)


def test_a_truncated_shard_is_found(store, capsys):
    shard = store / "level" / "c" / "0"
    shard.write_bytes(shard.read_bytes()[:-7])
    message = rejection(store, capsys)
    assert "level, rows 0 to 4: cannot be decoded, the file is damaged" in message


def test_an_empty_shard_is_found(store, capsys):
    (store / "omega" / "c" / "0").write_bytes(b"")
    assert "omega, rows 0 to 10: cannot be decoded" in rejection(store, capsys)


@pytest.mark.parametrize("name", ["spectrum/c/0/0", "failure/c/0", "status/c/0", "mirrored/c/0"])
def test_every_flipped_bit_of_a_shard_is_found(name, store, capsys):
    shard = store / name
    content = shard.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.choice(len(content), size=8, replace=False):
        broken = bytearray(content)
        broken[position] ^= 1 << int(rng.integers(8))
        shard.write_bytes(broken)
        assert "cannot be decoded" in rejection(store, capsys), position


def test_a_nan_written_into_a_cell_is_found(store, capsys):
    zarr.open_array(store / "spectrum", mode="r+")[3, 2] = np.nan
    message = rejection(store, capsys)
    assert "spectrum, row 3: found nan, expected finite numbers" in message
    assert "spectrum, manifest: found hash" in message


def test_an_allowed_value_that_was_altered_breaks_the_hash(store, capsys):
    zarr.open_array(store / "level", mode="r+")[0] = 0.123
    assert "level, manifest: found hash" in rejection(store, capsys)


def test_altered_attributes_break_the_hash(store, capsys):
    edit_json(store / "zarr.json", lambda group: group["attributes"].update(settings='{"n_keep": 1}'))
    assert "(store), manifest: found hash of cells and attributes" in rejection(store, capsys)


@pytest.mark.parametrize("name", ["zarr.json", "spectrum/zarr.json"])
def test_a_flipped_bit_of_metadata_is_found(name, store, capsys):
    content = (store / name).read_bytes()
    for position in range(3, len(content), len(content) // 8):
        broken = bytearray(content)
        broken[position] ^= 2
        (store / name).write_bytes(broken)
        assert "violation(s)" in rejection(store, capsys), content[position - 9 : position + 9]


def test_another_dtype_and_other_units_are_found(store, capsys):
    group = zarr.open_group(store, mode="r+")
    del group["level"]
    group.create_array(
        "level", data=np.full(5, -0.05, dtype=np.float32), dimension_names=("sample",), attributes={"units": "D"}
    )
    edit_json(store / "field" / "zarr.json", lambda array: array["attributes"].update(units="T"))
    message = rejection(store, capsys)
    assert "level, structure: expected dtype" in message
    assert "field, structure: attribute mismatch 'units': expected 'D', got 'T'" in message


def test_another_schema_version_is_found(store, capsys):
    edit_json(store / "zarr.json", lambda group: group["attributes"].update(schema_version="0"))
    assert "schema_version" in rejection(store, capsys)


def test_missing_and_extra_variables_and_files_are_found(store, capsys):
    shutil.move(store / "level", store / "eps")
    (store / "note.txt").write_text("hello")
    message = rejection(store, capsys)
    assert "level" in message
    assert "eps" in message
    assert "note.txt: unexpected file" in message


def test_variables_of_unequal_length_are_found(store, capsys):
    zarr.open_array(store / "level", mode="r+").resize((4,))
    assert "dimension sample: found lengths" in rejection(store, capsys)


def test_broken_metadata_is_found(store, capsys):
    (store / "level" / "zarr.json").write_text("{")
    assert "level, zarr.json: metadata cannot be read" in rejection(store, capsys)
    (store / "zarr.json").write_text("{")
    assert "metadata cannot be read" in rejection(store, capsys)


def test_a_store_that_was_never_finished_is_found(store, capsys):
    edit_json(store / "zarr.json", lambda group: group["attributes"].pop("manifest"))
    assert "no manifest: the store was never finished" in rejection(store, capsys)


def test_all_damages_are_reported_at_once(store, capsys):
    (store / "level" / "c" / "0").unlink()
    zarr.open_array(store / "spectrum", mode="r+")[1, 0] = np.nan
    edit_json(store / "zarr.json", lambda group: group["attributes"].update(schema_version="0"))
    message = rejection(store, capsys)
    for part in ("level, rows 0 to 4", "spectrum, row 1", "schema_version"):
        assert part in message


def test_a_manifest_beside_the_store_is_compared(store, capsys, tmp_path):
    manifest = tmp_path / "spectra.json"
    manifest.write_text(json.dumps({"hash": "0" * 64}))
    assert "expected 0000" in rejection(store, capsys, manifest)
    manifest.write_text("{}")
    assert "no hash can be compared" in rejection(store, capsys, manifest)


def test_what_is_no_store_is_reported(tmp_path, capsys):
    assert "found no zarr.json" in rejection(tmp_path, capsys)
    assert "found no zarr.json" in rejection(tmp_path / "nothing", capsys)
    zarr.open_group(tmp_path / "other.zarr", mode="w", attributes={"schema": "elsewhere"})
    assert "found schema 'elsewhere', expected the name of a schema in stores/" in rejection(
        tmp_path / "other.zarr", capsys
    )


def test_schemas_are_found_by_name_only_in_stores():
    assert find_schema("spectra") is SPECTRA
    assert all(find_schema(name) is None for name in ("zarr_store", "../x", "nothing", None, 3))
