"""Stage `embedding`: maps of the micrographs by each descriptor, and how well they give back the parameters.

    reads   params.yaml: embedding; data/microstructures.zarr, data/textures.zarr
    writes  reports/metrics/embedding.json   {results: [{generator, descriptor, method, dimension, linear_r2, knn_r2,
                                             trustworthiness, low, high}]}; low, high: 95 % interval of linear_r2.mean
            reports/details/embedding.json   all intervals, choice of dimensions, R2 against dimension, goals, formulas
            reports/embedding/<generator>_<descriptor>_<method>.csv   image_row, group, coordinates

The number of dimensions is chosen for every map from distances alone (models.laws.manifold); parameters enter after
it. R2 at all other dimensions stands in the details, so that the choice can be checked.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from models.laws.groups import whole_groups
from models.laws.manifold import (
    DimensionChoice,
    Embedding,
    choose_dimension,
    classical_mds,
    draw_landmarks,
    isomap,
    principal_axes,
    umap_embedding,
)
from models.laws.recovery import Recovery, RecoveryRules, linear_recovery, recovery
from models.laws.symbolic_engine import EngineError
from models.settings import Some, settings
from pipeline.microstructure.coordinate_laws import CoordinateSearch, MapName, law_record
from pipeline.microstructure.embedding_goals import goals
from pipeline.microstructure.records import EmbeddingDetails, EmbeddingMetrics
from pipeline.microstructure.targets import JUDGED, Samples, read_samples
from pipeline.runtime.params import load_params
from pipeline.runtime.progress import progress_bar
from pipeline.runtime.stage import run_stage
from stores.atomic import write_text
from stores.microstructures import open_microstructures
from stores.textures import schema_of
from stores.zarr_store import open_store

__all__ = ["EmbeddingParams", "main"]

IMAGES = Path("data/microstructures.zarr")
TEXTURES = Path("data/textures.zarr")
FOLDER = Path("reports/embedding")
BLOCK = 4096  # rows of features in memory at once
ROUNDING = 1e-6  # of features of unit length in single precision
Array = NDArray[np.float64]


@settings
class EmbeddingParams:
    """Landmarks are used where a generator has more images than `n_landmarks`."""

    methods: Some[MapName]
    n_axes: Annotated[int, Field(ge=2)]
    n_landmarks: Annotated[int, Field(ge=10)]
    landmark_seed: NonNegativeInt
    n_neighbours: Annotated[int, Field(ge=2)]
    max_dimension: Annotated[int, Field(ge=2)]
    minimum_gain: Annotated[float, Field(gt=0, lt=1)]
    seeds: Some[NonNegativeInt]
    n_folds: Annotated[int, Field(ge=2)]
    n_regression_neighbours: PositiveInt
    n_bootstrap: Annotated[int, Field(ge=2)]
    max_rows: Annotated[int, Field(ge=20)]
    max_rows_pairs: Annotated[int, Field(ge=20)]
    search: CoordinateSearch

    def __post_init__(self) -> None:
        problems = []
        if len(set(self.seeds)) < len(self.seeds) or len(self.seeds) < 3:
            problems.append(f"seeds: found {list(self.seeds)}, expected at least 3 different ones")
        if len(set(self.methods)) < len(self.methods):
            problems.append(f"methods: found {list(self.methods)}, expected each of them once")
        if self.search.method not in self.methods:
            problems.append(
                f"search.method: found {self.search.method!r}, expected one of methods {list(self.methods)}"
            )
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def recovery(self) -> RecoveryRules:
        return RecoveryRules(
            seeds=self.seeds,
            n_folds=self.n_folds,
            n_neighbours=self.n_regression_neighbours,
            n_bootstrap=self.n_bootstrap,
            max_rows_pairs=self.max_rows_pairs,
        )


@dataclass(frozen=True, kw_only=True)
class Map:
    """One map and its scores. Shapes: N rows, D the chosen dimension, K all coordinates computed."""

    descriptor: str
    samples: Samples
    embedding: Embedding  # coordinates (N, K)
    choice: DimensionChoice
    kept: float  # share of the features' variance in the principal axes
    scores: Recovery
    by_dimension: list[dict[str, float]]

    @property
    def coordinates_ND(self) -> Array:
        return self.embedding.coordinates_ND[:, : self.choice.dimension]


def main() -> None:
    params = load_params(EmbeddingParams, "embedding")
    choice = params.search.choose_engine()
    images = open_microstructures(IMAGES)
    textures = open_store(TEXTURES)
    textures = open_store(TEXTURES, schema_of(textures.attrs))
    descriptors = json.loads(textures.attrs["descriptors"])
    samples = [of_generator for name in JUDGED if len((of_generator := read_samples(images, textures, name)).rows_N)]
    check(samples, descriptors, params)
    maps: list[Map] = []
    constant: list[dict[str, str]] = []
    with progress_bar("embedding", len(samples) * len(descriptors) * len(params.methods), "maps") as progress:
        for made in samples:
            for descriptor in descriptors:
                if is_constant(textures[descriptor], made.rows_N):
                    constant.append({"generator": made.generator, "descriptor": descriptor})
                    progress.update(len(params.methods))
                    continue
                points_NK, kept = principal_points(textures, descriptor, made.rows_N, params)
                for method in params.methods:
                    maps.append(scored_map(points_NK, kept, method, descriptor, made, params))
                    progress.update()
    chosen = [m for m in maps if (m.descriptor, m.embedding.method) == (params.search.descriptor, params.search.method)]
    laws = [
        law_record(m.coordinates_ND, m.samples, params.search, choice, rules=params.recovery, max_rows=params.max_rows)
        for m in chosen
    ]
    for made_map in maps:
        write_coordinates(FOLDER, made_map)
    results = [metrics_record(one) for one in maps]
    reached = goals(results)
    details = {
        "maps": [details_record(one, params) for one in maps],
        "constant": constant,
        "goals": reached,
        "laws": laws,
    }
    EmbeddingDetails.of(details).write()
    EmbeddingMetrics.of({"results": results}).write()
    for flat in constant:
        print(f"embedding: {flat['descriptor']} is the same for all images of {flat['generator']}: no map")
    for goal in reached:
        print(
            f"embedding: {goal['goal']}: {goal['found']:.3f} ({goal['wanted']}: {'yes' if goal['reached'] else 'no'})"
        )


def check(samples: list[Samples], descriptors: list[str], params: EmbeddingParams) -> None:
    """Everything that would stop a map, before the first is drawn."""
    problems = []
    if not samples:
        problems.append(
            f"{TEXTURES}: found no described image of {' or '.join(JUDGED)}; raise microstructures.*.n_points"
        )
    for made in samples:
        n_points, n_rows = len(np.unique(made.groups_N)), len(made.rows_N)
        if n_points < params.n_folds:
            problems.append(
                f"{made.generator}: found {n_points} parameter points, expected at least n_folds = {params.n_folds}; "
                f"raise microstructures.{made.generator}.n_points or lower embedding.n_folds"
            )
        if n_rows <= params.n_neighbours:
            problems.append(
                f"{made.generator}: found {n_rows} images, expected more than n_neighbours = {params.n_neighbours}"
            )
    if params.search.descriptor not in descriptors:
        problems.append(f"search.descriptor: found {params.search.descriptor!r}, expected one of {descriptors}")
    if problems:
        raise ValueError("; ".join(problems))


def is_constant(features: xr.DataArray, rows_N: NDArray[np.int64]) -> bool:
    """Whether no row differs from the first beyond rounding, as histograms of matched_order do not."""
    first = features[rows_N[:1]].values
    return all(float(np.abs(block - first).max()) < ROUNDING for block in feature_blocks(features, rows_N))


def principal_points(
    textures: xr.Dataset, descriptor: str, rows_N: NDArray[np.int64], params: EmbeddingParams
) -> tuple[Array, float]:
    """Principal coordinates (N, K) of a descriptor's features, read in blocks, and the share of variance they hold."""
    marks = draw_landmarks(len(rows_N), params.n_landmarks, params.landmark_seed)
    axes = principal_axes(textures[descriptor][rows_N[marks]].values, params.n_axes)
    return axes.project(feature_blocks(textures[descriptor], rows_N)), axes.kept


def feature_blocks(features: xr.DataArray, rows_N: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(rows_N), BLOCK):
        yield features[rows_N[start : start + BLOCK]].values


def scored_map(
    points_NK: Array, kept: float, method: MapName, descriptor: str, samples: Samples, params: EmbeddingParams
) -> Map:
    embedding = embed(points_NK, method, params)
    choice = choose_dimension(embedding, n_neighbours=params.n_neighbours, minimum_gain=params.minimum_gain)
    rows = whole_groups(samples.groups_N, params.max_rows, params.seeds[0])
    targets = {name: columns[rows] for name, columns in samples.targets.items()}
    coordinates, groups = embedding.coordinates_ND[rows], samples.groups_N[rows]
    quick = replace(params.recovery, seeds=params.seeds[:1], n_bootstrap=0)
    by_dimension = [
        {name: r2.value for name, r2 in linear_recovery(coordinates[:, :d], targets, groups, quick).items()}
        for d in range(1, coordinates.shape[1] + 1)
    ]
    return Map(
        descriptor=descriptor,
        samples=samples,
        embedding=embedding,
        choice=choice,
        kept=kept,
        scores=recovery(coordinates[:, : choice.dimension], targets, groups, params.recovery),
        by_dimension=by_dimension,
    )


def embed(points_NK: Array, method: MapName, params: EmbeddingParams) -> Embedding:
    marks = draw_landmarks(len(points_NK), params.n_landmarks, params.landmark_seed)
    if method == "mds":
        return classical_mds(points_NK, marks, params.max_dimension)
    if method == "isomap":
        return isomap(points_NK, marks, params.max_dimension, n_neighbours=params.n_neighbours)
    seed = params.landmark_seed
    return umap_embedding(points_NK, marks, params.max_dimension, n_neighbours=params.n_neighbours, seed=seed)


def metrics_record(made: Map) -> dict[str, Any]:
    """The record that scripts rely on."""
    return {
        "generator": made.samples.generator,
        "descriptor": made.descriptor,
        "method": made.embedding.method,
        "dimension": made.choice.dimension,
        "linear_r2": {name: r2.value for name, r2 in made.scores.linear_r2.items()},
        "knn_r2": {name: r2.value for name, r2 in made.scores.knn_r2.items()},
        "trustworthiness": made.scores.trustworthiness.value,
        "low": made.scores.linear_r2["mean"].low,
        "high": made.scores.linear_r2["mean"].high,
    }


def details_record(made: Map, params: EmbeddingParams) -> dict[str, Any]:
    """Intervals as [value, low, high]."""
    return {
        "generator": made.samples.generator,
        "descriptor": made.descriptor,
        "method": made.embedding.method,
        "n_images": len(made.samples.rows_N),
        "n_points": len(np.unique(made.samples.groups_N)),
        "n_landmarks": len(made.embedding.landmarks_L),
        "variance_kept": made.kept,
        **asdict(made.choice),
        "at_limit": made.choice.dimension == params.max_dimension,
        "linear_r2": made.scores.linear_r2,
        "knn_r2": made.scores.knn_r2,
        "trustworthiness": made.scores.trustworthiness,
        "spearman_distances": made.scores.spearman_distances,
        "sister_retrieval": made.scores.same_group_recall,
        "linear_r2_by_dimension": made.by_dimension,
    }


def write_coordinates(folder: Path, made: Map) -> None:
    """Whole or not at all."""
    path = folder / f"{made.samples.generator}_{made.descriptor}_{made.embedding.method}.csv"
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["image_row", "group", *(f"coordinate_{i + 1}" for i in range(made.choice.dimension))])
    for image, group, point in zip(made.samples.image_rows_N, made.samples.groups_N, made.coordinates_ND, strict=True):
        writer.writerow([image, group, *(f"{value:.8g}" for value in point)])
    write_text(path, lines.getvalue())


if __name__ == "__main__":
    run_stage("embedding", main, also_explained=(EngineError,))
