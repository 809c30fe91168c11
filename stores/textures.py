"""Schema of `data/textures.zarr`: feature vectors of unit length, one variable for each descriptor.

    <descriptor>[i, :] describes the image in row `image_row[i]` of microstructures.zarr; images that failed have no row

Which descriptors there are is said by the store itself, in the attribute `descriptors` (a JSON list of names), so the
schema is a function of it: `textures_schema(names)`. Rows of one parameter point share `group`: split by it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores.schema import Fact, StoreSchema, Variable

__all__ = ["schema_of", "textures_schema", "tiny"]

ROW = ("sample",)
ROUNDING = 1e-4


def textures_schema(descriptors: Sequence[str]) -> StoreSchema:
    """The contract of a store with these descriptors."""
    return StoreSchema(
        name="textures",
        version="1",
        coordinates=(),
        variables=(
            _index("image_row", "row in microstructures.zarr"),
            _index("group", "parameter point; rows that share it are realisations of one: split by it"),
            *(_features(name) for name in descriptors),
        ),
        facts=tuple(
            Fact(
                name=f"{name}_unit",
                expected="feature vectors of length 1",
                variables=(name,),
                violated=lambda block, name=name: _length_not_one(block, name),  # type: ignore[misc]
            )
            for name in descriptors
        ),
        attributes=("descriptors", "settings"),
    )


def schema_of(attributes: Mapping[str, Any]) -> StoreSchema:
    """The schema of a store with these global attributes. Raises ValueError where they tell no descriptors."""
    try:
        names = json.loads(attributes["descriptors"])
    except (KeyError, TypeError, json.JSONDecodeError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        stated = attributes.get("descriptors")
        raise ValueError(f"textures: found descriptors {stated!r} in the attributes, expected a JSON list of names")
    return textures_schema(names)


def tiny() -> xr.Dataset:
    """A valid example: two descriptors of three images, two of one parameter point."""
    rng = np.random.default_rng(0)
    schema = textures_schema(["efficientnet", "two_point"])
    columns: dict[str, NDArray[Any]] = {
        "image_row": np.array([0, 1, 3]),
        "group": np.array([0, 0, 1]),
        "efficientnet": rng.standard_normal((3, 4)),
        "two_point": rng.standard_normal((3, 5)),
    }
    for name in ("efficientnet", "two_point"):
        columns[name] = (columns[name] / np.linalg.norm(columns[name], axis=1, keepdims=True)).astype(np.float32)
    return schema.dataset(columns, {"descriptors": json.dumps(["efficientnet", "two_point"]), "settings": "{}"})


def _index(name: str, description: str) -> Variable:
    return Variable(name, ROW, "int64", "dimensionless", description, low=0)


def _features(name: str) -> Variable:
    return Variable(
        name,
        ("sample", f"{name}_feature"),
        "float32",
        "dimensionless",
        f"features of the descriptor {name}, unit length",
        low=-1 - ROUNDING,
        high=1 + ROUNDING,
    )


def _length_not_one(block: xr.Dataset, name: str) -> NDArray[np.bool_]:
    length = np.linalg.norm(block[name].values.astype(np.float64), axis=1)
    return np.asarray(abs(length - 1) > ROUNDING)
