"""What the page of micrographs is drawn from: stores, records of its stages, coordinates of the maps."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline.microstructure.records import (
    BeyondMetrics,
    Constant,
    EmbeddingDetails,
    EmbeddingMetrics,
    Goal,
    MapDetails,
    MapLaw,
    MapMetrics,
)
from pipeline.microstructure.report.beyond_section import ARRAYS
from pipeline.report.inputs import params_hash, require
from stores.manifest import read_manifest
from stores.microstructures import open_microstructures
from stores.zarr_store import open_store

__all__ = ["MicrostructureInputs", "best_of", "read_microstructures"]

FloatArray = NDArray[np.float64]
AMap = TypeVar("AMap", MapMetrics, MapDetails)
PARAMS = ("microstructures", "textures", "embedding", "reconstruction")
FILES = {
    "data/microstructures.zarr": "microstructures",
    "data/textures.zarr": "textures",
    "reports/embedding": "embedding",
    ARRAYS: "reconstruction",
}


@dataclass(frozen=True, kw_only=True)
class MicrostructureInputs:
    """`details` are the same maps as `results`, with their intervals."""

    images: xr.Dataset  # lazily read
    results: Sequence[MapMetrics]
    details: Sequence[MapDetails]
    constant: Sequence[Constant]
    goals: Sequence[Goal]
    laws: Sequence[MapLaw]
    folder: Path
    settings: Mapping[str, Any]  # params of the generators
    provenance: list[tuple[str, str]]

    def coordinates(self, generator: str, descriptor: str, method: str) -> tuple[NDArray[np.int64], FloatArray]:
        """Image rows (N,) and coordinates (N, D) of one map."""
        path = self.folder / f"{generator}_{descriptor}_{method}.csv"
        table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
        return table[:, 0].astype(np.int64), table[:, 2:]

    def column(self, name: str, rows: NDArray[np.int64]) -> FloatArray:
        return np.asarray(self.images[name].values[rows], dtype=np.float64)

    def pictures(self, rows: NDArray[np.int64]) -> FloatArray:
        """Images (n, y, x)."""
        order = np.argsort(rows, kind="stable")
        images = self.images["image"][rows[order]].values
        return np.asarray(images[np.argsort(order, kind="stable")], dtype=np.float64)

    def details_of(self, record: MapMetrics) -> MapDetails:
        names = (record.generator, record.descriptor, record.method)
        return next(d for d in self.details if (d.generator, d.descriptor, d.method) == names)


def read_microstructures(root: Path) -> MicrostructureInputs:
    """Raises FileNotFoundError that lists every input which is missing, with the stage that makes it."""
    require(root, FILES, (EmbeddingMetrics, EmbeddingDetails, BeyondMetrics))
    images = open_microstructures(root / "data/microstructures.zarr")
    textures = open_store(root / "data/textures.zarr")
    details = EmbeddingDetails.read(root)
    return MicrostructureInputs(
        images=images,
        results=EmbeddingMetrics.read(root).results,
        details=details.maps,
        constant=details.constant,
        goals=details.goals,
        laws=details.laws,
        folder=root / "reports/embedding",
        settings=json.loads(images.attrs["settings"]),
        provenance=[
            ("images", read_manifest(root / "data/microstructures.zarr").hash),
            ("generators", str(images.attrs["settings"])),
            ("textures", read_manifest(root / "data/textures.zarr").hash),
            ("descriptors", str(textures.attrs["settings"])),
            ("params", params_hash(root, PARAMS)),
        ],
    )


def best_of(records: Sequence[AMap], generator: str, parameter: str) -> list[AMap]:
    """Of every descriptor the map in which a parameter is recovered best, in the order of the records."""
    best: dict[str, AMap] = {}
    for record in records:
        if record.generator == generator:
            before = best.get(record.descriptor)
            if before is None or _value(record, parameter) > _value(before, parameter):
                best[record.descriptor] = record
    return list(best.values())


def _value(record: MapMetrics | MapDetails, parameter: str) -> float:
    value = record.linear_r2[parameter]
    return value[0] if isinstance(value, tuple) else value
