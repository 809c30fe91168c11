"""Stage `embedding`: maps of the micrographs by each descriptor, and how well they give back the parameters.

    reads   params.yaml: embedding; data/microstructures.zarr, data/textures.zarr
    writes  reports/metrics/embedding.json   {results: [{generator, descriptor, method, dimension, linear_r2, knn_r2,
                                             trustworthiness, low, high}]}; low, high: 95 % interval of linear_r2.mean
            reports/details/embedding.json   all intervals, choice of dimensions, R2 against dimension, goals, formulas
            reports/embedding/<generator>_<descriptor>_<method>.csv   image_row, group, coordinates

The number of dimensions is chosen for every map from distances alone (models.laws.dimension); parameters enter after
it. R2 at all other dimensions stands in the details, so that the choice can be judged.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from models.laws.dimension import DimensionChoice, choose_dimension
from models.laws.groups import whole_groups
from models.laws.manifold import Embedding, classical_mds, draw_landmarks, isomap, principal_axes, umap_embedding
from models.laws.recovery import Recovery, linear_recovery, recovery
from models.laws.symbolic_engine import EngineFailed, EngineUnavailable
from pipeline.microstructure.embedding_goals import goals
from pipeline.microstructure.embedding_law import law_record, search_engine
from pipeline.microstructure.embedding_params import EmbeddingParams, MapName
from pipeline.microstructure.embedding_targets import JUDGED, Samples, read_samples
from pipeline.runtime.params import load_params
from pipeline.runtime.progress import progress_bar
from pipeline.runtime.stage import run_stage, write_json
from stores.atomic import write_text
from stores.microstructures import MICROSTRUCTURES
from stores.textures import schema_of
from stores.zarr_store import open_store

__all__ = ["EmbeddingParams", "main"]

IMAGES = Path("data/microstructures.zarr")
TEXTURES = Path("data/textures.zarr")
FOLDER = Path("reports/embedding")
METRICS = Path("reports/metrics/embedding.json")
DETAILS = Path("reports/details/embedding.json")
BLOCK = 4096  # rows of features in memory at once
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Map:
    """One judged map. Shapes: N rows, D the chosen dimension, K all coordinates computed."""

    descriptor: str
    samples: Samples
    embedding: Embedding  # coordinates (N, K)
    choice: DimensionChoice
    kept: float  # share of the features' variance in the principal axes
    found: Recovery
    by_dimension: list[dict[str, float]]

    @property
    def coordinates_ND(self) -> Array:
        return self.embedding.coordinates_ND[:, : self.choice.dimension]


def main() -> None:
    params = load_params(EmbeddingParams, "embedding")
    engine = search_engine(params.search)
    images = open_store(IMAGES, MICROSTRUCTURES)
    textures = open_store(TEXTURES)
    textures = open_store(TEXTURES, schema_of(textures.attrs))
    descriptors = json.loads(textures.attrs["descriptors"])
    samples = [found for name in JUDGED if len((found := read_samples(images, textures, name)).rows_N)]
    check(samples, descriptors, params)
    maps: list[Map] = []
    with progress_bar("embedding", len(samples) * len(descriptors) * len(params.methods), "maps") as progress:
        for own in samples:
            for descriptor in descriptors:
                points_NK, kept = principal_points(textures, descriptor, own.rows_N, params)
                for method in params.methods:
                    maps.append(judged_map(points_NK, kept, method, descriptor, own, params))
                    progress.update()
    chosen = [m for m in maps if (m.descriptor, m.embedding.method) == (params.search.descriptor, params.search.method)]
    laws = [law_record(m.coordinates_ND, m.samples, params, engine) for m in chosen]
    for one in maps:
        write_coordinates(FOLDER, one)
    results = [metrics_record(one) for one in maps]
    reached = goals(results)
    write_json(DETAILS, {"maps": [details_record(one, params) for one in maps], "goals": reached, "laws": laws})
    write_json(METRICS, {"results": results})
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
    for own in samples:
        n_points, n_rows = len(np.unique(own.groups_N)), len(own.rows_N)
        if n_points < params.n_folds:
            problems.append(
                f"{own.generator}: found {n_points} parameter points, expected at least n_folds = {params.n_folds}; "
                f"raise microstructures.{own.generator}.n_points or lower embedding.n_folds"
            )
        if n_rows <= params.n_neighbours:
            problems.append(
                f"{own.generator}: found {n_rows} images, expected more than n_neighbours = {params.n_neighbours}"
            )
    if params.search.descriptor not in descriptors:
        problems.append(f"search.descriptor: found {params.search.descriptor!r}, expected one of {descriptors}")
    if problems:
        raise ValueError("; ".join(problems))


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


def judged_map(
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
        found=recovery(coordinates[:, : choice.dimension], targets, groups, params.recovery),
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


def metrics_record(own: Map) -> dict[str, Any]:
    """The record that scripts rely on."""
    return {
        "generator": own.samples.generator,
        "descriptor": own.descriptor,
        "method": own.embedding.method,
        "dimension": own.choice.dimension,
        "linear_r2": {name: r2.value for name, r2 in own.found.linear_r2.items()},
        "knn_r2": {name: r2.value for name, r2 in own.found.knn_r2.items()},
        "trustworthiness": own.found.trustworthiness.value,
        "low": own.found.linear_r2["mean"].low,
        "high": own.found.linear_r2["mean"].high,
    }


def details_record(own: Map, params: EmbeddingParams) -> dict[str, Any]:
    """Intervals as [value, low, high]."""
    return {
        "generator": own.samples.generator,
        "descriptor": own.descriptor,
        "method": own.embedding.method,
        "n_images": len(own.samples.rows_N),
        "n_points": len(np.unique(own.samples.groups_N)),
        "n_landmarks": len(own.embedding.landmarks_L),
        "variance_kept": own.kept,
        **asdict(own.choice),
        "at_limit": own.choice.dimension == params.max_dimension,
        "linear_r2": own.found.linear_r2,
        "knn_r2": own.found.knn_r2,
        "trustworthiness": own.found.trustworthiness,
        "spearman_distances": own.found.spearman_distances,
        "sister_retrieval": own.found.sister_retrieval,
        "linear_r2_by_dimension": own.by_dimension,
    }


def write_coordinates(folder: Path, own: Map) -> None:
    """Whole or not at all."""
    path = folder / f"{own.samples.generator}_{own.descriptor}_{own.embedding.method}.csv"
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["image_row", "group", *(f"coordinate_{i + 1}" for i in range(own.choice.dimension))])
    for image, group, place in zip(own.samples.image_rows_N, own.samples.groups_N, own.coordinates_ND, strict=True):
        writer.writerow([image, group, *(f"{value:.8g}" for value in place)])
    write_text(path, lines.getvalue())


if __name__ == "__main__":
    run_stage("embedding", main, also_told=(EngineUnavailable, EngineFailed))
