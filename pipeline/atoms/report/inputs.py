"""What the page of the lane `atoms` is drawn from: stores of labels, metrics and details."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from models.frames import Frames
from pipeline.runtime.params import read_section
from stores.atoms import ATOMS, frames_of
from stores.manifest import read_manifest
from stores.outcome import OK
from stores.zarr_store import open_store

__all__ = ["MODELS", "AtomsInputs", "in_order", "params_hash", "read_atoms", "refuse_missing"]

MODELS = {"hipnn": "HIP\u2011NN", "ani": "ANI"}  # with a hyphen that does not break
PARAMS = ("molecules", "aluminium", "potential", "force_training", "hierarchy")
NEEDED = {
    "data/molecules.zarr": "molecules",
    "data/aluminium.zarr": "aluminium",
    "reports/metrics/potential.json": "potential",
    "reports/details/potential.json": "potential",
    "reports/metrics/force_training.json": "force_training",
    "reports/details/force_training.json": "force_training",
    "reports/metrics/hierarchy.json": "hierarchy",
    "reports/details/hierarchy.json": "hierarchy",
}


@dataclass(frozen=True, kw_only=True)
class AtomsInputs:
    """`metrics` and `details` by stage, counts of a store by its name; `stores`, `records` (with labels) by store."""

    stores: Mapping[str, xr.Dataset]
    records: Mapping[str, Sequence[Frames]]
    metrics: Mapping[str, Any]
    details: Mapping[str, Any]
    provenance: list[tuple[str, str]]


def read_atoms(root: Path) -> AtomsInputs:
    """Raises FileNotFoundError that lists every input which is missing, with the stage that makes it."""
    refuse_missing(root, NEEDED)
    stores = {name: open_store(root / f"data/{name}.zarr", ATOMS) for name in ("molecules", "aluminium")}
    return AtomsInputs(
        stores=stores,
        records={name: [f for f in frames_of(dataset) if not f.failure] for name, dataset in stores.items()},
        metrics={
            **{name: counts_of(dataset) for name, dataset in stores.items()},
            **{name: json.loads((root / f"reports/metrics/{name}.json").read_text()) for name in PARAMS[2:]},
        },
        details={name: json.loads((root / f"reports/details/{name}.json").read_text()) for name in PARAMS[2:]},
        provenance=[
            *(
                (f"{name} labelled by", f"{dataset.attrs['level']}; {read_manifest(root / f'data/{name}.zarr').hash}")
                for name, dataset in stores.items()
            ),
            ("params", params_hash(root, PARAMS)),
        ],
    )


def counts_of(dataset: xr.Dataset) -> dict[str, Any]:
    """What is said of the labels, as their store tells it: it may be a user's own, whatever the stage last counted."""
    return {
        "n_configs": int(dataset.sizes["config"]),
        "n_failed": int((dataset["status"].values != OK).sum()),
        "n_retried": sum('"first_attempt"' in str(text) for text in dataset["provenance"].values),
        "level": str(dataset.attrs["level"]),
        "sources": Counter(map(str, dataset["source"].values)),
    }


def refuse_missing(root: Path, needed: Mapping[str, str]) -> None:
    """`needed`: path -> stage."""
    missing = [
        f"{path} (make it with `dvc repro {stage}`)" for path, stage in needed.items() if not (root / path).exists()
    ]
    if missing:
        raise FileNotFoundError("report: found no " + "; no ".join(missing))


def in_order(found: Iterable[str], known: Iterable[str]) -> list[str]:
    """Known names first, in their order."""
    names = list(found)
    first = [name for name in known if name in names]
    return first + [name for name in names if name not in first]


def params_hash(root: Path, sections: Sequence[str]) -> str:
    params = {name: read_section(name, root / "params.yaml") for name in sections}
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()
