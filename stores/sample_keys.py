"""Which rows of two stores are the same sample: by what was asked for, not by what came out nor by where it stands.

A key is the hash of the columns that say what a sample is, the Hamiltonian, spin view and temperature of a spectrum,
the elements and positions of a frame. Rows with equal keys (realisations of one parameter point, frames given twice)
are told apart by their order: the k-th of one store is the k-th of the other.

A schema declares its key as SAMPLE_KEY in its own module; those written before there were keys have theirs in KEYS. A
schema without one is compared row by row, and the comparison says so.
"""

import hashlib
import importlib
import importlib.util
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

__all__ = ["KEYS", "SampleKey", "blocks_of_rows", "key_digests", "members_of", "pair_rows", "sample_key"]

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class SampleKey:
    """`columns` along `dim` identify a sample; if empty, all along `dim` but `results` do; if both are, the row number.

    `members`: columns along `member_dim`, of which sample m owns n_atoms[m] rows from first_atom[m] on (CSR).
    `codes`: columns of codes -> global attribute with the JSON list of what they stand for.
    `offsets`: columns which tell where something stands in this store, and are not compared.
    """

    dim: str
    columns: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    member_dim: str = ""
    codes: Mapping[str, str] | None = None
    offsets: tuple[str, ...] = ()

    @property
    def by_row(self) -> bool:
        return not (self.columns or self.results or self.members)

    def names(self, dataset: xr.Dataset) -> list[str]:
        """The columns of the key that a store has."""
        along = [str(name) for name, array in dataset.variables.items() if array.dims[:1] == (self.dim,)]
        if self.results:
            return sorted(name for name in along if name not in self.results)
        return [name for name in (*self.columns, *self.members) if name in dataset.variables]

    def rule(self, names: list[str]) -> str:
        """In words."""
        if self.by_row:
            return "by row number: the schema declares no key (SAMPLE_KEY)"
        return f"same {', '.join(names)}; equal ones in their order"


KEYS: Mapping[str, SampleKey] = {
    "spectra": SampleKey(
        dim="sample", columns=("interaction", "hybridization", "level", "field", "temperature", "mirrored")
    ),
    "kondo_temperatures": SampleKey(dim="sample", columns=("interaction", "hybridization", "level")),
    "latents": SampleKey(dim="sample", columns=("subset_index", "spectrum_row"), codes={"subset_index": "subsets"}),
    "microstructures": SampleKey(
        dim="sample", results=("image", "group", "status", "failure"), codes={"generator": "generators"}
    ),
    "textures": SampleKey(dim="sample", columns=("image_row",)),
    "micrographs": SampleKey(dim="sample", columns=("source", "tile_y", "tile_x")),
    "atoms": SampleKey(
        dim="config",
        columns=("n_atoms", "cell", "pbc"),
        members=("number", "position"),
        member_dim="atom",
        offsets=("first_atom",),
    ),
}


def sample_key(schema: str, dataset: xr.Dataset) -> SampleKey:
    """The key that the module of a schema declares, else that of KEYS, else the row of its commonest dimension."""
    if importlib.util.find_spec(f"stores.{schema}") is not None:
        declared = getattr(importlib.import_module(f"stores.{schema}"), "SAMPLE_KEY", None)
        if isinstance(declared, SampleKey):
            return declared
    if schema in KEYS:
        return KEYS[schema]
    dims = [str(array.dims[0]) for name, array in dataset.data_vars.items() if array.dims]
    return SampleKey(dim=max(set(dims), key=dims.count) if dims else "")


def key_digests(dataset: xr.Dataset, key: SampleKey, names: list[str], block_bytes: int) -> NDArray[np.uint64]:
    """(n, 2) hashes of 128 bit, one for each sample; at most some `block_bytes` are read at a time."""
    n_samples = dataset.sizes[key.dim]
    digests = np.empty((n_samples, 2), dtype=np.uint64)
    plain = [name for name in names if name not in key.members]
    members = [name for name in names if name in key.members]
    for rows in blocks_of_rows(dataset, key, names, np.arange(n_samples), block_bytes):
        cells = [_cells(dataset, key, name, dataset[name][rows[0] : rows[-1] + 1].values) for name in plain]
        owned, counts = members_of(dataset, key, rows) if members else (rows, np.ones(len(rows), dtype=np.int64))
        ends = np.cumsum(counts)
        inner = [_canonical(dataset[name][owned[0] : owned[-1] + 1].values) for name in members] if owned.size else []
        for index, row in enumerate(rows):
            digest = hashlib.blake2b(digest_size=16)
            for column in cells:
                digest.update(_bytes(column[index]))
            for owned_cells in inner:
                digest.update(_bytes(owned_cells[ends[index] - counts[index] : ends[index]]))
            digests[row] = np.frombuffer(digest.digest(), dtype=np.uint64)
    return digests


def pair_rows(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> tuple[Rows, Rows]:
    """Rows of the two stores that hold the same sample, in the order of the first store."""
    both = np.concatenate([first, second])
    order = np.lexsort((both[:, 1], both[:, 0]))
    new = np.ones(len(both), dtype=bool)
    new[1:] = (both[order][1:] != both[order][:-1]).any(axis=1)
    number = np.empty(len(both), dtype=np.int64)
    number[order] = np.cumsum(new) - 1
    numbers = number[: len(first)], number[len(first) :]
    ranked = [values * (len(both) + 1) + _rank(values) for values in numbers]
    _, rows, others = np.intersect1d(ranked[0], ranked[1], assume_unique=True, return_indices=True)
    in_order = np.argsort(rows)
    return rows[in_order].astype(np.int64), others[in_order].astype(np.int64)


def blocks_of_rows(
    dataset: xr.Dataset, key: SampleKey, names: list[str], rows: Rows, block_bytes: int
) -> Iterator[Rows]:
    """`rows` cut so that what the longest column holds of each piece comes to some `block_bytes`, one row at least."""
    if not rows.size:
        return
    plain = [_row_bytes(dataset[name]) for name in names if dataset[name].dims[0] == key.dim]
    inner = [_row_bytes(dataset[name]) for name in names if key.member_dim and dataset[name].dims[0] == key.member_dim]
    weights = np.full(len(rows), max(plain, default=1), dtype=np.int64)
    if inner:
        weights = np.maximum(weights, max(inner) * dataset["n_atoms"].values[rows].astype(np.int64))
    piece = (np.cumsum(weights) - weights) // block_bytes
    yield from np.split(rows, np.flatnonzero(np.diff(piece)) + 1)


def members_of(dataset: xr.Dataset, key: SampleKey, rows: Rows) -> tuple[Rows, Rows]:
    """Rows along `member_dim` that these samples own, one sample after the other, and how many each has."""
    counts = dataset["n_atoms"].values[rows].astype(np.int64)
    first = dataset["first_atom"].values[rows].astype(np.int64)
    starts = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) + np.repeat(first - starts, counts), counts


def _rank(values: Rows) -> Rows:
    """How many equal values stand before each."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.ones(len(values), dtype=bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    first = np.maximum.accumulate(np.where(starts, np.arange(len(values)), 0))
    rank = np.empty(len(values), dtype=np.int64)
    rank[order] = np.arange(len(values)) - first
    return rank


def _cells(dataset: xr.Dataset, key: SampleKey, name: str, values: NDArray[Any]) -> NDArray[Any]:
    """One column of the key; codes as what they stand for, which may have other codes in the other store."""
    if key.codes and name in key.codes:
        words = json.loads(dataset.attrs[key.codes[name]])
        return np.array([words[code] for code in values], dtype=object)
    return _canonical(values)


def _canonical(values: NDArray[Any]) -> NDArray[Any]:
    """Of equal numbers one pattern of bits: one zero, one NaN, one byte order."""
    if values.dtype.kind == "f":
        return np.where(np.isnan(values), np.nan, values + 0.0).astype("<f8")
    return values if values.dtype.kind in "OUT" else values.astype("<i8")


def _bytes(cell: Any) -> bytes:  # noqa: ANN401 - a text, a number or an array of them
    content = cell.encode() if isinstance(cell, str) else np.asarray(cell).tobytes()
    return len(content).to_bytes(8, "little") + content


def _row_bytes(array: xr.DataArray) -> int:
    itemsize = 64 if array.dtype.kind in "OUT" else array.dtype.itemsize
    return itemsize * max(1, math.prod(array.shape[1:]))
