"""Where a command may write: a new path, or a folder that an earlier run of the same command made.

    file     a path where nothing lies; with --overwrite also a file, the user's own word
    folder   a path where nothing lies, or a folder of the same kind that was made here and holds no file of others
             (stores.building)

Never a link, an input or a place in one, nor what a stage of dvc.yaml makes, for DVC deletes it before the stage runs.
All is looked at before anything is computed, and once more before the result is moved into its place, whole.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.content_key import stages_of
from stores.building import NEW, OutputRefused, folder_beside, occupied, refusal

__all__ = ["OutputFile", "OutputFolder", "output_problems", "writing"]

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class OutputFile:
    """`suffixes`: of the formats that the command writes."""

    suffixes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class OutputFolder:
    """`kind`: as `stores.building.building` gets it; `suffixes`: none for any name."""

    kind: str
    suffixes: tuple[str, ...] = ()


def output_problems(
    path: Path, output: OutputFile | OutputFolder, *, inputs: Sequence[Path] = (), overwrite: bool = False
) -> list[str]:
    """Everything that stands against writing to `path`, each with its cure; empty where nothing does."""
    problems = []
    whole = _absolute(path)
    if (read := next((given for given in inputs if whole == _absolute(given)), None)) is not None:
        problems.append(f"found the file that is read, {read}; name another one")
    elif (read := next((given for given in inputs if whole.is_relative_to(given.resolve())), None)) is not None:
        problems.append(f"found {path} inside {read}, which is read; name another one outside of it")
    elif reason := _refused(path, output, overwrite=overwrite):
        problems.append(reason)
    if output.suffixes and path.suffix.lower() not in output.suffixes and not path.is_dir():
        expected = " or ".join(output.suffixes)
        problems.append(f"found {path}, expected a name that ends in {expected}; rename it")
    if stage := _stage_that_makes(whole):
        problems.append(f"found {path}, which the stage {stage} makes anew, deleting what is there; name another one")
    parent = path.parent
    if not parent.is_dir():
        problem = "is no folder; name another one" if os.path.lexists(parent) else f"does not exist; mkdir -p {parent}"
        problems.append(f"found {path}, but the folder {parent} {problem}")
    elif not os.access(parent, os.W_OK | os.X_OK):
        problems.append(f"found {path}, but the folder {parent} cannot be written to; name another one")
    return problems


@contextmanager
def writing(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A file beside `path` to write to, with its suffix; moved to `path` on success, removed on failure.

    Raises OutputRefused where something else came to lie at `path` meanwhile.
    """
    with folder_beside(path) as folder:
        partial = folder / f"{NEW}{path.suffix}"
        yield partial
        if reason := _file_refused(path, overwrite=overwrite):
            raise OutputRefused(f"{path}: {reason}")
        os.replace(partial, path)


def _refused(path: Path, output: OutputFile | OutputFolder, *, overwrite: bool) -> str:
    if isinstance(output, OutputFolder):
        return refusal(path, output.kind)
    return occupied(path) or _file_refused(path, overwrite=overwrite)


def _file_refused(path: Path, *, overwrite: bool) -> str:
    if path.is_symlink():
        return f"found {path}, a link to {os.readlink(path)}; name another one, or the place it leads to"
    if path.is_dir():
        return f"found the folder {path}, expected the name of a file; name another one"
    if path.exists() and not (overwrite and path.is_file()):
        return f"found {path}, which exists already, expected a new name; name another one, or give --overwrite"
    return ""


def _absolute(path: Path) -> Path:
    """Links in its folders followed, a link at its end not."""
    return path.parent.resolve() / path.name if path.name not in ("", "..") else path.resolve()


def _stage_that_makes(whole: Path) -> str | None:
    """The stage of dvc.yaml whose output is this path, is in it, or holds it."""
    if not whole.is_relative_to(ROOT) or not (ROOT / "dvc.yaml").is_file():
        return None
    for name, stage in stages_of(ROOT / "dvc.yaml").items():
        for entry in [*stage.get("outs", []), *stage.get("metrics", [])]:
            made = ROOT / (entry if isinstance(entry, str) else next(iter(entry)))
            if whole.is_relative_to(made) or made.is_relative_to(whole):
                return str(name)
    return None
