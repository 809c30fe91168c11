"""Stage `hubbard`: the Hubbard model in dynamical mean-field theory over U, T and filling, by NRG.

    reads   params.yaml: hubbard
    writes  data/hubbard.zarr             (stores.hubbard.HUBBARD)
            reports/metrics/hubbard.json  {n_rows, n_points, n_not_converged, pinning, luttinger, hash}

Point i is drawn from SeedSequence(seed, spawn_key=(i,)): U uniform, T log-uniform, a given fraction at half filling and
of these a fraction at the lowest temperature, the others at a uniform filling below it. The bath of the first iteration
is that of the metal; at half filling that of the insulator above the range `coexistence`, and within it both are tried.
Each point is iterated from there and none from its neighbour, so that rows depend on nothing but their parameters.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from models.physics.dmft.hubbard import HubbardSolution, MeanFieldSettings, Start, matsubara_weight, solve_hubbard
from models.physics.dmft.lattice import BetheLattice
from models.physics.impurity.solver import SolverError
from models.settings import Fraction, Range, settings
from pipeline.hubbard.records import Deviation, HubbardMetrics
from pipeline.runtime.content_key import numerical_versions, shard_key
from pipeline.runtime.execution import load_execution
from pipeline.runtime.kept_results import Arrays
from pipeline.runtime.params import load_params
from pipeline.runtime.shards import Recipe, generate_store, shards_of
from pipeline.runtime.stage import run_stage
from stores.hubbard import HUBBARD
from stores.outcome import FAILED, OK
from stores.zarr_store import open_store

__all__ = ["HubbardParams", "ModelPoint", "draw_point", "generate", "main", "solve_shard"]

OUT = Path("data/hubbard.zarr")
PINNED = 20  # a metal is pinned where Z D is this many T
Floats = NDArray[np.float64]


@settings
class GridParams:
    """Symmetric logarithmic frequencies -maximum .. -minimum, 0, minimum .. maximum [D]."""

    minimum: PositiveFloat
    maximum: PositiveFloat
    n_positive: Annotated[int, Field(ge=2)]

    def __post_init__(self) -> None:
        if self.minimum >= self.maximum:
            raise ValueError(f"found minimum {self.minimum:g} >= maximum {self.maximum:g}, expected it below")

    def omega(self) -> Floats:
        positive = np.geomspace(self.minimum, self.maximum, self.n_positive)
        return np.concatenate([-positive[::-1], [0.0], positive])


@settings
class HubbardParams:
    """Section `hubbard` of params.yaml; ranges are [low, high], energies in units of the half bandwidth D."""

    seed: NonNegativeInt
    n_points: PositiveInt
    points_per_shard: PositiveInt
    interaction: Range[Annotated[float, Field(gt=0, le=20)]]
    temperature: Range[Annotated[float, Field(ge=1e-9, le=0.5)]]
    filling: Range[Annotated[float, Field(ge=0.01, le=1)]]
    half_filled_fraction: Fraction
    lowest_temperature_fraction: Fraction
    coexistence: Range[PositiveFloat]
    grid: GridParams
    mean_field: MeanFieldSettings


@dataclass(frozen=True, kw_only=True)
class ModelPoint:
    """One model and the baths from which it is solved; energies in D."""

    index: int
    interaction: float
    temperature: float
    filling: float
    starts: tuple[Start, ...]


def main() -> None:
    generate(load_params(HubbardParams, "hubbard"))


def generate(params: HubbardParams) -> None:
    """Make the store and its metrics in the working directory."""
    omega = params.grid.omega()
    method = json.dumps(asdict(params.mean_field), sort_keys=True)
    recipe = Recipe(
        out=OUT,
        schema=HUBBARD,
        key=shard_key("hubbard", asdict(params.mean_field), asdict(params.grid)),
        shards=shards_of([draw_point(params, index) for index in range(params.n_points)], params.points_per_shard),
        solve_shard=partial(solve_shard, omega=omega, mean_field=params.mean_field),
        versions=numerical_versions("hubbard"),
        coordinates={"omega": omega},
        attributes={"lattice": "bethe", "settings": method, "seed": str(params.seed)},
        unit="points",
    )
    manifest = generate_store(recipe, load_execution())
    store = open_store(OUT, HUBBARD)
    metrics = metrics_of(store, manifest.hash)
    metrics.write()
    print(
        f"{OUT}: {metrics.n_rows} solutions at {metrics.n_points} points, {metrics.n_not_converged} not converged, "
        f"hash {manifest.hash[:16]}",
        flush=True,
    )


def draw_point(params: HubbardParams, index: int) -> ModelPoint:
    """Point number `index`, whatever the others are."""
    rng = np.random.default_rng(np.random.SeedSequence(params.seed, spawn_key=(index,)))
    interaction = float(rng.uniform(*params.interaction))
    temperature = float(np.exp(rng.uniform(*np.log(params.temperature))))
    filling = float(rng.uniform(*params.filling))
    half_filled = bool(rng.random() < params.half_filled_fraction)
    lowest = bool(rng.random() < params.lowest_temperature_fraction)
    low, high = params.coexistence
    starts: tuple[Start, ...] = ("metal",)
    if half_filled and interaction >= low:
        starts = ("metal", "insulator") if interaction <= high else ("insulator",)
    return ModelPoint(
        index=index,
        interaction=interaction,
        temperature=params.temperature[0] if half_filled and lowest else temperature,
        filling=1.0 if half_filled else filling,
        starts=starts,
    )


def solve_shard(points: Sequence[ModelPoint], *, omega: Floats, mean_field: MeanFieldSettings) -> Arrays:
    """One row per point and start; one that cannot be solved, or does not converge, says why."""
    rows = [(point, start, *_solved(point, start, mean_field)) for point in points for start in point.starts]
    solutions = [solution for *_, solution, _ in rows]

    def asked(name: str) -> Floats:
        return np.array([getattr(point, name) for point, *_ in rows])

    def solved(name: str) -> Floats:
        return np.array([np.nan if one is None else getattr(one, name) for one in solutions])

    def curves(part: Callable[[HubbardSolution], Floats]) -> Floats:
        missing = np.full(omega.shape, np.nan)
        return np.array([missing if one is None else np.interp(omega, one.omega, part(one)) for one in solutions])

    return {
        "point": asked("index"),
        "interaction": asked("interaction"),
        "temperature": asked("temperature"),
        "filling": asked("filling"),
        "start": np.array([start for _, start, *_ in rows]),
        "spectrum": curves(lambda one: np.maximum(one.spectrum, 0.0)),
        "self_energy_real": curves(lambda one: one.self_energy.real),
        "self_energy_imag": curves(lambda one: np.minimum(one.self_energy.imag, 0.0)),
        "chemical_potential": solved("chemical_potential"),
        "impurity_filling": solved("filling"),
        "lattice_filling": solved("lattice_filling"),
        "double_occupancy": solved("double_occupancy"),
        "quasiparticle_weight": solved("quasiparticle_weight"),
        "matsubara_weight": np.array(
            [
                np.nan if one is None else matsubara_weight(one.omega, one.self_energy.imag, point.temperature)
                for point, _, one, _ in rows
            ]
        ),
        "spectral_weight": np.array(
            [np.nan if one is None else float(np.trapezoid(one.spectrum, one.omega)) for one in solutions]
        ),
        "iterations": np.array([0 if one is None else len(one.changes) for one in solutions], dtype=np.int64),
        "change": np.array([np.nan if one is None else one.changes[-1] for one in solutions]),
        "status": np.array([FAILED if reason else OK for *_, reason in rows], dtype=np.int8),
        "failure": np.array([reason for *_, reason in rows]),
    }


def _solved(point: ModelPoint, start: Start, mean_field: MeanFieldSettings) -> tuple[HubbardSolution | None, str]:
    """The last iterate where it did not converge; nothing where the impurity cannot be solved. And the reason."""
    try:
        solution = solve_hubbard(
            point.interaction, point.temperature, BetheLattice(), mean_field, filling=point.filling, start=start
        )
    except (SolverError, ArithmeticError, np.linalg.LinAlgError) as error:
        return None, f"{type(error).__name__}: {error}"
    return solution, solution.problem or ""


def metrics_of(store: xr.Dataset, content: str) -> HubbardMetrics:
    """How many rows converged, and how well those keep two exact rules of the Fermi liquid."""
    rows = store.load()
    converged = rows["status"].values == OK
    middle = int(np.abs(rows["omega"].values).argmin())
    weight, temperature = rows["quasiparticle_weight"].values, rows["temperature"].values
    liquid = converged & (weight > PINNED * temperature)
    half_filled = rows["filling"].values == 1
    pinning = np.pi / 2 * rows["spectrum"].values[:, middle] - 1
    edge = rows["chemical_potential"].values - rows["self_energy_real"].values[:, middle]
    luttinger = rows["impurity_filling"].values - filling_below(edge)
    return HubbardMetrics(
        n_rows=converged.size,
        n_points=int(np.unique(rows["point"].values).size),
        n_not_converged=int((~converged).sum()),
        n_iterations=int(rows["iterations"].values.sum()),
        pinning=deviation(pinning[liquid & half_filled]),
        luttinger=deviation(luttinger[liquid & ~half_filled]),
        hash=content,
    )


def filling_below(energy: Floats) -> Floats:
    """Of both spins, of the semicircle filled up to an energy [D]."""
    edge = np.clip(energy, -1, 1)
    return np.asarray(1 + 2 * (edge * np.sqrt(1 - edge**2) + np.arcsin(edge)) / np.pi)


def deviation(differences: Floats) -> Deviation:
    size = np.abs(differences)
    if not size.size:
        return Deviation(n_rows=0, median=None, worst=None)
    return Deviation(n_rows=size.size, median=float(np.median(size)), worst=float(size.max()))


if __name__ == "__main__":
    run_stage("hubbard", main)
