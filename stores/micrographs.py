"""Schema of stores of a user's own micrographs: one row per square tile (stores.importers.images).

    image[i, y, x]   grey in [0, 1]
    group[i]         number of the image file; split by it, or neighbouring tiles of a test image are trained on
    source[i]        its path inside the imported folder; FILE#k for page k of a stack, whose pages share a group
    tile_y, tile_x   first row and column of the tile in the image [px]

`skipped_file` and `skipped_reason`, of another length, name the images that could not be used. Attribute `settings` is
the JSON of how the files were read and cut.
"""

import re
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores.schema import Fact, StoreSchema, Variable

__all__ = ["MICROGRAPHS", "tiny"]

ROW = ("sample",)
SKIPPED = ("skipped",)


def _column(name: str, dtype: str, units: str, description: str, **rules: Any) -> Variable:  # noqa: ANN401 - fields of Variable
    return Variable(name, ROW, dtype, units, description, **rules)


def _flat(block: xr.Dataset) -> NDArray[np.bool_]:
    images = block["image"].values
    return np.asarray(images.min(axis=(1, 2)) == images.max(axis=(1, 2)))


def _groups_and_files_differ(block: xr.Dataset) -> NDArray[np.bool_]:
    """Numbers and files name the same rows."""
    files = [re.sub(r"#\d+$", "", str(source)) for source in block["source"].values]
    _, group = np.unique(block["group"].values, return_inverse=True)
    _, source = np.unique(files, return_inverse=True)
    pairs = np.unique(np.stack([group, source]), axis=1)
    alone = [np.bincount(names)[rows] == 1 for names, rows in zip(pairs, (group, source), strict=True)]
    return np.asarray(~(alone[0] & alone[1]))


def _empty(block: xr.Dataset) -> NDArray[np.bool_]:
    return np.asarray(block["group"].values.size == 0)


MICROGRAPHS = StoreSchema(
    name="micrographs",
    version="1",
    coordinates=(),
    variables=(
        Variable("image", ("sample", "y", "x"), "float32", "dimensionless", "grey value", low=0, high=1),
        _column("group", "int64", "dimensionless", "number of the image file; split by it", low=0),
        _column("source", "str", "dimensionless", "path of the file inside the imported folder"),
        _column("tile_y", "int64", "px", "first row of the tile in its file", low=0),
        _column("tile_x", "int64", "px", "first column of the tile in its file", low=0),
        _column("pixel_size_um", "float64", "um", "width of a pixel, NaN where unknown", above=0, nan_allowed=True),
        Variable("skipped_file", SKIPPED, "str", "dimensionless", "file that is not used"),
        Variable("skipped_reason", SKIPPED, "str", "dimensionless", "why it is not used"),
    ),
    facts=(
        Fact("some_tiles", "at least one tile", ("group",), _empty, whole=True),
        Fact("contrast", "contrast in every tile", ("image",), _flat),
        Fact(
            "one_group_per_file", "one group for each file", ("group", "source"), _groups_and_files_differ, whole=True
        ),
    ),
    attributes=("settings",),
)


def tiny() -> xr.Dataset:
    """A valid example: two tiles of one file, one of another, one file skipped."""
    n_px = 8
    wave = np.cos(2 * np.pi * np.arange(n_px) / 4)
    columns: dict[str, Any] = {
        "image": np.broadcast_to(0.5 + 0.4 * wave, (3, n_px, n_px)).astype(np.float32),
        "group": np.array([0, 0, 1]),
        "source": np.array(["steel/a.png", "steel/a.png", "b.tif"], dtype=object),
        "tile_y": np.array([0, 0, 3]),
        "tile_x": np.array([0, 8, 3]),
        "pixel_size_um": np.array([0.1, 0.1, np.nan]),
        "skipped_file": np.array(["c.jpg"], dtype=object),
        "skipped_reason": np.array(["example"], dtype=object),
    }
    return MICROGRAPHS.dataset(columns, {"settings": "{}"})
