"""Map your own micrographs: a folder of images -> texture coordinates of their tiles, as a table and a page.

    latentlaw embed-images FOLDER [--out DIR] [--tile 128] [--crop-bottom 0.07] [--beyond-two-point]

Writes into DIR (default: micrograph_map)

    embedding.csv   file, tile, top_px, left_px, coordinate_1 ...   one row per tile
    map.html        the tiles as thumbnails at their coordinates; opens anywhere, needs nothing beside it
    summary.json    settings, images skipped with the reason, dimension, and the diagnostics asked for

`--beyond-two-point` measures how well tiles differ from surrogates of equal two-point function
(pipeline.commands.own_images_beyond); `--windows` says how large tiles must be to stand for their image
(models.descriptors.window), with layer b3 for all sizes. No stage depends on this.
"""

import csv
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from models.descriptors.descriptor import Descriptor, make_descriptor
from models.descriptors.efficientnet import EfficientNetLayer
from models.laws.manifold import (
    DimensionChoice,
    Embedding,
    choose_dimension,
    classical_mds,
    draw_landmarks,
    isomap,
    principal_axes,
)
from pipeline.commands.image_map import MappedTile, image_map
from pipeline.commands.options.images import EmbedOptions
from pipeline.commands.own_images_beyond import beyond_two_point
from pipeline.microstructure.tile_ratios import WindowParams, tile_ratios
from pipeline.runtime.records import write_json
from pipeline.runtime.terminal_text import printable
from stores.building import building
from stores.importers.images import ImageSettings, ImportReport, find_images, import_images, read_grey
from stores.micrographs import MICROGRAPHS
from stores.zarr_store import open_store

__all__ = ["main"]

KIND = "map of micrographs"
SEED = 0
BLOCK = 256  # tiles described at once
N_LANDMARKS, N_AXES, N_NEIGHBOURS = 1000, 50, 12
MAX_DIMENSION, MINIMUM_GAIN = 6, 0.02
WINDOW_LAYER: EfficientNetLayer = "b3"
WINDOW_THRESHOLD = 0.25
MAX_IMAGES = 100  # in diagnostics
FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r")  # of cells in spreadsheets


@dataclass(frozen=True, kw_only=True)
class TileMap:
    """The tiles, their features and their coordinates."""

    tiles: xr.Dataset
    features_NF: NDArray[np.float32]
    embedding: Embedding
    dimension: DimensionChoice
    report: ImportReport


def main(options: EmbedOptions) -> None:
    settings = options.image_settings()
    descriptor = make_descriptor(options.descriptor, options.descriptor_settings(), (options.tile, options.tile))
    find_images(options.folder)  # before anything is written
    with building(options.out, KIND) as written:
        written.mkdir()
        with tempfile.TemporaryDirectory(dir=written, prefix=".tiles-") as workplace:
            store = Path(workplace) / "tiles.zarr"
            report = import_images(options.folder, store, settings)
            for name, reason in report.skipped.items():
                print(printable(f"skipped {name}: {reason}"), file=sys.stderr)
            tiles = open_store(store, MICROGRAPHS)
            tile_map = _embed(tiles, report, descriptor, options.method)
            extra = _diagnostics(options, settings, tile_map, descriptor)
            sentence = _sentence(descriptor, tile_map)
            summary = {"settings": asdict(settings), "skipped": report.skipped} | extra
            _write(options.folder, written, tile_map, sentence, summary)
    for line in _diagnostic_lines(extra):
        print(line)
    print(f"{options.out}: {sentence}")


def _embed(tiles: xr.Dataset, report: ImportReport, descriptor: Descriptor, method: str) -> TileMap:
    n_tiles = tiles.sizes["sample"]
    if n_tiles < 3:
        raise ValueError(
            f"found {n_tiles} tiles in {report.n_images} images that differ, expected at least 3 tiles "
            f"({len(report.skipped)} skipped); choose smaller tiles, or add images"
        )
    blocks = [tiles["image"][start : start + BLOCK].values for start in range(0, n_tiles, BLOCK)]
    features_NF = np.concatenate([descriptor.describe(block) for block in blocks])
    landmarks_L = draw_landmarks(n_tiles, N_LANDMARKS, SEED)
    points_NK = principal_axes(features_NF[landmarks_L], N_AXES).project([features_NF])
    n_neighbours = min(N_NEIGHBOURS, max(2, n_tiles // 4))
    n_components = min(MAX_DIMENSION, points_NK.shape[1])
    embedding = (
        classical_mds(points_NK, landmarks_L, n_components)
        if method == "mds"
        else isomap(points_NK, landmarks_L, n_components, n_neighbours=n_neighbours)
    )
    dimension = choose_dimension(embedding, n_neighbours=n_neighbours, minimum_gain=MINIMUM_GAIN)
    return TileMap(tiles=tiles, features_NF=features_NF, embedding=embedding, dimension=dimension, report=report)


def _diagnostics(
    options: EmbedOptions, settings: ImageSettings, tile_map: TileMap, descriptor: Descriptor
) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    images = tile_map.report.images  # some of them, evenly taken
    chosen = [images[k] for k in np.unique(np.linspace(0, len(images) - 1, MAX_IMAGES).round().astype(int))]
    owners = np.array([image.group for image in chosen])  # pages of one file stay together

    def whole() -> Iterator[NDArray[np.float32]]:
        return (read_grey(image.file, settings, page=image.page, peaks=tile_map.report.peaks) for image in chosen)

    if options.beyond_two_point:
        extra["beyond_two_point"] = beyond_two_point(whole(), owners, descriptor, options.tile, SEED)
    if options.windows:
        params = WindowParams(
            layer=WINDOW_LAYER, tiles=tuple(options.windows), threshold=WINDOW_THRESHOLD, max_images=MAX_IMAGES
        )
        extra["window"] = tile_ratios(list(whole()), owners, params)
    return extra


def _write(images: Path, out: Path, tile_map: TileMap, sentence: str, extra: dict[str, Any]) -> None:
    tiles, shown = tile_map.tiles, max(2, tile_map.dimension.dimension)
    coordinates_ND = tile_map.embedding.coordinates_ND[:, :shown]
    number: dict[str, int] = {}
    rows = []
    for source, top, left in zip(
        map(str, tiles["source"].values), tiles["tile_y"].values, tiles["tile_x"].values, strict=True
    ):
        number[source] = number.get(source, -1) + 1
        rows.append(MappedTile(file=source, tile=number[source], top_px=int(top), left_px=int(left)))
    with (out / "embedding.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = [f"coordinate_{axis + 1}" for axis in range(coordinates_ND.shape[1])]
        writer.writerow(["file", "tile", "top_px", "left_px", *names])
        for row, at in zip(rows, coordinates_ND.tolist(), strict=True):
            writer.writerow(
                [no_formula(row.file), row.tile, row.top_px, row.left_px, *(f"{value:.6g}" for value in at)]
            )
    page = image_map(
        rows,
        tiles["image"],  # read from the disk as far as shown
        coordinates_ND,
        title=f"Micrographs of {images.resolve().name}",
        notes=[f"{sentence[0].upper()}{sentence[1:]}.", *_diagnostic_lines(extra)],
    )
    (out / "map.html").write_text(page, encoding="utf-8")
    dimension = {key: value for key, value in asdict(tile_map.dimension).items() if np.isfinite(value).all()}
    write_json(out / "summary.json", {"summary": sentence, "dimension": dimension} | extra, digits=17, sort_keys=True)


def no_formula(file: str) -> str:
    """The same path, but nothing that a spreadsheet takes for a formula."""
    return f"./{file}" if file.startswith(FORMULA_BEGINS) else file


def _sentence(descriptor: Descriptor, tile_map: TileMap) -> str:
    report = tile_map.report
    residual = tile_map.dimension.residual_variance[tile_map.dimension.dimension - 1]
    return (
        f"{report.n_tiles} tiles of {report.n_images} images ({len(report.skipped)} skipped), {descriptor.name}, "
        f"{tile_map.embedding.method} of dimension {tile_map.dimension.dimension} leaves {residual:.1%} of the variance"
    )


def _diagnostic_lines(extra: dict[str, Any]) -> list[str]:
    lines = []
    if beyond := extra.get("beyond_two_point"):
        parts = [
            f"{words}: AUC {beyond[kind]['auc']:.2f} [{beyond[kind]['low']:.2f}, {beyond[kind]['high']:.2f}]"
            for kind, words in (("phases", "same two-point function"), ("phases_and_grey_levels", "and grey levels"))
        ]
        null = beyond["null"]
        blind = (
            f"{null['auc']:.2f} [{null['low']:.2f}, {null['high']:.2f}]" if null else "0.5 or more, images are small"
        )
        held = f"{beyond['n_tiles']} tiles, held out by {beyond['held_out']}"
        lines.append(
            f"Against surrogates with the {', '.join(parts)}; Gaussian fields, cut out alike: {blind} ({held})."
        )
    if window := extra.get("window"):
        ratios = ", ".join(f"{size} px {ratio:.2f}" for size, ratio in window["ratios"].items())
        size = window["recommended_px"]
        advice = f"tiles of {size} px stand for their image" if size else "no size given stands for its image"
        lines.append(f"Within- over between-image distance (squares): {ratios}; {advice}.")
    return lines
