"""The logical hash of a store: what it says, whatever the bytes on disk.

    hash of a variable = sha256(name, dtype, shape, dims, attrs, decoded little-endian cells in C order)
    hash of a store    = sha256(global attributes without the manifest, hashes of all variables), keys sorted

Two stores with one hash hold the same data, also when another library version compresses them differently. The
manifest stands in the attributes of the store itself, written last: a store without one was never finished.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Manifest", "VariableHash", "canonical_json", "store_hash"]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Identity of a store: rows per dimension and hashes (hexadecimal sha256).

    `metadata` holds the bytes of each variable's zarr.json: they say how to decode, and have no checksum of their own.
    """

    schema: str
    schema_version: str
    sizes: Mapping[str, int]
    hash: str
    variables: Mapping[str, str]
    metadata: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        return dict(asdict(self))


class VariableHash:
    """Hash of one variable, fed block by block along its first axis; the partition into blocks does not matter."""

    def __init__(
        self, name: str, dtype: str, shape: Iterable[int], dims: Iterable[str], attrs: Mapping[str, Any]
    ) -> None:
        header = [name, dtype, [int(size) for size in shape], list(dims), dict(attrs)]
        self._sha256 = hashlib.sha256(canonical_json(header).encode())

    def update(self, values: NDArray[Any]) -> None:
        if values.dtype.kind in "OUT":
            for text in values.ravel().tolist():
                encoded = str(text).encode()
                self._sha256.update(len(encoded).to_bytes(8, "little") + encoded)
        else:
            self._sha256.update(np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes())

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


def store_hash(attributes: Mapping[str, Any], variables: Mapping[str, str]) -> str:
    """Hash of a whole store from its global attributes (any manifest among them is left out) and variable hashes."""
    told = {key: value for key, value in attributes.items() if key != "manifest"}
    return hashlib.sha256(canonical_json([told, dict(variables)]).encode()).hexdigest()


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces; NaN and infinities are refused, for readers disagree about them."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
