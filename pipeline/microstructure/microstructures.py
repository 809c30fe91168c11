"""Stage `microstructures`: draw generator parameters, make synthetic micrographs of each point.

    reads   params.yaml: microstructures
    writes  data/microstructures.zarr             (stores.microstructures.MICROSTRUCTURES)
            reports/metrics/microstructures.json  {n_images, n_failed, hash}

Parameter points of a generator fill its ranges evenly (scrambled Sobol points, one sequence per generator), and each
gets some realisations. Realisation r of point p of generator g is made with SeedSequence(seed, spawn_key=(g, p, r)), so
neither more points nor the number of workers change an image that was there before.

    lamellae        angle uniform in [0, pi), noise_strength and scale_px log-uniform
    phase_order     phase_order uniform in [0, 1], scale_px log-uniform
    voronoi         scale_px log-uniform
    cahn_hilliard   composition uniform
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from scipy.stats import qmc

from models.physics.microstructure.cahn_hilliard import CahnHilliard, cahn_hilliard
from models.physics.microstructure.lamellae import Lamellae, lamellae
from models.physics.microstructure.phase_order import PhaseOrder, phase_order
from models.physics.microstructure.voronoi import Voronoi, voronoi
from models.settings import Fraction, Range, settings
from pipeline.runtime.content_key import content_key
from pipeline.runtime.execution import load_execution
from pipeline.runtime.kept_results import Arrays
from pipeline.runtime.params import load_params
from pipeline.runtime.shards import Recipe, generate_store, shards_of
from pipeline.runtime.stage import run_stage, write_metrics
from stores.microstructures import GENERATORS, MICROSTRUCTURES, PARAMETERS
from stores.outcome import FAILED, OK
from stores.zarr_store import open_store

__all__ = ["Micrograph", "MicrostructuresParams", "draw_micrographs", "generate", "main", "make_shard"]

OUT = Path("data/microstructures.zarr")
METRICS = Path("reports/metrics/microstructures.json")
FloatArray = NDArray[np.float64]
SOBOL_KEY = 2**31  # spawn key of the sampling, away from those of the points


@settings
class LamellaeParams:
    """How many lamellae, and the ranges [low, high] of their parameters."""

    n_points: NonNegativeInt
    n_realisations: PositiveInt
    noise_strength: Range[PositiveFloat]
    scale_px: Range[Annotated[float, Field(ge=2)]]


@settings
class PhaseOrderParams:
    """Cells with partly scrambled phases."""

    n_points: NonNegativeInt
    n_realisations: PositiveInt
    phase_order: Range[Fraction]
    scale_px: Range[Annotated[float, Field(ge=2)]]
    wall_width: Annotated[float, Field(gt=0, le=1)]
    clip_sigmas: Annotated[float, Field(ge=1, le=10)]


@settings
class VoronoiParams:
    """Grains."""

    n_points: NonNegativeInt
    n_realisations: PositiveInt
    scale_px: Range[Annotated[float, Field(ge=2)]]
    wall_width: Annotated[float, Field(gt=0, le=1)]
    wall_depth: Fraction


@settings
class CahnHilliardParams:
    """Spinodal decomposition."""

    n_points: NonNegativeInt
    n_realisations: PositiveInt
    composition: Range[Annotated[float, Field(gt=-1, lt=1)]]
    n_steps: PositiveInt
    time_step: PositiveFloat
    interface_px: Annotated[float, Field(ge=1)]


@settings
class MicrostructuresParams:
    """Section `microstructures` of params.yaml."""

    seed: NonNegativeInt
    shape: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]]
    periodic: bool
    images_per_shard: PositiveInt
    lamellae: LamellaeParams
    phase_order: PhaseOrderParams
    voronoi: VoronoiParams
    cahn_hilliard: CahnHilliardParams

    def __post_init__(self) -> None:
        problems = []
        if not any(getattr(self, name).n_points for name in GENERATORS):
            problems.append("found n_points 0 for all generators, expected some; nothing would be made")
        widest = min(self.shape) / 2
        for name in ("lamellae", "phase_order", "voronoi"):
            section = getattr(self, name)
            if section.n_points and section.scale_px[1] > widest:
                problems.append(
                    f"{name}.scale_px: found {section.scale_px[1]:g}, expected at most half the image, {widest:g} px"
                )
        if problems:
            raise ValueError("; ".join(problems))


@dataclass(frozen=True, kw_only=True)
class Micrograph:
    """One image to make: its generator's parameters, its group and the key of its random numbers."""

    make: Callable[[Any, np.random.Generator], FloatArray]
    params: Lamellae | PhaseOrder | Voronoi | CahnHilliard
    generator: int
    group: int
    spawn_key: tuple[int, int, int]


def main() -> None:
    generate(load_params(MicrostructuresParams, "microstructures"))


def generate(params: MicrostructuresParams) -> None:
    """Make the store and its metrics in the working directory."""
    settings = {name: value for name, value in asdict(params).items() if name != "images_per_shard"}
    recipe = Recipe(
        out=OUT,
        schema=MICROSTRUCTURES,
        key=content_key("microstructures", asdict(params)),
        shards=shards_of(draw_micrographs(params), params.images_per_shard),
        solve_shard=partial(make_shard, seed=params.seed),
        coordinates={},
        attributes={
            "generators": json.dumps(GENERATORS),
            "periodic": params.periodic,
            "settings": json.dumps(settings, sort_keys=True),
        },
        unit="images",
    )
    manifest = generate_store(recipe, load_execution())
    n_images = manifest.sizes["sample"]
    n_failed = int((open_store(OUT, MICROSTRUCTURES)["status"] != OK).sum())
    write_metrics(METRICS, {"n_images": n_images, "n_failed": n_failed, "hash": manifest.hash})
    print(f"{OUT}: {n_images} images, {n_failed} failed, hash {manifest.hash[:16]}", flush=True)


def draw_micrographs(params: MicrostructuresParams) -> list[Micrograph]:
    """All images of all generators, realisations of one point in a row."""
    drawn: list[Micrograph] = []
    n_groups = 0
    for code, name in enumerate(GENERATORS):
        section = getattr(params, name)
        make, draw = DRAWS[name]
        for point, u in enumerate(_even_points(section.n_points, seed=params.seed, code=code)):
            told = draw(section, u, params)
            drawn += [
                Micrograph(make=make, params=told, generator=code, group=n_groups + point, spawn_key=(code, point, r))
                for r in range(section.n_realisations)
            ]
        n_groups += section.n_points
    return drawn


def _even_points(n_points: int, *, seed: int, code: int) -> FloatArray:
    """Scrambled Sobol points in the unit cube, (n_points, 3): more points begin with the same."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SOBOL_KEY, code)))
    power = max(0, n_points - 1).bit_length()
    return np.asarray(qmc.Sobol(3, rng=rng).random_base2(power))[:n_points]


def _draw_lamellae(section: LamellaeParams, u: FloatArray, params: MicrostructuresParams) -> Lamellae:
    return Lamellae(
        angle=float(np.pi * u[0]),
        noise_strength=_log_uniform(u[1], section.noise_strength),
        scale_px=_log_uniform(u[2], section.scale_px),
        shape=params.shape,
        periodic=params.periodic,
    )


def _draw_phase_order(section: PhaseOrderParams, u: FloatArray, params: MicrostructuresParams) -> PhaseOrder:
    return PhaseOrder(
        phase_order=_uniform(u[0], section.phase_order),
        scale_px=_log_uniform(u[1], section.scale_px),
        shape=params.shape,
        wall_width=section.wall_width,
        clip_sigmas=section.clip_sigmas,
    )


def _draw_voronoi(section: VoronoiParams, u: FloatArray, params: MicrostructuresParams) -> Voronoi:
    return Voronoi(
        scale_px=_log_uniform(u[0], section.scale_px),
        shape=params.shape,
        wall_width=section.wall_width,
        wall_depth=section.wall_depth,
        periodic=params.periodic,
    )


def _draw_cahn_hilliard(section: CahnHilliardParams, u: FloatArray, params: MicrostructuresParams) -> CahnHilliard:
    return CahnHilliard(
        composition=_uniform(u[0], section.composition),
        n_steps=section.n_steps,
        shape=params.shape,
        time_step=section.time_step,
        interface_px=section.interface_px,
    )


DRAWS: dict[str, tuple[Callable[..., FloatArray], Callable[..., Any]]] = {
    "lamellae": (lamellae, _draw_lamellae),
    "phase_order": (phase_order, _draw_phase_order),
    "voronoi": (voronoi, _draw_voronoi),
    "cahn_hilliard": (cahn_hilliard, _draw_cahn_hilliard),
}


def make_shard(micrographs: Sequence[Micrograph], *, seed: int) -> Arrays:
    """Rows of these images; one that cannot be made is recorded in its row."""
    images, failures = zip(*(_make_one(m, seed=seed) for m in micrographs), strict=True)
    failed = np.array([reason != "" for reason in failures])
    columns: Arrays = {
        name: np.array([float(getattr(m.params, name, np.nan)) for m in micrographs]) for name in PARAMETERS
    }
    return columns | {
        "image": np.stack(images),
        "generator": np.array([m.generator for m in micrographs], dtype=np.int8),
        "group": np.array([m.group for m in micrographs], dtype=np.int64),
        "status": np.where(failed, FAILED, OK).astype(np.int8),
        "failure": np.array(failures),
    }


def _make_one(micrograph: Micrograph, *, seed: int) -> tuple[NDArray[np.float32], str]:
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=micrograph.spawn_key))
    try:
        image = micrograph.make(micrograph.params, rng).astype(np.float32)
        if not np.ptp(image) > 0:
            raise ArithmeticError("the image has no contrast")
    except ArithmeticError as error:
        return np.zeros(micrograph.params.shape, dtype=np.float32), f"{type(error).__name__}: {error}"
    return image, ""


def _uniform(u: float, bounds: tuple[float, float]) -> float:
    return float(bounds[0] + u * (bounds[1] - bounds[0]))


def _log_uniform(u: float, bounds: tuple[float, float]) -> float:
    return float(np.exp(_uniform(u, (np.log(bounds[0]), np.log(bounds[1])))))


if __name__ == "__main__":
    run_stage("microstructures", main)
