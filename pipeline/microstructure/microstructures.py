"""Stage `microstructures`: draw generator parameters, make synthetic micrographs of each point.

    reads   params.yaml: microstructures
    writes  data/microstructures.zarr             (stores.microstructures)
            reports/metrics/microstructures.json  {n_images, n_failed, hash}

Parameter points of a generator fill its ranges evenly (scrambled Sobol points, one sequence per generator), and each
gets some realisations. Realisation r of point p of generator g is made with SeedSequence(seed, spawn_key=(g, p, r)), so
neither more points, nor a further generator, nor the number of workers change an image that was there before. Each
generator says how its parameters are drawn (models/physics/microstructure).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveInt
from scipy.stats import qmc

from models.physics.microstructure.generator import GENERATORS, N_DRAWN, Generator, Shape
from models.settings import settings
from pipeline.microstructure.records import MicrostructuresMetrics
from pipeline.runtime.content_key import content_key
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
FloatArray = NDArray[np.float64]
SOBOL_KEY = 2**31  # spawn key of the sampling, away from those of the points


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


@dataclass(frozen=True, kw_only=True)
class Micrograph:
    """One image to make: its generator and its number, the point, its group and the key of its random numbers."""

    generator: Generator
    code: int
    point: Any
    group: int
    spawn_key: tuple[int, int, int]


def main() -> None:
    generate(load_params(MicrostructuresParams, "microstructures"))


def generate(params: MicrostructuresParams) -> None:
    """Make the store and its metrics in the working directory."""
    parameters = {name: dict(generator.parameters) for name, generator in params.generators.items()}
    schema = microstructures_schema(parameters)
    recipe = Recipe(
        out=OUT,
        schema=schema,
        key=content_key("microstructures", asdict(params)),
        shards=shards_of(draw_micrographs(params), params.images_per_shard),
        solve_shard=partial(make_shard, seed=params.seed, columns=parameter_columns(parameters)),
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
    drawn: list[Micrograph] = []
    n_groups = 0
    generators: list[Generator] = list(params.generators.values())
    for code, generator in enumerate(generators):
        for number, u in enumerate(_even_points(generator.n_points, seed=params.seed, code=code)):
            point = generator.draw(u, params.shape, periodic=params.periodic)
            drawn += [
                Micrograph(
                    generator=generator,
                    code=code,
                    point=point,
                    group=n_groups + number,
                    spawn_key=(code, number, realisation),
                )
                for realisation in range(generator.n_realisations)
            ]
        n_groups += generator.n_points
    return drawn


def _even_points(n_points: int, *, seed: int, code: int) -> FloatArray:
    """Scrambled Sobol points in the unit cube, (n_points, N_DRAWN): more points begin with the same."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SOBOL_KEY, code)))
    power = max(0, n_points - 1).bit_length()
    return np.asarray(qmc.Sobol(N_DRAWN, rng=rng).random_base2(power))[:n_points]


def make_shard(micrographs: Sequence[Micrograph], *, seed: int, columns: Sequence[str] = tuple(PARAMETERS)) -> Arrays:
    """Rows of these images, with the parameters in `columns`; one that cannot be made is recorded in its row."""
    images, failures = zip(*(_make_one(m, seed=seed) for m in micrographs), strict=True)
    failed = np.array([reason != "" for reason in failures])
    parameters: Arrays = {
        name: np.array([float(getattr(m.point, name, np.nan)) for m in micrographs]) for name in columns
    }
    return parameters | {
        "image": np.stack(images),
        "generator": np.array([m.code for m in micrographs], dtype=np.int8),
        "group": np.array([m.group for m in micrographs], dtype=np.int64),
        "status": np.where(failed, FAILED, OK).astype(np.int8),
        "failure": np.array(failures),
    }


def _make_one(micrograph: Micrograph, *, seed: int) -> tuple[NDArray[np.float32], str]:
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=micrograph.spawn_key))
    try:
        image = micrograph.generator.make(micrograph.point, rng).astype(np.float32)
        if not np.ptp(image) > 0:
            raise ArithmeticError("the image has no contrast")
    except ArithmeticError as error:
        return np.zeros(micrograph.point.shape, dtype=np.float32), f"{type(error).__name__}: {error}"
    return image, ""


if __name__ == "__main__":
    run_stage("microstructures", main)
