"""Where results are built, and what they may replace: nothing but what was made here as the same.

    .NAME.building    beside NAME: what is not complete, locked by the run that makes it; one that was killed leaves it,
                      the next one clears it
    NAME              complete, moved there at the end

A store tells by its manifest what it is and which files are its own, any other folder by `.latentlaw.json`, which lists
them. A folder of another kind, a file that somebody added, a link: each is refused, with the reason and a cure.
"""

import errno
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stores.manifest import Manifest
from stores.schema import StoreSchema

__all__ = [
    "NEW",
    "NO_LOCKS",
    "OutputRefused",
    "building",
    "folder_beside",
    "occupied",
    "refusal",
    "require_replaceable",
    "store_kind",
]

MARKER = ".latentlaw.json"
NEW, OLD, LOCK = "latentlaw_new", "latentlaw_old", "latentlaw_lock"  # no user has these in a folder of that name
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # file systems that have none
SETTLE_S = 0.2
N_SHOWN = 3  # files named in a message


class OutputRefused(ValueError):
    """What lies at an output path was not made here, and is left alone."""


@contextmanager
def building(path: str | Path, kind: str) -> Iterator[Path]:
    """A folder beside `path` to build in; on success it is moved to `path`, on failure it is removed.

    What lies at `path` is replaced only where an earlier run made it as the same `kind` ("potential", `store_kind`)
    and nobody added a file: a store tells by its manifest, any other folder by MARKER. Raises OutputRefused for
    anything else, before the building and after it.
    """
    target = Path(path)
    require_replaceable(target, kind)
    with folder_beside(target) as folder:
        yield folder / NEW
        if not (folder / NEW / "zarr.json").is_file():
            _write_marker(folder / NEW, kind)
        require_replaceable(target, kind)
        if target.exists():
            os.replace(target, folder / OLD)
        os.replace(folder / NEW, target)


@contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """Folder `.NAME.building` for what begins with NEW or OLD; what a killed run left of it is removed first.

    Raises OutputRefused where something else is there, or another run that builds the same.
    """
    folder = _folder_beside(target)
    if reason := occupied(target):
        raise OutputRefused(f"{target}: {reason}")
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(folder, target)
    try:
        _clear(folder, target)
        yield folder
    except BaseException:
        _clear(folder, target)
        time.sleep(SETTLE_S)  # what threads of zarr had begun to write comes after an interrupt
        raise
    finally:
        _clear(folder, target)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def store_kind(schema: StoreSchema) -> str:
    """What `building` calls a store of this schema."""
    return f"store of {schema.name}"


def refusal(path: str | Path, kind: str) -> str:
    """Why `building` would not put a `kind` at `path`; "" where it would."""
    target = Path(path)
    if reason := occupied(target):
        return reason
    if target.is_symlink():
        return f"found a link to {os.readlink(target)}, expected a new path; name another one, or the place it leads to"
    if not target.exists():
        return ""
    made = _files_made(target, kind)
    if made is None:
        return (
            f"found something that is no {kind} made here, expected a new path; it is left alone: name another one, "
            "or move it away"
        )
    strange = sorted(_files(target) - made)
    if not strange:
        return ""
    names = ", ".join(strange[:N_SHOWN]) + (", ..." if len(strange) > N_SHOWN else "")
    return (
        f"found a {kind} with files that were not made with it ({names}), expected none, for replacing it would delete "
        "them; move them away, or name another one"
    )


def occupied(target: Path) -> str:
    """Why `folder_beside` would refuse to begin: something is there that no killed run left."""
    folder = _folder_beside(target)
    names = set(os.listdir(folder)) if folder.is_dir() and not folder.is_symlink() else None
    if not os.path.lexists(folder) or (names is not None and all(name.startswith((NEW, OLD, LOCK)) for name in names)):
        return ""
    return f"found {folder}, where it would be built and which was not made here; move it away, or name another path"


def require_replaceable(path: str | Path, kind: str) -> None:
    """Raise OutputRefused where `building` would: for the start of what takes long."""
    if reason := refusal(path, kind):
        raise OutputRefused(f"{path}: {reason}")


def _files_made(folder: Path, kind: str) -> set[str] | None:
    """Paths inside `folder` of all that an earlier run made there as this `kind`; None where none did."""
    try:
        if not (folder / "zarr.json").is_file():
            marker = json.loads((folder / MARKER).read_text())
            return {MARKER, *map(str, marker["files"])} if marker["kind"] == kind else None
        attributes = json.loads((folder / "zarr.json").read_text())["attributes"]
        if kind != f"store of {attributes['schema']}":
            return None
        names = "|".join(map(re.escape, Manifest.parse(attributes["manifest"]).variables))
    except (OSError, ValueError, KeyError, TypeError):  # no marker, or a file of that name from elsewhere
        return None
    arrays = re.compile(rf"({names})/(zarr\.json|c(/\d+)*)")
    return {"zarr.json", *filter(arrays.fullmatch, _files(folder))}


def _files(folder: Path) -> set[str]:
    """Paths inside `folder` of all files and links in it and below."""
    paths = set()
    for root, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        paths |= {Path(root, name).relative_to(folder).as_posix() for name in names + links}
    return paths


def _write_marker(folder: Path, kind: str) -> None:
    content = {"kind": kind, "files": sorted(_files(folder))}
    (folder / MARKER).write_text(json.dumps(content, indent=2) + "\n")


def _folder_beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.building") if target.name else target / ".building"


def _lock(folder: Path, target: Path) -> int:
    """Make `folder` and hold its lock, until the file descriptor is closed or this process ends, however it does."""
    while True:
        folder.mkdir(exist_ok=True)
        try:
            lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR)
        except FileNotFoundError:  # a run that ended just now removed the folder
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_nlink:
                return lock
        except BlockingIOError:
            os.close(lock)
            raise OutputRefused(
                f"{target}: found another run that is making it, expected one at a time; wait for its end"
            ) from None
        except OSError as error:
            if error.errno in NO_LOCKS:
                return lock
            os.close(lock)
            raise
        os.close(lock)  # of a run that ended between the two steps


def _clear(folder: Path, target: Path) -> None:
    """Remove what a run left beside `target`; where it was killed between two moves the old one comes back."""
    if (folder / OLD).exists() and not target.exists():
        os.replace(folder / OLD, target)
    for entry in folder.glob("*") if folder.is_dir() else ():
        if entry.name == LOCK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
