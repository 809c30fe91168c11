"""What stages that label atoms share: structures and outcomes as records, store and metrics.

A failed label keeps its structure, with the reason.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.physics.atoms.engine import Engine, EngineMissing, EngineRefused, version_of
from models.physics.atoms.labelling import Failure, LabelLimits, Outcome, label_structures
from models.physics.atoms.structure import Structure
from pipeline.runtime.content_key import content_key
from pipeline.runtime.execution import Execution
from pipeline.runtime.kept_results import Arrays
from pipeline.runtime.records import write_json
from pipeline.runtime.shards import Recipe, generate_store
from stores.atoms import ATOMS, AtomsRecord, place_after
from stores.manifest import Manifest
from stores.outcome import FAILED, OK
from stores.zarr_store import open_store

__all__ = [
    "CODE",
    "LabelledStore",
    "engine_problems",
    "engine_versions",
    "failed_records",
    "generate_labels",
    "label_records",
    "record_of",
]

CODE = ("models/physics/atoms", "pipeline/atoms/labelling.py")  # that shapes labels, whoever asks for them
SHARDING = "frames_per_shard"  # shapes no content
PACKAGES = ("gpaw", "gpaw-data", "pyscf", "tblite", "ase")


def engine_problems(engine: Engine, structures: Sequence[Structure], where: str) -> list[str]:
    """Why this engine cannot label structures like these, in words; cheap, before anything runs."""
    try:
        engine.check()
    except EngineMissing as error:
        return [f"{where}: {error}"]
    told = []
    for structure in structures:
        try:
            engine.refuse(structure.numbers, periodic=structure.periodic)
        except EngineRefused as error:
            told.append(f"{where}: {error}")
    return list(dict.fromkeys(told))


def engine_versions() -> dict[str, str]:
    """Versions of all that may label: a store must be made anew when one of them changes."""
    return {package: version_of(package) for package in PACKAGES}


@dataclass(frozen=True, kw_only=True)
class LabelledStore:
    """A store of labels to make: jobs (each with its number of frames) and what turns one into columns."""

    stage: str
    out: Path
    metrics: Path
    params: Any  # a dataclass
    engine: Engine
    jobs: Sequence[tuple[Any, int]]
    solve_shard: Callable[[Sequence[Any]], Arrays]  # gets one job, repeated once for each frame


def generate_labels(store: LabelledStore, execution: Execution) -> Manifest:
    """Label all jobs, resumable; write the store and its metrics. Raises what `generate_store` does."""
    recipe = Recipe(
        out=store.out,
        schema=ATOMS,
        key=content_key(store.stage, asdict(store.params), engine_versions()),
        shards=[[job] * n_frames for job, n_frames in store.jobs],
        solve_shard=store.solve_shard,
        coordinates={},
        attributes={
            "level": store.engine.level,
            "reference_energies": "{}",
            "settings": json.dumps({k: v for k, v in asdict(store.params).items() if k != SHARDING}, sort_keys=True),
        },
        unit="configurations",
        place=place_after,
    )
    manifest = generate_store(recipe, execution)
    dataset = open_store(store.out, ATOMS)
    n_configs, n_failed = manifest.sizes["config"], int((dataset["status"] != OK).sum())
    values = {
        "n_configs": n_configs,
        "n_failed": n_failed,
        "n_retried": sum('"first_attempt"' in str(text) for text in dataset["provenance"].values),
        "level": store.engine.level,
        "sources": dict(sorted(Counter(map(str, dataset["source"].values)).items())),
        "hash": manifest.hash,
    }
    write_json(store.metrics, values, sort_keys=True)
    print(
        f"{store.out}: {n_configs} configurations, {n_failed} failed, {store.engine.level}, hash {manifest.hash[:16]}",
        flush=True,
    )
    return manifest


def label_records(
    engine: Engine, structures: Sequence[Structure], limits: LabelLimits, told: Sequence[Mapping[str, Any]]
) -> list[AtomsRecord]:
    """Label these structures in child processes; `told` goes into the provenance, one mapping for each."""
    outcomes = label_structures(engine, structures, limits)
    return [record_of(s, o, engine, own) for s, o, own in zip(structures, outcomes, told, strict=True)]


def record_of(structure: Structure, outcome: Outcome, engine: Engine, told: Mapping[str, Any]) -> AtomsRecord:
    provenance: dict[str, Any] = {"level": engine.level, **told}
    if isinstance(outcome, Failure):
        return AtomsRecord(
            numbers=structure.numbers,
            positions_A=structure.positions_A,
            cell_A=structure.cell_A,
            group=structure.group,
            source=structure.source,
            provenance=provenance,
            status=FAILED,
            failure=" ".join(outcome.reason.split()) or "no reason given",
        )
    forces = outcome.forces_eV_A
    measured = {
        "net_force_eV_A": float(np.linalg.norm(np.sum(forces, axis=0))),
        "largest_force_eV_A": float(np.max(np.abs(forces))),
    }
    return AtomsRecord(
        numbers=structure.numbers,
        positions_A=structure.positions_A,
        cell_A=structure.cell_A,
        energy_eV=outcome.energy_eV,
        forces_eV_A=forces,
        stress_eV_A3=outcome.stress_eV_A3,
        charges_e=outcome.charges_e,
        group=structure.group,
        source=structure.source,
        provenance=provenance | dict(outcome.provenance) | measured,
        status=OK,
    )


def failed_records(
    engine: Engine, structures: Sequence[Structure], reason: str, told: Sequence[Mapping[str, Any]]
) -> list[AtomsRecord]:
    """Rows of structures that stand for frames which could not be drawn."""
    failure = Failure(reason=reason, final=True)
    return [record_of(structure, failure, engine, own) for structure, own in zip(structures, told, strict=True)]
