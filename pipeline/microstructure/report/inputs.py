"""What the page of the lane `microstructures` is drawn from: stores, metrics, coordinates of the maps."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline.microstructure.report.reconstruction_section import ARRAYS, BEYOND_METRICS
from pipeline.runtime.params import read_section
from stores.manifest import read_manifest
from stores.microstructures import MICROSTRUCTURES
from stores.zarr_store import open_store

__all__ = ["MicrostructureInputs", "best_of", "details_of", "read_microstructures"]

FloatArray = NDArray[np.float64]
PARAMS = ("microstructures", "textures", "embedding", "reconstruction")


@dataclass(frozen=True, kw_only=True)
class MicrostructureInputs:
    """`results` are the records of reports/metrics/embedding.json; `details` the same maps with their intervals."""

    images: xr.Dataset  # lazily read
    results: Sequence[Mapping[str, Any]]
    details: Sequence[Mapping[str, Any]]
    goals: Sequence[Mapping[str, Any]]
    laws: Sequence[Mapping[str, Any]]
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
        found = self.images["image"][rows[order]].values
        return np.asarray(found[np.argsort(order, kind="stable")], dtype=np.float64)


def read_microstructures(root: Path) -> MicrostructureInputs:
    """Raises FileNotFoundError that lists every input which is missing, with the stage that makes it."""
    needed = {
        "data/microstructures.zarr": "microstructures",
        "data/textures.zarr": "textures",
        "reports/embedding": "embedding",
        "reports/metrics/embedding.json": "embedding",
        "reports/details/embedding.json": "embedding",
        ARRAYS: "reconstruction",
        BEYOND_METRICS: "reconstruction",
    }
    missing = [
        f"{path} (make it with `dvc repro {stage}`)" for path, stage in needed.items() if not (root / path).exists()
    ]
    if missing:
        raise FileNotFoundError("report: found no " + "; no ".join(missing))
    images = open_store(root / "data/microstructures.zarr", MICROSTRUCTURES)
    textures = open_store(root / "data/textures.zarr")
    details = json.loads((root / "reports/details/embedding.json").read_text())
    params = {name: read_section(name, root / "params.yaml") for name in PARAMS}
    return MicrostructureInputs(
        images=images,
        results=json.loads((root / "reports/metrics/embedding.json").read_text())["results"],
        details=details["maps"],
        goals=details["goals"],
        laws=details["laws"],
        folder=root / "reports/embedding",
        settings=json.loads(images.attrs["settings"]),
        provenance=[
            ("images", read_manifest(root / "data/microstructures.zarr").hash),
            ("generators", str(images.attrs["settings"])),
            ("textures", read_manifest(root / "data/textures.zarr").hash),
            ("descriptors", str(textures.attrs["settings"])),
            ("params", hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()),
        ],
    )


def best_of(records: Sequence[Mapping[str, Any]], generator: str, parameter: str) -> list[Mapping[str, Any]]:
    """Of every descriptor the map in which a parameter is recovered best, in the order of the records."""
    found: dict[str, Mapping[str, Any]] = {}
    for record in records:
        if record["generator"] == generator:
            before = found.get(record["descriptor"])
            if before is None or _value(record, parameter) > _value(before, parameter):
                found[record["descriptor"]] = record
    return list(found.values())


def details_of(inputs: MicrostructureInputs, record: Mapping[str, Any]) -> Mapping[str, Any]:
    keys = ("generator", "descriptor", "method")
    return next(d for d in inputs.details if all(d[key] == record[key] for key in keys))


def _value(record: Mapping[str, Any], parameter: str) -> float:
    value = record["linear_r2"][parameter]
    return float(value if isinstance(value, float | int) else value[0])
