"""Is a DVC remote reached, may one write there, and does it hold what this clone names, whole?

DVC takes an object that lies at the remote for a good one, whatever its size: it is named by its content, and a server
that keeps an upload only when it is complete never has another. Some servers of WebDAV keep what had arrived when the
connection broke (wsgidav: an empty file). Then `dvc push` sends that object no more, `dvc status --cloud` says "in
sync", and who pulls gets a damaged store. Here sizes are compared with those in the cache of the clone.
"""

import contextlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_data.index import DataIndexDirError
from dvc_objects.fs.base import FileSystem

from stores.remote_errors import is_absence, remote_error

__all__ = ["RemoteState", "check_remote"]

READING_ALONE = ("http", "https")


@dataclass(frozen=True, kw_only=True)
class RemoteState:
    """Objects that the working tree names, by their address at the remote.

    `damaged` gives sizes in bytes, found and expected; `n_unknown` objects are there, but not in the cache to compare
    with. `refusal` says why nothing can be written, None where it can, and where the protocol is for reading.
    """

    name: str
    url: str
    n_objects: int
    missing: list[str]
    damaged: dict[str, tuple[int, int]]
    n_unknown: int
    refusal: str | None


def check_remote(repo: str | Path, name: str | None = None, *, drop_damaged: bool = False) -> RemoteState:
    """Look at a remote (default: the default one) with the credentials of a clone.

    `drop_damaged` removes what is damaged, and the list of files of each folder that misses a part: as long as that is
    there, DVC remembers the folder as pushed and sends nothing, and who reads begins and fails.

    Raises ValueError for a remote that the settings do not name, RemoteError where it refuses or is not reached.
    """
    try:
        clone = Repo(str(repo), remote=name)
        name = clone.config["core"].get("remote")
        remote = clone.cloud.get_remote(name)
    except DvcException as error:
        known = f"`dvc remote list` says which there are, `dvc remote add --default {name or 'NAME'} ADDRESS` adds one"
        raise ValueError(f"{repo}: found no remote {name or 'by default'} ({error}); {known}") from None
    with contextlib.closing(clone):
        url = str(clone.config["remote"][remote.name]["url"])
        try:
            objects = _objects(clone)
            sizes = _sizes(remote.fs, list(objects))
            damaged = {
                address: (size, part.expected)
                for address, part in objects.items()
                if (size := sizes.get(address)) is not None and part.expected is not None and size != part.expected
            }
            if drop_damaged:
                broken = {
                    objects[address].listed_in for address in objects if address in damaged or address not in sizes
                }
                for address in [*(broken & set(sizes) - set(damaged)), *damaged]:
                    remote.fs.rm_file(address)
        except Exception as error:  # the drivers share no kind of error
            raise remote_error(error, name=remote.name, url=url, action="looking") from error
        return RemoteState(
            name=remote.name,
            url=url,
            n_objects=len(objects),
            missing=[address for address in objects if address not in sizes],
            damaged=damaged,
            n_unknown=sum(objects[address].expected is None for address in sizes),
            refusal=_refusal(remote.fs, remote.path, remote.name, url),
        )


@dataclass(frozen=True)
class Part:
    """Size in the cache [bytes], None where the cache has it not, and address of the list of files that names it."""

    expected: int | None
    listed_in: str | None


def _objects(clone: Repo) -> dict[str, Part]:
    """By their address at the remote, all objects of the working tree."""
    index = clone.index.data["repo"]
    index.onerror = _pass_over
    objects = {}
    lists: dict[tuple[str, ...], str] = {}
    for key, entry in index.iteritems():  # a folder before what is in it
        storage = index.storage_map.get(key)
        if not entry.hash_info or not entry.hash_info.value or not storage or not storage.remote:
            continue
        _, address = storage.remote.get(entry)
        if entry.hash_info.isdir:
            lists[key] = address
        cached = Path(storage.cache.get(entry)[1]) if storage.cache else None
        listed_in = next((lists[key[:n]] for n in range(len(key)) if key[:n] in lists), None)
        objects[address] = Part(cached.stat().st_size if cached and cached.is_file() else None, listed_in)
    return objects


def _pass_over(_: object, error: Exception) -> None:
    """A folder whose list of files is neither here nor there counts as one missing object."""
    if not isinstance(error, DataIndexDirError) or not is_absence(error.__cause__):
        raise error


def _sizes(files: FileSystem, addresses: list[str]) -> dict[str, int]:
    """Sizes of those which are there. Raises what the driver raises for any other reason than absence."""
    if not addresses:
        return {}
    answers = files.info(addresses, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, Exception) and not is_absence(answer):
            raise answer
    pairs = zip(addresses, answers, strict=True)
    return {address: int(answer["size"] or 0) for address, answer in pairs if not isinstance(answer, Exception)}


def _refusal(files: FileSystem, root: str, name: str, url: str) -> str | None:
    """Put a small file there and remove it again."""
    if files.protocol in READING_ALONE:
        return None
    probe = files.join(root, f"latentlaw-doctor-{secrets.token_hex(8)}")
    try:
        files.makedirs(root)
        files.pipe_file(probe, b"may be removed")
        files.rm_file(probe)
    except Exception as error:  # the drivers share no kind of error
        return str(remote_error(error, name=name, url=url, action="writing"))
    return None
