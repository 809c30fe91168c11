"""Resumable and deterministic generation: shards in a scratch place, then one validated store.

    key      hash of whatever shapes content (pipeline.runtime.dependencies.content_key)
    scratch  .cache/generation/<key>/<index>.task       (LATENTLAW_SCRATCH overrides .cache/generation)
    task     one shard, a pure function of its items, kept as pipeline.runtime.kept_results says
    store    shards in order into .<out>.building, validated, moved to <out>

So a run killed at any point goes on where it was, and neither kills nor the number of workers change a bit of the
result. Shards may also be made by workers that claim them (`latentlaw work`, pipeline.runtime.claims): while such work
here, the run waits, then makes what they left. DVC removes <out> before it runs a stage; scratch survives, and changing
params back finds the old shards.
"""

import contextlib
import errno
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.runtime.claims import Claims, Worker, shard_names
from pipeline.runtime.execution import Execution, run_tasks
from pipeline.runtime.kept_results import SCRATCH_VARIABLE, Arrays, GenerationError, KeptResults, scratch_folder
from pipeline.runtime.progress import note
from stores.building import building, require_replaceable, store_kind
from stores.manifest import Manifest
from stores.schema import StoreSchema
from stores.validate import require_valid
from stores.zarr_store import StoreWriter

__all__ = ["Recipe", "explaining_full_disk", "generate_store", "recipe_of", "shards_of"]

LOOK_EVERY_S = 2.0  # at workers that claim shards
NOTE_EVERY_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a store is made of. `solve_shard` turns the items of one shard into columns, in a worker process."""

    out: Path
    schema: StoreSchema
    key: str
    shards: Sequence[Sequence[Any]]
    solve_shard: Callable[[Sequence[Any]], Arrays]
    coordinates: Mapping[str, NDArray[Any]]
    attributes: Mapping[str, Any]
    unit: str  # what an item is, for messages: "Hamiltonians"
    # Gets the columns of a shard and how many rows of each dimension stand before it; returns the columns to write, of
    # the same lengths. Offsets of one column into another become those of the whole store by this.
    place: Callable[[Arrays, Mapping[str, int]], Arrays] | None = None
    # Errors which every other shard would meet too, such as a missing program: the first one ends the run.
    ends_run: tuple[type[Exception], ...] = ()


def shards_of(items: Sequence[Any], items_per_shard: int) -> list[Sequence[Any]]:
    return [items[start : start + items_per_shard] for start in range(0, len(items), items_per_shard)]


class _RecipeGiven(BaseException):
    """Ends a stage where its store would be made."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe


_only_recipe: ContextVar[bool] = ContextVar("_only_recipe", default=False)


def recipe_of(make: Callable[[], object]) -> Recipe:
    """The recipe with which `make` calls `generate_store`; nothing of it is made. Raises what `make` does before."""
    token = _only_recipe.set(True)
    try:
        make()
    except _RecipeGiven as given:
        return given.recipe
    finally:
        _only_recipe.reset(token)
    raise ValueError(f"{make}: made no store, expected one in shards")


def generate_store(recipe: Recipe, execution: Execution) -> Manifest:
    """Make what is missing of the shards, assemble the store, validate it and put it in place.

    Raises GenerationError on a full disk or when the code failed on a shard, SchemaError when the result is not valid,
    and before any of that OutputRefused where something else lies at its place.
    """
    if _only_recipe.get():
        raise _RecipeGiven(recipe)
    require_replaceable(recipe.out, store_kind(recipe.schema))
    scratch = scratch_folder(recipe.key)
    names = shard_names(len(recipe.shards))
    claims = Claims(scratch, names, role="repro")
    with explaining_full_disk(recipe.out, scratch), _alone(claims, recipe.out.stem):
        kept = KeptResults(scratch, partial(run_tasks, execution=execution))
        items = dict(zip(names, recipe.shards, strict=True))
        kept.make(recipe.solve_shard, items, what=recipe.out.stem, unit=recipe.unit, size=len, ends_run=recipe.ends_run)
        claims.clear()
        return _assemble(recipe, kept, names)


@contextlib.contextmanager
def explaining_full_disk(out: Path, scratch: Path) -> Iterator[None]:
    """Raises GenerationError on a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free_mb = shutil.disk_usage(out.parent if out.parent.exists() else ".").free // 2**20
        raise GenerationError(
            f"{out}: the disk is full ({free_mb} MB left at {out.parent}, scratch in {scratch}). Nothing "
            f"half-written was left; free some space, or set {SCRATCH_VARIABLE} to another disk, and run again: "
            "finished shards are kept"
        ) from None


@contextlib.contextmanager
def _alone(claims: Claims, what: str) -> Iterator[None]:
    """Begins when no worker claims shards of this folder any more; others that come meanwhile are refused."""
    next_note = 0.0
    while True:
        if not _workers(claims):
            with claims.present():
                if not _workers(claims):  # none that came in the same moment
                    yield
                    return
        if (workers := _workers(claims)) and time.monotonic() >= next_note:
            hosts = ", ".join(sorted({worker.host for worker in workers}))
            note(
                f"{what}: waiting for {len(workers)} workers on {hosts}, which make shards (`latentlaw status {what}`)"
            )
            next_note = time.monotonic() + NOTE_EVERY_S
        time.sleep(LOOK_EVERY_S)


def _workers(claims: Claims) -> list[Worker]:
    return [worker for worker in claims.living().values() if worker.role == "work"]


def _assemble(recipe: Recipe, kept: KeptResults, names: Sequence[str]) -> Manifest:
    sizes = _sizes(recipe, kept, names)
    with building(recipe.out, store_kind(recipe.schema)) as workplace:
        writer = StoreWriter(
            workplace, recipe.schema, sizes=sizes, coordinates=recipe.coordinates, attributes=recipe.attributes
        )
        n_solved, failures = 0, Counter[str]()
        n_before = Counter[str]()
        for shard in names:
            columns = kept.read(shard)
            if recipe.place is not None:
                columns = recipe.place(columns, n_before)
            for name, rows in columns.items():
                writer.write(name, rows)
            n_before += Counter({recipe.schema.variable(name).dims[0]: len(rows) for name, rows in columns.items()})
            if "status" in columns:
                n_solved += int(np.sum(columns["status"] == 0))
                failures.update(reason for reason in columns["failure"].tolist() if reason)
        if failures and n_solved == 0:
            reasons = "; ".join(f"{reason} ({n} rows)" for reason, n in failures.most_common(3))
            raise GenerationError(
                f"{recipe.out}: not one of the {recipe.unit} could be solved: {reasons}; change the params"
            )
        manifest = writer.finish()
        require_valid(workplace, recipe.schema)
    return manifest


def _sizes(recipe: Recipe, kept: KeptResults, names: Sequence[str]) -> dict[str, int]:
    """Length of every dimension: coordinates tell theirs, rows are counted over all shards."""
    sizes = {v.dims[0]: int(recipe.coordinates[v.name].shape[0]) for v in recipe.schema.coordinates}
    n_rows: Counter[str] = Counter()
    for shard in names:
        for name, rows in kept.read(shard).items():
            n_rows[name] += rows.shape[0]
            sizes.update(zip(recipe.schema.variable(name).dims[1:], rows.shape[1:], strict=True))
    return sizes | {v.dims[0]: n_rows[v.name] for v in recipe.schema.variables}
