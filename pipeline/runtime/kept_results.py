"""Results of pure tasks kept on disk by content: what was killed goes on by being run again.

    FOLDER/<name>.task    arrays of one task (npz) and their sha256, written whole (stores.atomic)

A task is a pure function of its item and gives arrays, or a dataclass of them (pipeline.runtime.result_arrays). What
lies in the folder is taken, what is missing, torn or altered is made. So a loop whose decisions follow from results
alone, a generation in shards and an ensemble of trainings are resumed in one way. Names must tell all that shapes a
result, or lie in a folder whose name does: pipeline.runtime.content_key.
"""

import hashlib
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pipeline.runtime.execution import TaskRunner
from pipeline.runtime.progress import progress_bar
from pipeline.runtime.result_arrays import Arrays, arrays_of, result_from
from stores.atomic import clear_partial, write_bytes

__all__ = ["SCRATCH_VARIABLE", "Arrays", "GenerationError", "KeptResults", "ResultFiles", "scratch_folder"]

Result = TypeVar("Result")

SCRATCH_VARIABLE = "LATENTLAW_SCRATCH"
SCRATCH = Path(".cache/generation")
SUFFIX = ".task"
DIGEST_BYTES = 32


class GenerationError(RuntimeError):
    """Something could not be made; the message says why and what to do. Finished tasks are kept."""


def scratch_folder(name: str) -> Path:
    """Where results of this name are kept: in .cache/generation, or where the environment says."""
    return Path(os.environ.get(SCRATCH_VARIABLE, SCRATCH)) / name


class ResultFiles:
    """Results in one folder, by name; several processes may write to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> Arrays:
        """A result that was made. Raises GenerationError where it is not there any more."""
        arrays = self.find(name)
        if arrays is None:
            raise GenerationError(f"{self._file(name)}: the result vanished or changed after it was made; run again")
        return arrays

    def find(self, name: str) -> Arrays | None:
        """None where the file is missing or not what was written."""
        try:
            content = self._file(name).read_bytes()
        except FileNotFoundError:
            return None
        payload, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
        if hashlib.sha256(payload).digest() != digest:
            print(f"{self._file(name)}: checksum does not fit, it is made anew", file=sys.stderr, flush=True)
            return None
        with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
            return dict(arrays)

    def write(self, name: str, result: object) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays_of(result))
        payload = buffer.getvalue()
        write_bytes(self._file(name), payload + hashlib.sha256(payload).digest())

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"


class KeptResults(ResultFiles):
    """Results in one folder, which it owns. `run` runs tasks: pipeline.runtime.execution."""

    def __init__(self, folder: Path, run: TaskRunner) -> None:
        super().__init__(folder)
        self.run = run
        clear_partial(folder)

    def make(
        self,
        function: Callable[[Any], Any],
        items: Mapping[str, Any],
        *,
        done: Callable[[str, Any], object] = lambda name, result: None,
        what: str = "",
        unit: str = "tasks",
        size: Callable[[Any], int] = lambda item: 1,
        ends_run: tuple[type[Exception], ...] = (),
    ) -> None:
        """Apply `function` to the items whose results are missing, by name.

        `done` gets every result that was made now, by its name. With `what`, progress is shown under this name in
        `unit`, of which an item holds `size`. Raises GenerationError that lists all tasks which failed, when the others
        are done, but an error of `ends_run` at once: every other task would meet it too.
        """
        missing = [name for name in items if self.find(name) is None]
        if what and len(missing) < len(items):
            print(f"{what}: reused {len(items) - len(missing)} of {len(items)} results from {self.folder}", flush=True)
        if not missing:
            return
        failures: dict[str, Exception] = {}
        total, left = (sum(size(items[name]) for name in names) for names in (items, missing))
        with progress_bar(what, total, unit, done_before=total - left) as progress:
            for index, result in self.run(function, [items[name] for name in missing]):
                name = missing[index]
                if isinstance(result, ends_run):
                    raise result
                if isinstance(result, Exception):
                    failures[name] = result
                    continue
                self.write(name, result)
                done(name, result)
                progress.update(size(items[name]))
        if failures:
            names_by_error: dict[str, list[str]] = {}
            for name in sorted(failures):
                names_by_error.setdefault(f"{type(failures[name]).__name__}: {failures[name]}", []).append(name)
            lines = "\n".join(f"  {', '.join(names)}: {error}" for error, names in names_by_error.items())
            raise GenerationError(
                f"{len(failures)} of {len(items)} tasks failed, the others are kept:\n{lines}"
            ) from failures[min(failures)]

    def results(
        self,
        kind: type[Result],
        names: Sequence[str],
        function: Callable[[Any], Result],
        items: Sequence[Any],
        *,
        what: str = "",
        unit: str = "tasks",
    ) -> list[Result]:
        """The `kind` that `function` makes of each item, in their order; what has one name is made once.

        Raises what `make` does.
        """
        made: dict[str, Result] = {}
        self.make(function, dict(zip(names, items, strict=True)), done=made.__setitem__, what=what, unit=unit)
        kept = {name: result_from(kind, self.read(name)) for name in names if name not in made}
        return [(made | kept)[name] for name in names]
