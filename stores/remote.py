"""Open a store as it was at a git revision, straight from a DVC remote: only the chunks that are indexed are fetched.

    dataset = open_remote("data/spectra.zarr", repo="https://github.com/...", rev="v1.0")

Nothing is written to a local cache; who needs all of it takes `dvc get` or `dvc pull`. A sharded array is read by byte
ranges, some counted from the end of a file, and there DVC's own file system fails: `RangedDVCFileSystem` serves them.
"""

from pathlib import Path
from typing import Any

import xarray as xr
from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc.scm import RevError
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from zarr.storage import FsspecStore

from stores.artifacts import artifact_version
from stores.schema import StoreSchema
from stores.zarr_store import check_kind

__all__ = ["open_remote"]


def open_remote(
    path: str,
    *,
    rev: str | None = None,
    version: str | None = None,
    repo: str | Path | None = None,
    remote: str | None = None,
    schema: StoreSchema | None = None,
) -> xr.Dataset:
    """The store at `path` of a repository (URL or folder; default: the one around here) at git revision `rev`.

    With `version` instead of `rev`, `path` is the name of an artifact: open_remote("spectra", version="v1.2.0").
    `remote` names a DVC remote other than the default one. With `schema`, another kind or version of store raises
    SchemaError. Raises ValueError for an unknown repository or revision, FileNotFoundError for a store not there.
    """
    path, rev = _at_revision(path, rev, version, repo)
    where = f"{path} in {repo or 'this repository'} at revision {rev!r}"
    try:
        files = RangedDVCFileSystem(None if repo is None else str(repo), rev=rev, remote=remote)
        files.info(f"/{path}/zarr.json")
    except RevError:
        raise ValueError(f"{where}: no such revision; expected a tag, branch or commit that was pushed") from None
    except DvcException as error:
        raise ValueError(f"{where}: cannot be opened: {error}") from None
    except FileNotFoundError:
        cure = "check the path, and that it was pushed with `dvc push`"
        raise FileNotFoundError(f"{where}: found no store; {cure}") from None
    store = FsspecStore(AsyncFileSystemWrapper(files, asynchronous=True), path=f"/{path}", read_only=True)
    dataset: xr.Dataset = xr.open_zarr(store, consolidated=False, chunks=None)
    if schema is not None:
        check_kind(where, dataset.attrs, schema)
    return dataset


class RangedDVCFileSystem(DVCFileSystem):  # type: ignore[misc]
    """DVCFileSystem whose `cat_file` honours `start` and `end`, negative ones counted from the end of the file."""

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:  # noqa: ANN401
        with self.open(path, "rb") as stream:
            if start is None and end is None:
                return bytes(stream.read())
            size = stream.seek(0, 2)
            first = 0 if start is None else start if start >= 0 else max(0, size + start)
            stop = size if end is None else end if end >= 0 else size + end
            stream.seek(first)
            return bytes(stream.read(stop - first))


def _at_revision(path: str, rev: str | None, version: str | None, repo: str | Path | None) -> tuple[str, str]:
    """Path and git revision of what is asked for. Raises ValueError unless one of `rev` and `version` is given."""
    if (rev is None) == (version is None):
        raise ValueError(
            f"{path}: found rev {rev!r} and version {version!r}, expected one: rev of a path, version of an artifact"
        )
    if rev is not None:
        return path, rev
    found = artifact_version(path, version, repo=repo)
    return found.path, found.rev
