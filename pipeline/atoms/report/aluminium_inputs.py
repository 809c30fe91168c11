"""What the page of the lane `aluminium` is drawn from: labels of the loop, its rounds, properties of its potential."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.frames import Frames
from pipeline.atoms.report.inputs import params_hash, refuse_missing
from stores.atoms import ATOMS, frames_of
from stores.manifest import read_manifest
from stores.zarr_store import open_store

__all__ = ["AluminiumInputs", "read_aluminium"]

STORE = "data/aluminium_active.zarr"
PARAMS = ("active_learning", "aluminium_benchmark")
NEEDED = {
    STORE: "active_learning",
    "reports/metrics/active_learning.json": "active_learning",
    "reports/details/active_learning.json": "active_learning",
    "reports/metrics/aluminium_properties.json": "aluminium_benchmark",
    "reports/details/aluminium_benchmark.json": "aluminium_benchmark",
}


@dataclass(frozen=True, kw_only=True)
class AluminiumInputs:
    """`rounds`: metrics of both arms and of the control; `properties` by name; `curves` by their first property."""

    records: Sequence[Frames]  # with labels
    n_failed: int
    level: str  # of theory, of the labels
    rounds: Mapping[str, Any]
    details: Mapping[str, Any]
    properties: Mapping[str, Mapping[str, Any]]
    curves: Mapping[str, Mapping[str, Any]]  # by family
    provenance: list[tuple[str, str]]


def read_aluminium(root: Path) -> AluminiumInputs:
    """Raises FileNotFoundError that lists every input which is missing, with the stage that makes it."""
    refuse_missing(root, NEEDED)
    dataset = open_store(root / STORE, ATOMS)
    records = list(frames_of(dataset))
    told = {path: json.loads((root / path).read_text()) for path in NEEDED if path.endswith(".json")}  # Path -> content
    curves = told["reports/details/aluminium_benchmark.json"]
    return AluminiumInputs(
        records=[r for r in records if not r.failure],
        n_failed=sum(bool(r.failure) for r in records),
        level=str(dataset.attrs["level"]),
        rounds=told["reports/metrics/active_learning.json"],
        details=told["reports/details/active_learning.json"],
        properties=told["reports/metrics/aluminium_properties.json"],
        curves={curve["family"]: curve for curve in curves.values()},
        provenance=[
            ("labels", f"{dataset.attrs['level']}; {read_manifest(root / STORE).hash}"),
            ("loop", str(dataset.attrs["settings"])),
            ("params", params_hash(root, PARAMS)),
        ],
    )
