"""Stage `microstructures`: draw generator parameters, make synthetic micrographs of each point.

    reads   params.yaml: microstructures
    writes  data/microstructures.zarr             (stores.microstructures)
            reports/metrics/microstructures.json  {n_images, n_failed, hash}

Which points and which random numbers: pipeline.microstructure.sampling. Neither more points, nor a further generator,
nor the number of workers change an image that was there before. Each generator says how its parameters are drawn
(models/physics/microstructure).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from models.physics.microstructure.generator import GENERATORS, Shape
from models.settings import settings
from pipeline.microstructure.records import MicrostructuresMetrics
from pipeline.microstructure.sampling import Micrograph, draw_images, make_image
from pipeline.runtime.content_key import numerical_versions, shard_key
from pipeline.runtime.execution import load_execution
from pipeline.runtime.kept_results import Arrays
from pipeline.runtime.params import load_params
from pipeline.runtime.shards import Recipe, generate_store, shards_of
from pipeline.runtime.stage import run_stage
from stores.microstructures import PARAMETERS, generator_attributes, microstructures_schema, parameter_columns
from stores.outcome import FAILED, OK
from stores.zarr_store import open_store

__all__ = ["Micrograph", "MicrostructuresParams", "draw_micrographs", "generate", "main", "make_shard"]

OUT = Path("data/microstructures.zarr")


@settings
class MicrostructuresParams:
    """Section `microstructures` of params.yaml. The order of `generators` is part of the seed: add at the end."""

    seed: NonNegativeInt
    shape: Shape
    periodic: bool
    images_per_shard: PositiveInt
    generators: Annotated[dict[str, Any], GENERATORS.by_name]

    def __post_init__(self) -> None:
        made = {name: generator for name, generator in self.generators.items() if generator.n_points}
        problems = [f"{name}.{problem}" for name, made_by in made.items() for problem in made_by.problems(self.shape)]
        if not made:
            problems.append("found n_points 0 for all generators, expected some; nothing would be made")
        if problems:
            raise ValueError("; ".join(problems))

    def as_dict(self) -> dict[str, Any]:
        """What shapes the images, for the store."""
        common = {"seed": self.seed, "shape": self.shape, "periodic": self.periodic}
        return common | {name: asdict(generator) for name, generator in self.generators.items()}


def main() -> None:
    generate(load_params(MicrostructuresParams, "microstructures"))


def generate(params: MicrostructuresParams) -> None:
    """Make the store and its metrics in the working directory."""
    parameters = {name: dict(generator.parameters) for name, generator in params.generators.items()}
    schema = microstructures_schema(parameters)
    recipe = Recipe(
        out=OUT,
        schema=schema,
        key=shard_key("microstructures", params.seed, sorted(parameter_columns(parameters))),
        shards=shards_of(draw_micrographs(params), params.images_per_shard),
        solve_shard=partial(make_shard, seed=params.seed, columns=parameter_columns(parameters)),
        versions=numerical_versions("microstructures"),
        placed=("group", "n_points", "n_realisations"),
        place=place_after,
        coordinates={},
        attributes={
            **generator_attributes(parameters),
            "periodic": params.periodic,
            "settings": json.dumps(params.as_dict(), sort_keys=True),
        },
        unit="images",
    )
    manifest = generate_store(recipe, load_execution())
    n_images = manifest.sizes["sample"]
    n_failed = int((open_store(OUT, schema)["status"] != OK).sum())
    MicrostructuresMetrics.of({"n_images": n_images, "n_failed": n_failed, "hash": manifest.hash}).write()
    print(f"{OUT}: {n_images} images, {n_failed} failed, hash {manifest.hash[:16]}", flush=True)


def draw_micrographs(params: MicrostructuresParams) -> list[Micrograph]:
    """All images of all generators, realisations of one point in a row."""
    return draw_images(params.generators, params.shape, periodic=params.periodic, seed=params.seed)


def place_after(columns: Arrays, micrographs: Sequence[Micrograph], n_before: Mapping[str, int]) -> Arrays:
    """The same columns with the groups of their images in the store."""
    return columns | {"group": np.array([m.group for m in micrographs], dtype=np.int64)}


def make_shard(micrographs: Sequence[Micrograph], *, seed: int, columns: Sequence[str] = tuple(PARAMETERS)) -> Arrays:
    """Rows of these images, with the parameters in `columns`; one that cannot be made is recorded in its row."""
    images, failures = zip(*(make_image(m, seed=seed) for m in micrographs), strict=True)
    failed = np.array([reason != "" for reason in failures])
    parameters: Arrays = {
        name: np.array([float(getattr(m.point, name, np.nan)) for m in micrographs]) for name in columns
    }
    return parameters | {
        "image": np.stack(images),
        "generator": np.array([m.code for m in micrographs], dtype=np.int8),
        "status": np.where(failed, FAILED, OK).astype(np.int8),
        "failure": np.array(failures),
    }


if __name__ == "__main__":
    run_stage("microstructures", main)
