"""What every page needs of its inputs: that they are there, and which params they were made with."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.runtime.params import read_section
from pipeline.runtime.records import StageFile

__all__ = ["params_hash", "require"]


def require(root: Path, paths: Mapping[str, str], records: Sequence[type[StageFile]]) -> None:
    """`paths`: path -> stage. Raises FileNotFoundError that lists all that is missing, with the stage that makes it."""
    needed = {**paths, **{record.path: record.stage for record in records}}
    missing = [
        f"{path} (make it with `latentlaw repro {stage}`)"
        for path, stage in needed.items()
        if not (root / path).exists()
    ]
    if missing:
        raise FileNotFoundError("report: found no " + "; no ".join(missing))


def params_hash(root: Path, sections: Sequence[str]) -> str:
    params = {name: read_section(name, root / "params.yaml") for name in sections}
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()
