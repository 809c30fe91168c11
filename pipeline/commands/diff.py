"""What differs between two stores, or two versions of one: samples, values, and the parameters and code behind them.

    latentlaw diff data/spectra.zarr@v1.0 data/spectra.zarr      a git revision and the working tree
    latentlaw diff a.zarr b.zarr                                 two stores

A revision is read through DVC, from the cache here or the remote: only what must be compared travels.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from pipeline.commands.options.clone import DiffOptions
from pipeline.runtime.lock_entries import entry_difference, stage_that_made
from stores.artifacts import artifact_path
from stores.diff import compare_stores
from stores.remote import open_remote
from stores.zarr_store import open_store

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class Version:
    """One of the two: the store, how messages call it, and its entry of dvc.lock where it is an output of a stage."""

    name: str
    dataset: xr.Dataset
    made_by: tuple[str, dict[str, Any]] | None


def main(options: DiffOptions) -> None:
    versions = [_opened(word) for word in options.stores]
    first, second = versions
    names = first.name, second.name
    difference = compare_stores(first.dataset, second.dataset, names=names)
    made = entry_difference(first.made_by, second.made_by) if first.made_by and second.made_by else None
    if options.json:
        content = {"first": names[0], "second": names[1], **difference.as_dict(), "stage": made and made.as_dict()}
        print(json.dumps(content, indent=2))
        return
    lines = [f"first:  {names[0]}", f"second: {names[1]}", *difference.lines()]
    print("\n".join([*lines, *(made.lines() if made else [])]))


def _opened(word: str) -> Version:
    """Raises FileNotFoundError, ValueError where there is no such store or revision."""
    path, at, revision = word.partition("@")
    if Path(word).exists() or not at:
        return Version(name=word, dataset=open_store(word), made_by=_made_in_the_working_tree(Path(word).resolve()))
    if not revision:
        raise ValueError(f"{word}: found no revision after @, expected a tag, branch or commit")
    root = _project()
    if not path.endswith(".zarr") and (known := artifact_path(path, root)):  # NAME@VERSION, itself a tag of GTO
        path, revision = str(root / known), word if _is_revision(root, word) else revision
    inside = Path(path).resolve()
    if not inside.is_relative_to(root):
        raise ValueError(f"{word}: found a path outside of {root}, expected one of its stores; git knows no other")
    relative = inside.relative_to(root).as_posix()
    dataset = open_remote(relative, rev=revision, repo=root)
    shown = subprocess.run(
        ["git", "show", f"{revision}:./dvc.lock"], cwd=root, capture_output=True, text=True, check=False
    )
    made_by = stage_that_made(shown.stdout, relative) if shown.returncode == 0 else None
    return Version(name=f"{relative} at {revision}", dataset=dataset, made_by=made_by)


def _made_in_the_working_tree(path: Path) -> tuple[str, dict[str, Any]] | None:
    for root in path.parents:
        if (root / "dvc.lock").is_file():
            return stage_that_made((root / "dvc.lock").read_text(), path.relative_to(root).as_posix())
    return None


def _project() -> Path:
    """The folder of DVC around here. Raises FileNotFoundError."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".dvc").is_dir():
            return folder
    raise FileNotFoundError(f"{here}: found no project of DVC here, expected one; go to your clone to name a revision")


def _is_revision(root: Path, word: str) -> bool:
    command = ["git", "rev-parse", "--quiet", "--verify", f"{word}^{{commit}}"]
    return subprocess.run(command, cwd=root, capture_output=True, check=False).returncode == 0
