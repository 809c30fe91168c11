"""Has any file changed since the whole pipeline last ended well? Asked before DVC is started.

DVC takes some four CPU seconds to say that there is nothing to do, most of them to parse YAML. It trusts the hash of a
file as long as inode, size and time of change stay the same. The same three, of every file that dvc.yaml names, are
kept after a run; while they stay, DVC would find nothing to do.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.runtime.content_key import stages_of
from stores.atomic import write_text

__all__ = ["Watched", "watched"]

NOTE = Path(".cache/unchanged_since")
ALWAYS = ("dvc.yaml", "params.yaml", ".dvcignore")
LOCK = "dvc.lock"


@dataclass(frozen=True)
class Watched:
    """The files and folders of a DAG: those that it reads only, and those that it makes."""

    root: Path
    sources: tuple[str, ...]
    made: tuple[str, ...]

    def sources_state(self) -> str:
        return _state(self.root, self.sources)

    def unchanged(self) -> bool:
        """Whether all is as it was when `keep` was called."""
        note = self.root / NOTE
        return note.is_file() and note.read_text() == _state(self.root, self.sources + self.made)

    def keep(self, sources_before: str) -> None:
        """After a run of all stages that ended well; not where a source was edited while it ran."""
        if self.sources_state() == sources_before:
            write_text(self.root / NOTE, _state(self.root, self.sources + self.made))


def watched(root: Path) -> Watched | None:
    """None for a DAG whose files are not all written out: templates, or stages that always run."""
    try:
        stages = stages_of(root / "dvc.yaml").values()
        if any(word in json.dumps(list(stages)) for word in ("${", "always_changed")):
            return None
        deps = {path for stage in stages for path in _paths(stage, "deps")}
        made = {path for stage in stages for kind in ("outs", "metrics", "plots") for path in _paths(stage, kind)}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):  # DVC says what is wrong with it
        return None
    sources = [dep for dep in deps if not any(Path(dep).is_relative_to(one) for one in made)]
    return Watched(root, (*ALWAYS, *sorted(sources)), (LOCK, *sorted(made)))


def _paths(stage: dict[str, Any], kind: str) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in stage.get(kind, [])]


def _state(root: Path, paths: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        for name, file in _files(path, str(root / path)):
            digest.update(f"{name}\0{file.st_ino} {file.st_size} {file.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _files(name: str, path: str) -> Iterator[tuple[str, os.stat_result]]:
    """The file itself, or all files of a folder in order; nothing where there is none."""
    if not os.path.isdir(path):
        if os.path.exists(path):
            yield name, os.stat(path)
        return
    with os.scandir(path) as entries:
        inside = sorted(entry.name for entry in entries if entry.name != "__pycache__")
    for entry in inside:
        yield from _files(f"{name}/{entry}", f"{path}/{entry}")
