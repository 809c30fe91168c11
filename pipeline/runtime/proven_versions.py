"""Libraries that changed are trusted when they give the bits that are kept, and not before.

    SCRATCH/<key>/versions.json            versions under which results here were made, or made again with equal bits
    SCRATCH/<key>-<versions>/              results of versions that give others

Most new versions of NumPy or SciPy change no result; to make everything anew for each would be a waste, to believe
it a risk. So when versions are new to a folder that has results, one of them is made again. Equal bits: the versions
are noted, and all results stay in use. Other bits: these versions get a folder of their own.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.runtime.kept_results import ResultFiles, scratch_folder
from pipeline.runtime.progress import note
from pipeline.runtime.result_arrays import Arrays
from pipeline.runtime.worker_environment import one_thread
from stores.atomic import write_text
from stores.manifest import canonical_json

__all__ = ["proven_folder"]

NOTE = "versions.json"


def proven_folder(
    key: str, versions: Mapping[str, str], solve: Callable[[Sequence[Any]], Arrays], items: Mapping[str, Sequence[Any]]
) -> Path:
    """The scratch folder whose results these versions would give. `items` of each shard by its name."""
    folder = scratch_folder(key)
    exact = scratch_folder(f"{key}-{hashlib.sha256(canonical_json(dict(versions)).encode()).hexdigest()[:8]}")
    if dict(versions) in _known(exact):
        return exact
    known = _known(folder)
    if dict(versions) in known:
        return folder
    kept = ResultFiles(folder)
    results = ((name, kept.find(name)) for name in items if kept.exists(name))
    shard, result = next(((name, result) for name, result in results if result is not None), ("", None))
    with one_thread():
        proven = result is None or _same(solve(items[shard]), result)
    if proven:
        if result is not None:
            note(f"{folder}: {_changes(known, versions)} gives the bits that are kept (shard {shard})")
        write_text(folder / NOTE, json.dumps([*known, dict(versions)], indent=1))
        return folder
    note(f"{folder}: {_changes(known, versions)} gives other bits (shard {shard}); results of these versions: {exact}")
    write_text(exact / NOTE, json.dumps([dict(versions)], indent=1))
    return exact


def _known(folder: Path) -> list[dict[str, str]]:
    file = folder / NOTE
    return json.loads(file.read_text()) if file.is_file() else []


def _same(made: Arrays, kept: Arrays) -> bool:
    return made.keys() == kept.keys() and all(
        made[name].dtype == kept[name].dtype
        and made[name].shape == kept[name].shape
        and made[name].tobytes() == kept[name].tobytes()
        for name in made
    )


def _changes(known: Sequence[Mapping[str, str]], now: Mapping[str, str]) -> str:
    before = known[-1] if known else {}
    names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    return ", ".join(f"{name} {now.get(name, 'none')} (before: {before.get(name, 'unknown')})" for name in names)
