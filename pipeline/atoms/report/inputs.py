"""What the pages of molecules and of aluminium are drawn from: stores of labels and records of their stages."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from models.frames import Frames
from pipeline.atoms.records import (
    ActiveLearningDetails,
    ActiveLearningMetrics,
    AluminiumCurves,
    AluminiumProperties,
    ForceTrainingDetails,
    ForceTrainingMetrics,
    HierarchyDetails,
    HierarchyMetrics,
    PotentialDetails,
    PotentialMetrics,
    Property,
    PropertyCurve,
)
from pipeline.report.inputs import params_hash, require
from stores.atoms import ATOMS, frames_of
from stores.manifest import read_manifest
from stores.outcome import OK
from stores.zarr_store import open_store

__all__ = ["MODELS", "AluminiumInputs", "AtomsInputs", "LabelCounts", "read_aluminium", "read_atoms"]

MODELS = {"hipnn": "HIP\u2011NN", "hipnn_ts": "HIP\u2011NN\u2011TS", "ani": "ANI"}  # with a hyphen that does not break
LABELLED = ("molecules", "aluminium")
ACTIVE_STORE = "data/aluminium_active.zarr"
ATOMS_PARAMS = (*LABELLED, "potential", "force_training", "hierarchy")
ALUMINIUM_PARAMS = ("active_learning", "aluminium_benchmark")
ATOMS_RECORDS = (
    PotentialMetrics,
    PotentialDetails,
    ForceTrainingMetrics,
    ForceTrainingDetails,
    HierarchyMetrics,
    HierarchyDetails,
)
ALUMINIUM_RECORDS = (ActiveLearningMetrics, ActiveLearningDetails, AluminiumProperties, AluminiumCurves)


@dataclass(frozen=True, kw_only=True)
class LabelCounts:
    """What is said of the labels, as their store states it: it may be a user's own, whatever the stage last counted."""

    n_configs: int
    n_failed: int
    n_retried: int
    level: str  # of theory
    sources: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class AtomsInputs:
    """`labels`, `records` (with labels) by store."""

    labels: Mapping[str, LabelCounts]
    records: Mapping[str, Sequence[Frames]]
    potential: PotentialMetrics
    potential_details: PotentialDetails
    force_training: ForceTrainingMetrics
    force_training_details: ForceTrainingDetails
    hierarchy: HierarchyMetrics
    hierarchy_details: HierarchyDetails
    provenance: list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class AluminiumInputs:
    """Labels of the loop, its rounds and the control, properties of its potential."""

    records: Sequence[Frames]  # with labels
    n_failed: int
    level: str  # of theory, of the labels
    rounds: ActiveLearningMetrics
    details: ActiveLearningDetails
    properties: Mapping[str, Property]
    curves: Mapping[str, PropertyCurve]  # by family
    provenance: list[tuple[str, str]]


def read_atoms(root: Path) -> AtomsInputs:
    """Raises FileNotFoundError that lists every input which is missing, with the stage that makes it."""
    require(root, {f"data/{name}.zarr": name for name in LABELLED}, ATOMS_RECORDS)
    stores = {name: open_store(root / f"data/{name}.zarr", ATOMS) for name in LABELLED}
    return AtomsInputs(
        labels={name: counts_of(dataset) for name, dataset in stores.items()},
        records={name: [f for f in frames_of(dataset) if not f.failure] for name, dataset in stores.items()},
        potential=PotentialMetrics.read(root),
        potential_details=PotentialDetails.read(root),
        force_training=ForceTrainingMetrics.read(root),
        force_training_details=ForceTrainingDetails.read(root),
        hierarchy=HierarchyMetrics.read(root),
        hierarchy_details=HierarchyDetails.read(root),
        provenance=[
            *(
                (f"{name} labelled by", f"{dataset.attrs['level']}; {read_manifest(root / f'data/{name}.zarr').hash}")
                for name, dataset in stores.items()
            ),
            ("params", params_hash(root, ATOMS_PARAMS)),
        ],
    )


def read_aluminium(root: Path) -> AluminiumInputs:
    """Raises FileNotFoundError that lists every input which is missing, with the stage that makes it."""
    require(root, {ACTIVE_STORE: "active_learning"}, ALUMINIUM_RECORDS)
    dataset = open_store(root / ACTIVE_STORE, ATOMS)
    records = list(frames_of(dataset))
    return AluminiumInputs(
        records=[r for r in records if not r.failure],
        n_failed=sum(bool(r.failure) for r in records),
        level=str(dataset.attrs["level"]),
        rounds=ActiveLearningMetrics.read(root),
        details=ActiveLearningDetails.read(root),
        properties=AluminiumProperties.read(root).root,
        curves={curve.family: curve for curve in AluminiumCurves.read(root).root.values()},
        provenance=[
            ("labels", f"{dataset.attrs['level']}; {read_manifest(root / ACTIVE_STORE).hash}"),
            ("loop", str(dataset.attrs["settings"])),
            ("params", params_hash(root, ALUMINIUM_PARAMS)),
        ],
    )


def counts_of(dataset: xr.Dataset) -> LabelCounts:
    return LabelCounts(
        n_configs=int(dataset.sizes["config"]),
        n_failed=int((dataset["status"].values != OK).sum()),
        n_retried=sum('"first_attempt"' in str(text) for text in dataset["provenance"].values),
        level=str(dataset.attrs["level"]),
        sources=Counter(map(str, dataset["source"].values)),
    )
