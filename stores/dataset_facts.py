"""What is said of a dataset that is published: read from its schema, its attributes, its manifest and its numbers.

Nothing is typed twice: the card for people (stores.dataset_card) and Croissant for programs (stores.croissant) both say
what stands here.
"""

import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date as Date
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores.manifest import Manifest, read_manifest
from stores.outcome import OK
from stores.sample_keys import SampleKey, blocks_of_rows, sample_key
from stores.schema import StoreSchema

__all__ = [
    "DEFAULT_LICENCE",
    "ColumnFacts",
    "DatasetFacts",
    "FileFacts",
    "Publication",
    "dataset_facts",
    "is_licence",
    "licence_of",
    "row_blocks",
]

DEFAULT_LICENCE = "CC-BY-4.0"
BLOCK_BYTES = 8 * 1024 * 1024
N_REASONS = 5
LICENCE_KEYS = ("licence", "license")


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What the store does not tell. `licence`: an SPDX identifier or a URL; None: that of the store, else CC-BY-4.0."""

    name: str
    creators: tuple[str, ...]
    version: str
    date: Date
    licence: str | None = None
    description: str = ""
    url: str = ""


@dataclass(kw_only=True)
class ColumnFacts:
    """Of one variable: its size in words, and what its numbers are."""

    name: str
    dims: str
    dtype: str
    units: str
    description: str
    lowest: float | None = None
    highest: float | None = None
    n_missing: int = 0  # NaN

    @property
    def text(self) -> str:
        """The description with the units."""
        return self.description if self.units == "dimensionless" else f"{self.description} [{self.units}]"

    @property
    def range(self) -> str:
        """From the lowest to the highest number; empty of texts and where there is none."""
        if self.lowest is None or self.highest is None:
            return ""
        return f"{self.lowest:.4g}" if self.lowest == self.highest else f"{self.lowest:.4g} to {self.highest:.4g}"


@dataclass(kw_only=True)
class FileFacts:
    """One file of the folder."""

    name: str
    description: str
    media_type: str
    n_bytes: int
    sha256: str


@dataclass(kw_only=True)
class DatasetFacts:
    """All that card and Croissant say, read from the store."""

    publication: Publication
    licence: str
    schema: StoreSchema
    conventions: str  # docstring of the schema
    manifest: Manifest
    attributes: dict[str, Any]  # without the manifest
    columns: list[ColumnFacts]
    sample_dim: str
    table_columns: list[str]  # of the table, after `row`
    n_failed: int
    reasons: list[tuple[str, int]]  # why samples failed, commonest first
    files: list[FileFacts] = field(default_factory=list)

    @property
    def citation(self) -> str:
        """In one line."""
        publication = self.publication
        return (
            f"{', '.join(publication.creators)}: {publication.name}, version {publication.version} "
            f"({publication.date.year}), hash {self.manifest.hash}"
        )

    @property
    def n_samples(self) -> int:
        return self.manifest.sizes[self.sample_dim]

    @property
    def frames(self) -> FileFacts | None:
        return next((file for file in self.files if ".extxyz" in file.name), None)


def licence_of(attributes: Mapping[Any, Any], asked: str | None, *, where: str) -> str:
    """The licence of a store: its own if it states one, else the one that was asked for, else CC-BY-4.0.

    Data that were imported and state none have that of their source: it must be asked for. Raises ValueError.
    """
    stated = next((str(attributes[key]) for key in LICENCE_KEYS if key in attributes), None)
    if stated is not None:
        if asked not in (None, stated):
            raise ValueError(
                f"{where}: found licence {stated} in the store, expected no other; leave out --licence {asked}"
            )
        return stated
    if asked is None and "imported" in attributes:
        raise ValueError(
            f"{where}: found imported data that state no licence, expected that of their source; name it: --licence ID"
        )
    return asked or DEFAULT_LICENCE


def dataset_facts(
    store: Path, dataset: xr.Dataset, schema: StoreSchema, publication: Publication, licence: str
) -> DatasetFacts:
    """All of it but the files. Every number of the store is read, a block at a time."""
    key = sample_key(schema.name, dataset)
    along = [variable.name for variable in schema.variables if variable.dims == (key.dim,)]
    status = dataset["status"].values if "status" in dataset else np.zeros(0)
    reasons = Counter(dataset["failure"].values[status != OK].tolist() if "failure" in dataset else [])
    columns = []
    for variable in schema.all_variables:
        array = dataset[variable.name]
        dims = " x ".join(f"{dim} {size}" for dim, size in array.sizes.items()) or "one value"
        column = ColumnFacts(
            name=variable.name,
            dims=dims,
            dtype=variable.dtype,
            units=variable.units,
            description=variable.description,
        )
        _measure(column, dataset)
        columns.append(column)
    module = importlib.import_module(f"stores.{schema.name}")
    return DatasetFacts(
        publication=publication,
        licence=licence,
        schema=schema,
        conventions=inspect.getdoc(module) or "",
        manifest=read_manifest(store),
        attributes={str(name): value for name, value in dataset.attrs.items() if name != "manifest"},
        columns=columns,
        sample_dim=key.dim,
        table_columns=along,
        n_failed=int((status != OK).sum()),
        reasons=reasons.most_common(N_REASONS),
    )


def _measure(column: ColumnFacts, dataset: xr.Dataset) -> None:
    """Range and NaN count of a variable, block by block."""
    for _, values in row_blocks(dataset, [column.name]):
        numbers = values[column.name]
        if numbers.dtype.kind not in "fiu":
            return
        missing = np.isnan(numbers)
        column.n_missing += int(missing.sum())
        if not missing.all():
            low, high = float(np.nanmin(numbers)), float(np.nanmax(numbers))
            column.lowest = low if column.lowest is None else min(column.lowest, low)
            column.highest = high if column.highest is None else max(column.highest, high)


def row_blocks(dataset: xr.Dataset, names: list[str]) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
    """First row and rows of variables with one leading dimension, in blocks that memory has."""
    dim = str(dataset[names[0]].dims[0])
    for rows in blocks_of_rows(dataset, SampleKey(dim=dim), names, np.arange(dataset.sizes[dim]), BLOCK_BYTES):
        yield int(rows[0]), {name: dataset[name][rows[0] : rows[-1] + 1].values for name in names}


def is_licence(text: str) -> bool:
    """Whether this is an SPDX identifier by its form, or an address."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*|https?://\S+", text) is not None
