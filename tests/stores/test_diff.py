"""Two stores of one kind are compared by what their samples are, not by where they stand, and in bounded memory."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from stores import (
    atoms,
    kondo_temperatures,
    latents,
    micrographs,
    microstructures,
    pseudogap,
    sample_keys,
    spectra,
    textures,
)
from stores.atoms import ATOMS, columns_of, dataset_of, frames_of
from stores.diff import StoreDifference, compare_stores
from stores.microstructures import MICROSTRUCTURES
from stores.sample_keys import KEYS, SampleKey, pair_rows
from stores.schema import StoreSchema, Variable
from stores.spectra import SPECTRA
from stores.zarr_store import open_store, write_store

KINDS = {
    "spectra": (spectra.tiny, spectra.SPECTRA),
    "kondo_temperatures": (kondo_temperatures.tiny, kondo_temperatures.KONDO_TEMPERATURES),
    "latents": (latents.tiny, latents.LATENTS),
    "microstructures": (microstructures.tiny, microstructures.MICROSTRUCTURES),
    "textures": (textures.tiny, textures.textures_schema(["efficientnet", "two_point"])),
    "atoms": (atoms.tiny, atoms.ATOMS),
    "micrographs": (micrographs.tiny, micrographs.MICROGRAPHS),
}


def difference(folder: Path, schema: StoreSchema, first: xr.Dataset, second: xr.Dataset, **more) -> StoreDifference:
    for name, dataset in (("a", first), ("b", second)):
        write_store(folder / f"{name}.zarr", schema, dataset)
    return compare_stores(open_store(folder / "a.zarr"), open_store(folder / "b.zarr"), **more)


def changed(found: StoreDifference) -> set[str]:
    return {value.name for value in found.values}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_store_has_a_key_and_equals_itself(kind: str, tmp_path: Path):
    tiny, schema = KINDS[kind]
    found = difference(tmp_path, schema, tiny(), tiny())
    assert kind in KEYS
    assert found.identical
    assert (found.removed, found.added, found.values, found.attributes) == ([], [], [], {})


def test_rows_of_the_pseudogap_are_told_apart_by_exponent_and_distance(tmp_path: Path):
    """Its module declares the key; another T* is a change of the same row, another distance is another row."""
    first, second = pseudogap.tiny(), pseudogap.tiny()
    second["crossover_temperature"][0] = 7e-17
    found = difference(tmp_path, pseudogap.PSEUDOGAP, first, second)
    assert (found.removed, found.added, changed(found)) == ([], [], {"crossover_temperature"})


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "atoms"])
def test_the_columns_of_a_key_are_in_the_schema(kind: str):
    tiny, schema = KINDS[kind]
    key, names = KEYS[kind], {variable.name for variable in schema.all_variables}
    assert {*key.columns, *key.results, *(key.codes or {})} <= names
    assert len(np.unique(sample_keys.key_digests(tiny(), key, key.names(tiny()), 100), axis=0)) > 1


def test_samples_that_were_taken_away_or_put_in_between_are_found_by_what_they_are(tmp_path: Path):
    first = spectra.tiny()
    second = first.isel(sample=[4, 1, 2, 3]).copy(deep=True)
    second["temperature"][3] = 2e-3
    found = difference(tmp_path, SPECTRA, first, second)
    assert (found.removed, found.added, found.n_common, found.moved) == ([0, 3], [3], 3, 1)
    assert found.values == []
    assert found.sizes["sample"] == (5, 4)
    text = "\n".join(found.lines())
    assert "samples: 3 in both, 2 removed, 1 added" in text
    assert "paired by: same interaction, hybridization, level, field, temperature, mirrored" in text


def test_values_that_changed_are_counted_with_the_largest_and_the_root_mean_square(tmp_path: Path):
    first, second = spectra.tiny(), spectra.tiny()
    second["spectrum"][1, 2:4] += np.float32([0.03, 0.04])
    second["spectral_weight"][1] -= 0.1
    second["kondo_temperature"][0] = np.nan
    second["failure"][4] = "another reason"
    by_name = {value.name: value for value in difference(tmp_path, SPECTRA, first, second).values}
    assert by_name.keys() == {"spectrum", "spectral_weight", "kondo_temperature", "failure"}
    spectrum = by_name["spectrum"]
    assert (spectrum.n_changed_samples, spectrum.n_samples, spectrum.n_changed_cells) == (1, 5, 2)
    assert spectrum.largest == pytest.approx(0.04, rel=1e-5)
    assert spectrum.rms == pytest.approx(np.sqrt((0.03**2 + 0.04**2) / 2), rel=1e-5)
    assert spectrum.rows == [(1, 1)]
    weight, missing = by_name["spectral_weight"], by_name["kondo_temperature"]
    assert weight.largest == pytest.approx(0.1)
    assert (missing.n_vanished, missing.n_appeared, missing.largest) == (1, 0, None)
    assert by_name["failure"].line() == "failure: 1 of 5 rows, 1 cells (row 4)"


def test_a_row_that_moved_is_compared_with_itself(tmp_path: Path):
    first = spectra.tiny()
    second = first.isel(sample=[2, 0, 1, 3, 4]).copy(deep=True)
    second["spectral_weight"][0] = 0.5  # row 2 of the first
    found = difference(tmp_path, SPECTRA, first, second)
    assert changed(found) == {"spectral_weight"}
    assert found.values[0].rows == [(2, 0)]
    assert found.moved == 3


def test_attributes_are_compared_inside_their_json(tmp_path: Path):
    first, second = spectra.tiny(), spectra.tiny()
    first.attrs["settings"] = json.dumps({"n_keep": 64, "grid": {"maximum": 0.98}})
    second.attrs["settings"] = json.dumps({"n_keep": 160, "grid": {"maximum": 0.98}, "n_z": 2})
    found = difference(tmp_path, SPECTRA, first, second)
    assert found.attributes == {"settings.n_keep": (64, 160), "settings.n_z": (None, 2)}
    assert not found.identical and found.values == []


def test_frames_are_the_same_where_elements_positions_and_cell_are(tmp_path: Path):
    first = atoms.tiny()
    frames = frames_of(first, rows=[1, 0])
    second = dataset_of(columns_of(frames), first.attrs)
    second["energy"][1] += 0.5
    second["force"][1:3, 2] += np.array([0.25, -0.25])  # two atoms of what is row 1
    found = difference(tmp_path, ATOMS, first, second)
    assert (found.n_common, found.removed, found.added, found.moved) == (2, [2], [], 2)
    by_name = {value.name: value for value in found.values}
    assert by_name.keys() == {"energy", "force"}
    assert by_name["energy"].largest == 0.5
    assert (by_name["force"].n_samples, by_name["force"].n_changed_samples) == (2, 1)
    assert by_name["force"].rows == [(0, 1)]
    second["position"][2, 0] += 1e-9
    found = difference(tmp_path, ATOMS, first, second)
    assert (found.n_common, found.removed, found.added) == (1, [0, 2], [1])


def test_generators_are_compared_by_name_and_realisations_in_their_order(tmp_path: Path):
    first = microstructures.tiny()
    names = list(microstructures.GENERATORS)
    renamed = [names[1], names[0], *names[2:]]
    schema = microstructures.microstructures_schema({name: microstructures._known(name) for name in renamed})
    columns = {name: first[name].values.copy() for name in first.variables}
    columns["generator"] = np.array([renamed.index(names[code]) for code in columns["generator"]], dtype=np.int8)
    second = schema.dataset(columns, {**first.attrs, "generators": json.dumps(renamed)})
    second["image"][1] = 1 - second["image"][1]
    write_store(tmp_path / "a.zarr", MICROSTRUCTURES, first)
    write_store(tmp_path / "b.zarr", schema, second)
    found = compare_stores(open_store(tmp_path / "a.zarr"), open_store(tmp_path / "b.zarr"))
    assert (found.n_common, found.removed, found.added) == (7, [], [])
    assert changed(found) == {"image"}
    assert found.values[0].rows == [(1, 1)]  # the second realisation of the first point


def test_what_cannot_be_compared_is_said(tmp_path: Path):
    first, second = spectra.tiny(), spectra.tiny().isel(omega=slice(1, -1))
    problems = {value.name: value.problem for value in difference(tmp_path, SPECTRA, first, second).values}
    assert problems == {
        "omega": "shape (11,) -> (9,), not compared",
        "spectrum": "shape of a row (11,) -> (9,), not compared",
    }


def test_a_schema_declares_its_own_key_and_one_without_is_compared_row_by_row(tmp_path: Path, monkeypatch):
    first, second = spectra.tiny(), spectra.tiny().isel(sample=[1, 0, 2, 3, 4])
    monkeypatch.setattr(sample_keys, "KEYS", {})
    found = difference(tmp_path, SPECTRA, first, second)
    assert "by row number" in found.rule
    assert {"level", "mirrored", "spectrum"} <= changed(found)
    monkeypatch.setattr(spectra, "SAMPLE_KEY", SampleKey(dim="sample", columns=("level", "temperature")), raising=False)
    found = compare_stores(open_store(tmp_path / "a.zarr"), open_store(tmp_path / "b.zarr"))
    assert (found.rule, found.values) == ("same level, temperature; equal ones in their order", [])


def test_other_kinds_and_unfinished_stores_are_refused_in_one_message(tmp_path: Path):
    write_store(tmp_path / "a.zarr", SPECTRA, spectra.tiny())
    write_store(tmp_path / "b.zarr", ATOMS, atoms.tiny())
    opened = [open_store(tmp_path / f"{name}.zarr") for name in "ab"]
    with pytest.raises(ValueError, match=r"different kinds, first of schema spectra and second of schema atoms"):
        compare_stores(*opened)
    foreign, unfinished = opened[0].copy(), opened[1].copy()
    foreign.attrs = {"title": "something"}
    unfinished.attrs = {"schema": "atoms"}
    with pytest.raises(ValueError, match=r"first: found a Zarr group with the attributes \['title'\].*\n.*no manifest"):
        compare_stores(foreign, unfinished)


@given(st.lists(st.integers(0, 3), max_size=20), st.lists(st.integers(0, 3), max_size=20))
@settings(deadline=None)
def test_pairs_are_the_common_multiset_each_in_order(first: list[int], second: list[int]):
    digests = [np.array([(value, 7) for value in some], dtype=np.uint64).reshape(-1, 2) for some in (first, second)]
    rows, others = pair_rows(*digests)
    assert [first[row] for row in rows] == [second[other] for other in others]
    assert len(rows) == sum(min(first.count(value), second.count(value)) for value in range(4))
    assert sorted(set(rows)) == rows.tolist() and len(set(others.tolist())) == len(others)
    for value in range(4):
        assert [other for row, other in zip(rows, others, strict=True) if first[row] == value] == [
            place for place, other in enumerate(second) if other == value
        ][: len([row for row in rows if first[row] == value])]


@given(block_bytes=st.sampled_from([1, 50, 500, 10**6]), kind=st.sampled_from(["spectra", "atoms"]))
@settings(deadline=None, max_examples=8)
def test_the_size_of_blocks_changes_nothing(block_bytes: int, kind: str, tmp_path_factory):
    tiny, schema = KINDS[kind]
    first, second = tiny(), tiny()
    name = "spectrum" if kind == "spectra" else "position"
    second[name][0] += 0.01
    folder = tmp_path_factory.mktemp("blocks")
    found = difference(folder, schema, first, second, block_bytes=block_bytes)
    assert found == compare_stores(open_store(folder / "a.zarr"), open_store(folder / "b.zarr"))


@pytest.mark.slow
def test_memory_stays_bounded_however_large_the_store(tmp_path: Path):
    """64 MiB of rows in each store, in another order: blocks of 1 MiB, and the few shards that zarr decodes at once."""
    schema = StoreSchema(
        name="textures",
        version="1",
        coordinates=(),
        variables=(
            Variable("image_row", ("sample",), "int64", "dimensionless", "row"),
            Variable("features", ("sample", "feature"), "float64", "dimensionless", "numbers"),
        ),
    )
    n_rows, n_features = 8192, 1024
    values = np.random.default_rng(0).standard_normal((n_rows, n_features))
    for name, order in (("a", np.arange(n_rows)), ("b", np.roll(np.arange(n_rows), 100))):
        dataset = schema.dataset({"image_row": order, "features": values[order]}, {"descriptors": "[]"})
        dataset["features"][0, 0] += name == "b"
        _write_unvalidated(tmp_path / f"{name}.zarr", schema, dataset)
    del values, dataset
    tracemalloc.start()
    try:
        found = compare_stores(open_store(tmp_path / "a.zarr"), open_store(tmp_path / "b.zarr"), block_bytes=2**20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (found.n_common, found.moved, found.values[0].n_changed_cells) == (n_rows, n_rows, 1)
    assert peak < 40 * 2**20


def _write_unvalidated(path: Path, schema: StoreSchema, dataset: xr.Dataset) -> None:
    from stores.zarr_store import StoreWriter

    writer = StoreWriter(path, schema, sizes=dict(dataset.sizes), coordinates={}, attributes=dataset.attrs)
    for variable in schema.variables:
        writer.write(variable.name, dataset[variable.name].values)
    writer.finish()
