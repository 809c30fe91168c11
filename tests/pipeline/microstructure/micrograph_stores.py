"""Small stores of lamellae and cells for tests: random images, textures that know the parameters linearly."""

import json
from pathlib import Path

import numpy as np
import xarray as xr

from stores.microstructures import GENERATORS, MICROSTRUCTURES
from stores.textures import textures_schema
from stores.zarr_store import write_store

N_PX = 16
SETTINGS = {"seed": 0, "phase_order": {"scale_px": [4.0, 8.0], "wall_width": 0.2, "clip_sigmas": 4.0}}
NAMES = ("efficientnet", "two_point")


def write_stores(root: Path, n_points: int = 24, *, constant_on_cells: bool = False) -> None:
    """Both generators with two realisations of every point; two_point features know nothing of phase_order.

    `constant_on_cells`: two_point features are the same for all images of phase_order.
    """
    rng = np.random.default_rng(0)
    n = 2 * n_points
    point = np.repeat(np.arange(n_points), 2)
    nan, u = np.full(n, np.nan), rng.uniform(size=(n_points, 3))[point]
    v = rng.uniform(size=(n_points, 2))[point]
    columns = {
        "image": rng.uniform(size=(2 * n, N_PX, N_PX)).astype(np.float32),
        "generator": np.repeat([GENERATORS.index(g) for g in ("lamellae", "phase_order")], n).astype(np.int8),
        "angle": np.concatenate([np.pi * u[:, 0], nan]),
        "noise_strength": np.concatenate([np.exp(u[:, 1]), nan]),
        "scale_px": np.concatenate([np.exp(1 + u[:, 2]), np.exp(1 + v[:, 1])]),
        "phase_order": np.concatenate([nan, v[:, 0]]),
        "group": np.concatenate([point, point + n_points]),
        "status": np.zeros(2 * n, np.int8),
        "failure": np.full(2 * n, "", object),
    }
    images = xr.Dataset(
        {x.name: (x.dims, columns[x.name], x.attrs) for x in MICROSTRUCTURES.variables},
        attrs={"generators": json.dumps(GENERATORS), "periodic": False, "settings": json.dumps(SETTINGS)},
    )
    write_store(root / "data/microstructures.zarr", MICROSTRUCTURES, images)
    lamellae = np.column_stack([np.cos(2 * np.pi * u[:, 0]), np.sin(2 * np.pi * u[:, 0]), u[:, 1], u[:, 2]])
    known = np.concatenate([lamellae, np.column_stack([4 * v[:, 0], v[:, 1], 0 * v])])
    blind = np.concatenate([lamellae[:, :2], np.column_stack([v[:, 1], rng.uniform(size=n)])])
    features = {"efficientnet": known, "two_point": blind}
    values = {name: unit(x + 0.01 * rng.normal(size=x.shape)) for name, x in features.items()}
    if constant_on_cells:
        values["two_point"][n:] = values["two_point"][n]
    values |= {"image_row": np.arange(2 * n), "group": columns["group"]}
    schema = textures_schema(NAMES)
    textures = xr.Dataset(
        {x.name: (x.dims, values[x.name], x.attrs) for x in schema.variables},
        attrs={"descriptors": json.dumps(NAMES), "settings": "{}"},
    )
    write_store(root / "data/textures.zarr", schema, textures)


def unit(features: np.ndarray) -> np.ndarray:
    """Unit rows that keep a flat cloud flat: the length goes into one more column."""
    inside = 0.05 * features
    rest = np.sqrt(1 - (inside**2).sum(1, keepdims=True))
    return np.concatenate([inside, rest], axis=1).astype(np.float32)
