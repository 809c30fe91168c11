"""Results of tasks kept on disk by content, so that a loop of many rounds goes on wherever it was killed.

    <scratch>/<name>.task      arrays of one task (npz) and their sha256, written whole: temporary file, fsync, rename

A loop whose decisions follow from such results alone is resumed by running it again: what lies there is read, what is
missing, torn or altered is made. Names must tell all that shapes a result, or lie in a folder whose name does.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pipeline.runtime.execution import TaskRunner
from pipeline.runtime.kept_arrays import read_arrays, write_arrays
from pipeline.runtime.result_arrays import arrays_of, result_from
from pipeline.runtime.shards import GenerationError

__all__ = ["Scratch"]

R = TypeVar("R")


class Scratch:
    """`run` is what runs tasks (pipeline.runtime.execution.kept_workers)."""

    def __init__(self, folder: Path, run: TaskRunner) -> None:
        self.folder, self.run = folder, run
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.rglob("*.tmp"):
            leftover.unlink(missing_ok=True)

    def results(
        self, kind: type[R], names: Sequence[str], function: Callable[[Any], R], items: Sequence[Any]
    ) -> list[R]:
        """The `kind` that `function` makes of each item, in their order; what has one name is made once.

        Raises GenerationError that lists every task that failed.
        """
        item_of = dict(zip(names, items, strict=True))
        kept = {name: read_arrays(self._file(name)) for name in item_of}
        found = {name: result_from(kind, arrays) for name, arrays in kept.items() if arrays is not None}
        missing = [name for name in item_of if name not in found]
        failures = []
        for place, result in self.run(function, [item_of[name] for name in missing]):
            name = missing[place]
            if isinstance(result, Exception):
                failures.append(f"  {name}: {type(result).__name__}: {result}")
                continue
            write_arrays(self._file(name), arrays_of(result))
            found[name] = result
        if failures:
            told = "\n".join(sorted(failures))
            raise GenerationError(f"{len(failures)} of {len(item_of)} tasks failed, the others are kept:\n{told}")
        return [found[name] for name in names]

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.task"
