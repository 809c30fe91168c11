"""What stages that label atoms share: whether an engine can, and the store and metrics of what it labelled."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.frames import Frames
from models.physics.atoms.engine import Engine, EngineMissing, EngineRefused, version_of
from pipeline.runtime.content_key import numerical_versions, shard_key
from pipeline.runtime.execution import Execution
from pipeline.runtime.kept_results import Arrays
from pipeline.runtime.records import write_json
from pipeline.runtime.shards import Recipe, generate_store
from stores.atoms import ATOMS, place_after
from stores.manifest import Manifest
from stores.outcome import OK
from stores.zarr_store import open_store

__all__ = [
    "CODE",
    "LabelledStore",
    "engine_problems",
    "engine_versions",
    "generate_labels",
]

CODE = ("models/frames.py", "models/physics/atoms", "pipeline/atoms/labelling.py")  # that shapes labels for anyone
SHARDING = "frames_per_shard"  # shapes no content
PACKAGES = ("gpaw", "gpaw-data", "pyscf", "tblite", "ase")


def engine_problems(engine: Engine, frames: Iterable[Frames], where: str) -> list[str]:
    """Why this engine cannot label frames like these, in words; cheap, before anything runs."""
    try:
        engine.check()
    except EngineMissing as error:
        return [f"{where}: {error}"]
    problems = []
    for frame in frames:
        try:
            engine.refuse(frame.numbers, periodic=frame.periodic)
        except EngineRefused as error:
            problems.append(f"{where}: {error}")
    return list(dict.fromkeys(problems))


def engine_versions() -> dict[str, str]:
    """Versions of all that may label: a store must be made anew when one of them changes."""
    return {package: version_of(package) for package in PACKAGES}


@dataclass(frozen=True, kw_only=True)
class LabelledStore:
    """A store of labels to make: jobs (each with its number of frames) and what turns one into columns."""

    stage: str
    out: Path
    metrics: Path
    params: Any  # a dataclass, for the attributes
    shaping: Any  # what of it shapes each label, as JSON: not how many there are, nor what is in the jobs
    engine: Engine
    jobs: Sequence[tuple[Any, int]]
    solve_shard: Callable[[Sequence[Any]], Arrays]  # gets one job, repeated once for each frame


def generate_labels(store: LabelledStore, execution: Execution) -> Manifest:
    """Label all jobs, resumable; write the store and its metrics. Raises what `generate_store` does."""
    recipe = Recipe(
        out=store.out,
        schema=ATOMS,
        key=shard_key(store.stage, store.shaping),
        shards=[[job] * n_frames for job, n_frames in store.jobs],
        solve_shard=store.solve_shard,
        versions=numerical_versions(store.stage) | engine_versions(),
        placed=("group",),
        coordinates={},
        attributes={
            "level": store.engine.level,
            "reference_energies": "{}",
            "settings": json.dumps({k: v for k, v in asdict(store.params).items() if k != SHARDING}, sort_keys=True),
        },
        unit="configurations",
        place=_place,
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


def _place(columns: Arrays, jobs: Sequence[Any], n_before: Mapping[str, int]) -> Arrays:
    """Groups of a job count from 0 in its shard, from its own first group in the store."""
    return place_after(columns, n_before) | {"group": columns["group"] + jobs[0].group}
