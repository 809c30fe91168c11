"""Resumable and deterministic generation: shards in a scratch place, then one validated store.

    key      sha256(whatever shapes content: params, sources of the generator, versions of NumPy and SciPy)
    scratch  .cache/generation/<key>/<index>.shard      (LATENTLAW_SCRATCH overrides .cache/generation)
    task     one shard, a pure function of its items; a shard is written whole (temporary file, fsync, rename) and ends
             with its own sha256, so that a torn or altered file is found on the next start and made anew
    store    shards in order into .<out>.building, validated, moved to <out>

So a run killed at any point goes on where it was, and neither kills nor the number of workers change a bit of the
result. DVC removes <out> before it runs a stage; scratch survives, and changing params back finds the old shards.
"""

import errno
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.runtime.execution import Execution, run_tasks
from pipeline.runtime.kept_arrays import read_arrays, write_arrays
from pipeline.runtime.progress import Progress
from stores.building import building, require_replaceable, store_kind
from stores.manifest import Manifest, canonical_json
from stores.schema import StoreSchema
from stores.validate import require_valid
from stores.zarr_store import StoreWriter

__all__ = ["Columns", "GenerationError", "Recipe", "content_key", "generate_store", "shards_of"]

Columns = dict[str, NDArray[Any]]  # variable name -> rows of one shard

SCRATCH_VARIABLE = "LATENTLAW_SCRATCH"
SCRATCH = Path(".cache/generation")


class GenerationError(RuntimeError):
    """The store could not be made; the message says why and what to do. Finished shards are kept."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a store is made of. `solve_shard` turns the items of one shard into columns, in a worker process."""

    out: Path
    schema: StoreSchema
    key: str
    shards: Sequence[Sequence[Any]]
    solve_shard: Callable[[Sequence[Any]], Columns]
    coordinates: Mapping[str, NDArray[Any]]
    attributes: Mapping[str, Any]
    unit: str  # what an item is, for messages: "Hamiltonians"
    # Gets the columns of a shard and how many rows of each dimension stand before it; returns the columns to write, of
    # the same lengths. Offsets of one column into another become those of the whole store by this.
    place: Callable[[Columns, Mapping[str, int]], Columns] | None = None
    # Errors which every other shard would meet too, such as a missing program: the first one ends the run.
    ends_run: tuple[type[Exception], ...] = ()


def shards_of(items: Sequence[Any], items_per_shard: int) -> list[Sequence[Any]]:
    return [items[start : start + items_per_shard] for start in range(0, len(items), items_per_shard)]


def content_key(params: object, sources: Sequence[Path]) -> str:
    """Hash of all that shapes content. `params` is JSON-able; of a folder among `sources` every Python file counts."""
    files = [file for path in sources for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    code = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return hashlib.sha256(canonical_json([params, code, version("numpy"), version("scipy")]).encode()).hexdigest()[:32]


def generate_store(recipe: Recipe, execution: Execution) -> Manifest:
    """Make what is missing of the shards, assemble the store, validate it and put it in place.

    Raises GenerationError on a full disk or when the code failed on a shard, SchemaError when the result is not valid,
    and before any of that OutputRefused where something else lies at its place.
    """
    require_replaceable(recipe.out, store_kind(recipe.schema))
    scratch = Path(os.environ.get(SCRATCH_VARIABLE, SCRATCH)) / recipe.key
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        _make_shards(recipe, scratch, execution)
        return _assemble(recipe, scratch)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free_mb = shutil.disk_usage(recipe.out.parent if recipe.out.parent.exists() else ".").free // 2**20
        raise GenerationError(
            f"{recipe.out}: the disk is full ({free_mb} MB left at {recipe.out.parent}, scratch in {scratch}). Nothing "
            f"half-written was left; free some space, or set {SCRATCH_VARIABLE} to another disk, and run again: "
            "finished shards are kept"
        ) from None


def _make_shards(recipe: Recipe, scratch: Path, execution: Execution) -> None:
    for leftover in scratch.glob("*.tmp"):
        leftover.unlink()
    n_items = [len(items) for items in recipe.shards]
    missing = [index for index in range(len(n_items)) if read_arrays(_shard_file(scratch, index)) is None]
    n_kept = len(n_items) - len(missing)
    if n_kept:
        print(f"{recipe.out.name}: reused {n_kept} of {len(n_items)} shards from {scratch}", flush=True)
    if not missing:
        return
    done_before = sum(n_items) - sum(n_items[index] for index in missing)
    failures: list[tuple[int, Exception]] = []
    items = [recipe.shards[index] for index in missing]
    with Progress(recipe.out.stem, sum(n_items), recipe.unit, done_before=done_before) as progress:
        for position, result in run_tasks(recipe.solve_shard, items, execution):
            index = missing[position]
            if isinstance(result, recipe.ends_run):
                raise result
            if isinstance(result, Exception):
                failures.append((index, result))
                continue
            write_arrays(_shard_file(scratch, index), result)
            progress.advance(n_items[index])
    if failures:
        shards_by_error: dict[str, list[int]] = {}
        for index, error in sorted(failures, key=lambda failure: failure[0]):
            shards_by_error.setdefault(f"{type(error).__name__}: {error}", []).append(index)
        told = "\n".join(f"  shards {indices}: {text}" for text, indices in shards_by_error.items())
        raise GenerationError(
            f"{recipe.out}: {len(failures)} of {len(n_items)} shards failed, the others are kept:\n{told}"
        ) from failures[0][1]


def _assemble(recipe: Recipe, scratch: Path) -> Manifest:
    files = [_shard_file(scratch, index) for index in range(len(recipe.shards))]
    sizes = _sizes(recipe, files)
    with building(recipe.out, store_kind(recipe.schema)) as workplace:
        writer = StoreWriter(
            workplace, recipe.schema, sizes=sizes, coordinates=recipe.coordinates, attributes=recipe.attributes
        )
        n_solved, failures = 0, Counter[str]()
        n_before = Counter[str]()
        for file in files:
            columns = _require_shard(file)
            if recipe.place is not None:
                columns = recipe.place(columns, n_before)
            for name, rows in columns.items():
                writer.write(name, rows)
            n_before += Counter({recipe.schema.variable(name).dims[0]: len(rows) for name, rows in columns.items()})
            if "status" in columns:
                n_solved += int(np.sum(columns["status"] == 0))
                failures.update(reason for reason in columns["failure"].tolist() if reason)
        if failures and n_solved == 0:
            told = "; ".join(f"{reason} ({n} rows)" for reason, n in failures.most_common(3))
            raise GenerationError(
                f"{recipe.out}: not one of the {recipe.unit} could be solved: {told}; change the params"
            )
        manifest = writer.finish()
        require_valid(workplace, recipe.schema)
    return manifest


def _sizes(recipe: Recipe, files: Sequence[Path]) -> dict[str, int]:
    """Length of every dimension: coordinates tell theirs, rows are counted over all shards."""
    sizes = {v.dims[0]: int(recipe.coordinates[v.name].shape[0]) for v in recipe.schema.coordinates}
    n_rows: Counter[str] = Counter()
    for file in files:
        for name, rows in _require_shard(file).items():
            n_rows[name] += rows.shape[0]
            sizes.update(zip(recipe.schema.variable(name).dims[1:], rows.shape[1:], strict=True))
    return sizes | {v.dims[0]: n_rows[v.name] for v in recipe.schema.variables}


def _shard_file(scratch: Path, index: int) -> Path:
    return scratch / f"{index:06d}.shard"


def _require_shard(file: Path) -> Columns:
    columns = read_arrays(file)
    if columns is None:
        raise GenerationError(f"{file}: the shard vanished or changed while the store was assembled; run again")
    return columns
