"""The logical hash of a store: what it says, whatever the bytes on disk.

    hash of a variable = sha256(name, dtype, shape, dims, attrs, decoded little-endian cells in C order)
    hash of a store    = sha256(global attributes without the manifest, hashes of all variables), keys sorted

Two stores with one hash hold the same data, also when another library version compresses them differently. The
manifest stands in the attributes of the store itself, written last: a store without one was never finished. It is one
text of JSON there, for netCDF and others hold no attributes within attributes.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CURE", "Manifest", "VariableHash", "canonical_json", "read_manifest", "store_hash", "strict_json"]

CURE = "bring it back with `dvc checkout` or `dvc pull`, or make it anew with `dvc repro`"


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

    def as_text(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def parse(cls, attribute: object) -> "Manifest":
        """The manifest from the attribute of a store, a text of JSON or, in older stores, an object.

        Raises ValueError that tells everything which is wrong with it.
        """
        document = strict_json(attribute) if isinstance(attribute, str) else attribute
        if not isinstance(document, Mapping):
            raise ValueError(f"found a manifest of type {type(document).__name__}, expected an object")
        names = {field.name for field in fields(cls)}
        problems = [f"unknown key {key!r}" for key in document if key not in names]
        problems += [f"missing key {name!r}" for name in sorted(names - set(document))]
        for key in names & set(document):
            value, kind = document[key], {"sizes": int}.get(key, str)
            if key not in ("sizes", "variables", "metadata"):
                cells: Iterable[object] = [value]
            elif isinstance(value, Mapping):
                cells = value.values()
            else:
                problems.append(f"{key} is of type {type(value).__name__}, expected an object")
                continue
            problems += [
                f"{key} holds {cell!r:.80}, expected {kind.__name__}" for cell in cells if type(cell) is not kind
            ]
        if problems:
            raise ValueError("; ".join(sorted(problems)))
        return cls(**document)


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
    shaping = {key: value for key, value in attributes.items() if key != "manifest"}
    return hashlib.sha256(canonical_json([shaping, dict(variables)]).encode()).hexdigest()


def read_manifest(path: str | Path) -> Manifest:
    """The manifest inside a store, without reading data."""
    text = strict_json((Path(path) / "zarr.json").read_text())["attributes"].get("manifest")
    if text is None:
        raise ValueError(f"{path} has no manifest: it was never finished. Make it anew with `dvc repro`")
    try:
        return Manifest.parse(text)
    except ValueError as error:
        raise ValueError(f"{path} has a damaged manifest: {error}; {CURE}") from None


def strict_json(text: str) -> Any:  # noqa: ANN401 - JSON
    """Like json.loads, but repeated keys and NaN are a ValueError: readers disagree about them."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(pairs)
        if len(mapping) != len(pairs):
            raise ValueError(f"a key occurs twice among {[key for key, _ in pairs]!r:.200}")
        return mapping

    def refuse(constant: str) -> None:
        raise ValueError(f"found {constant}, which is no JSON")

    return json.loads(text, object_pairs_hook=once, parse_constant=refuse)


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces; NaN and infinities are refused, for readers disagree about them."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
