"""An interactive map of image tiles as one HTML file that needs nothing beside it.

Every tile is a thumbnail at its coordinates; all thumbnails are one grey PNG (an atlas) inside the page, drawn on a
canvas by the small script of image_map.html.j2: drag to move, wheel to zoom, point at a tile to read where it comes
from, choose which coordinates are the axes, highlight one file. With more tiles than `max_thumbnails`, every file is
thinned evenly, and the page says so.
"""

import base64
import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

__all__ = ["MappedTile", "grey_png", "image_map"]

TEMPLATE = "image_map.html.j2"
ATLAS_COLUMNS = 40


@dataclass(frozen=True, kw_only=True)
class MappedTile:
    """Where a tile comes from; top and left are pixels of the image as it was read."""

    file: str
    tile: int
    top_px: int
    left_px: int


def image_map(
    tiles: Sequence[MappedTile],
    thumbnails: Any,  # noqa: ANN401 - indexed one by one, may lie on disk
    coordinates_ND: NDArray[np.floating],
    *,
    title: str,
    notes: Sequence[str],
    thumbnail_px: int = 64,
    max_thumbnails: int = 1500,
) -> str:
    """The page. `thumbnails` are images of any one shape, each scaled to its own darkest and brightest pixel."""
    shown = thinned([tile.file for tile in tiles], max_thumbnails)
    files = sorted({tile.file for tile in tiles})
    number = {file: index for index, file in enumerate(files)}
    points = [
        [number[tiles[i].file], tiles[i].tile, tiles[i].top_px, tiles[i].left_px, *coordinates_ND[i].round(5).tolist()]
        for i in shown
    ]
    small = [shrunk(np.asarray(thumbnails[i]), thumbnail_px) for i in shown]
    lines = list(notes)
    if len(shown) < len(tiles):
        lines.append(f"{len(shown)} of {len(tiles)} tiles are drawn; all are in the CSV file.")
    data = {"files": files, "points": points, "px": thumbnail_px, "columns": ATLAS_COLUMNS}
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(TEMPLATE).render(
        title=title,
        notes=lines,
        data=Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")),
        atlas=base64.b64encode(grey_png(atlas_of(small, thumbnail_px))).decode("ascii"),
        n_axes=coordinates_ND.shape[1],
    )


def thinned(files: Sequence[str], most: int) -> list[int]:
    """At most `most` indices in order, the same share of every file, at least one of each while that fits."""
    if len(files) <= most:
        return list(range(len(files)))
    tiles_of: dict[str, list[int]] = {}
    for index, file in enumerate(files):
        tiles_of.setdefault(file, []).append(index)
    share = most / len(files)
    kept = []
    for indices in tiles_of.values():
        n = max(1, int(len(indices) * share))
        kept += [indices[k] for k in np.linspace(0, len(indices) - 1, n).round().astype(int)]
    return sorted(kept)[:most]


def shrunk(image: NDArray[np.floating], size: int) -> NDArray[np.uint8]:
    """`image` as (size, size) bytes: means over its pixels, or repeated pixels where it is smaller."""
    edges = [np.linspace(0, length, size + 1) for length in image.shape]
    rows, columns = ([slice(int(a), max(int(np.ceil(b)), int(a) + 1)) for a, b in pairwise(e)] for e in edges)
    small = np.array([image[row].mean(0) for row in rows])
    small = np.array([small[:, column].mean(1) for column in columns]).T
    low, high = float(small.min()), float(small.max())
    return np.asarray((small - low) / max(high - low, 1e-12) * 255).round().astype(np.uint8)


def atlas_of(small: Sequence[NDArray[np.uint8]], size: int) -> NDArray[np.uint8]:
    n_rows = -(-len(small) // ATLAS_COLUMNS)
    atlas = np.zeros((max(n_rows, 1) * size, min(max(len(small), 1), ATLAS_COLUMNS) * size), dtype=np.uint8)
    for index, image in enumerate(small):
        row, column = divmod(index, ATLAS_COLUMNS)
        atlas[row * size : (row + 1) * size, column * size : (column + 1) * size] = image
    return atlas


def grey_png(pixels: NDArray[np.uint8]) -> bytes:
    """An 8-bit greyscale PNG file (https://www.w3.org/TR/png)."""
    height, width = pixels.shape
    unfiltered = np.concatenate([np.zeros((height, 1), dtype=np.uint8), pixels], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(unfiltered, 9)), (b"IEND", b""))
    )
