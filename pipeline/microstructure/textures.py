"""Stage `textures`: describe every micrograph by feature vectors of unit length, one for each descriptor.

    reads   params.yaml: textures, data/microstructures.zarr
    writes  data/textures.zarr             (stores.textures.textures_schema)
            reports/metrics/textures.json  {n_images, n_features: {descriptor: number}, hash}

One task is one block of images, read by the worker that describes them: memory does not grow with their number.
Networks run on a GPU where there is one, and then in one process; otherwise in one process per core.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import PositiveInt

from models.descriptors.descriptor import (
    Descriptor,
    DescriptorName,
    DescriptorSettings,
    make_descriptor,
    require_images,
)
from models.settings import Some, settings
from pipeline.microstructure.records import TexturesMetrics
from pipeline.runtime.content_key import numerical_versions, shard_key
from pipeline.runtime.execution import load_execution
from pipeline.runtime.kept_results import Arrays
from pipeline.runtime.params import load_params
from pipeline.runtime.shards import Recipe, generate_store, shards_of
from pipeline.runtime.stage import run_stage
from stores.microstructures import open_microstructures
from stores.outcome import OK
from stores.textures import textures_schema

__all__ = ["TexturesParams", "describe_shard", "generate", "main"]

IMAGES = Path("data/microstructures.zarr")
ROWS_AT_ONCE = 1000
IntArray = NDArray[np.int64]
OUT = Path("data/textures.zarr")


@settings
class TexturesParams:
    """Section `textures` of params.yaml."""

    descriptors: Some[DescriptorName]
    images_per_shard: PositiveInt
    settings: DescriptorSettings

    def __post_init__(self) -> None:
        if len(set(self.descriptors)) < len(self.descriptors):
            raise ValueError(f"found descriptors {list(self.descriptors)}, expected each of them once")


@dataclass(frozen=True, kw_only=True)
class Image:
    """One to describe: what it is, and where it stands."""

    row: int
    group: int
    sha256: str


def main() -> None:
    generate(load_params(TexturesParams, "textures"))


def generate(params: TexturesParams) -> None:
    """Make the store and its metrics in the working directory."""
    images = open_microstructures(IMAGES)
    shape = images.sizes["y"], images.sizes["x"]
    rows = np.flatnonzero(images["status"].values == OK)
    made = _descriptors(params.descriptors, params.settings, shape)  # what is missing or does not fit is an error here
    device = _device()
    recipe = Recipe(
        out=OUT,
        schema=textures_schema(params.descriptors),
        key=shard_key("textures", params.descriptors, params.settings.as_dict(), shape, device),
        shards=shards_of(_images(images, rows), params.images_per_shard),
        solve_shard=partial(describe_shard, names=params.descriptors, settings=params.settings, shape=shape),
        versions=numerical_versions("textures"),
        placed=("row", "group"),
        place=place_after,
        coordinates={},
        attributes={
            "descriptors": json.dumps(params.descriptors),
            "settings": json.dumps(params.settings.as_dict(), sort_keys=True),
        },
        unit="images",
    )
    execution = load_execution()
    if device == "cuda" and execution.scheduler == "local":
        execution = replace(execution, scheduler="serial")
    manifest = generate_store(recipe, execution)
    n_images, n_features = manifest.sizes["sample"], {descriptor.name: descriptor.n_features for descriptor in made}
    TexturesMetrics(n_images=n_images, n_features=n_features, hash=manifest.hash).write()
    print(f"{OUT}: {n_images} images, {len(made)} descriptors, hash {manifest.hash[:16]}", flush=True)


def _images(store: xr.Dataset, rows: IntArray) -> list[Image]:
    """Some thousand images are read at a time."""
    groups = store["group"].values
    blocks = np.array_split(rows, max(1, rows.size // ROWS_AT_ONCE))
    hashes = [hashlib.sha256(image.tobytes()).hexdigest() for block in blocks for image in store["image"][block].values]
    return [
        Image(row=int(row), group=int(groups[row]), sha256=sha256) for row, sha256 in zip(rows, hashes, strict=True)
    ]


def place_after(columns: Arrays, images: Sequence[Image], n_before: Mapping[str, int]) -> Arrays:
    """The same columns with where their images stand."""
    return columns | {
        "image_row": np.array([image.row for image in images], dtype=np.int64),
        "group": np.array([image.group for image in images], dtype=np.int64),
    }


def describe_shard(
    images: Sequence[Image], *, names: tuple[str, ...], settings: DescriptorSettings, shape: tuple[int, int]
) -> Arrays:
    """Features of these images. Raises ValueError that names the rows which cannot be described."""
    rows = [image.row for image in images]
    images_BHW = open_microstructures(IMAGES)["image"][np.asarray(rows)].values
    require_images(images_BHW, shape, rows=rows)
    return {made.name: made.describe(images_BHW) for made in _descriptors(names, settings, shape)}


@cache
def _descriptors(names: Some[str], settings: DescriptorSettings, shape: tuple[int, int]) -> tuple[Descriptor, ...]:
    """Made once per process: networks read their weights."""
    return tuple(make_descriptor(name, settings, shape) for name in names)


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    run_stage("textures", main)
