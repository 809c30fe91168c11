"""Open a store as it was at a git revision, straight from a DVC remote: only the chunks that are indexed are fetched.

    dataset = open_remote("data/spectra.zarr", repo="https://github.com/...", rev="v1.0")

Nothing is written to a local cache; who needs all of it takes `dvc get` or `dvc pull`. A sharded array is read by byte
ranges, some counted from the end of a file. DVC's own file system does not serve those, and opens files with a
read-ahead of megabytes: `RangedDVCFileSystem` asks the remote for exactly the bytes that are wanted.

Credentials are those of DVC's settings: of a folder, its .dvc/config.local counts; of an address, which is cloned anew
and brings no such file, the user's global settings, and what the drivers take from the environment.
"""

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any

import xarray as xr
from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc.scm import RevError
from dvc_data.index import DataIndexDirError
from dvc_objects.fs.base import FileSystem
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from zarr.storage import FsspecStore

from stores.artifacts import artifact_version
from stores.remote_errors import PAGE, RemoteError, is_absence, remote_error
from stores.remote_reading import n_wanted, read_range
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
    SchemaError. Raises ValueError for an unknown repository, revision or remote, FileNotFoundError for a store not
    there, RemoteError where the remote refuses, is not reached, or lacks a part of the store; reading rows raises that
    too, never fills in for what is missing.
    """
    path, rev = _at_revision(path, rev, version, repo)
    where = f"{path} in {repo or 'this repository'} at revision {rev!r}"
    try:
        files = RangedDVCFileSystem(None if repo is None else str(repo), rev=rev, remote=remote)
        files.info(f"/{path}/zarr.json")
    except RevError:
        raise ValueError(f"{where}: no such revision; expected a tag, branch or commit that was pushed") from None
    except FileNotFoundError:
        cure = "check the path, and that it was pushed with `dvc push`"
        raise FileNotFoundError(f"{where}: found no store; {cure}") from None
    except DvcException as error:
        raise ValueError(f"{where}: cannot be opened: {error}") from None
    store = FsspecStore(AsyncFileSystemWrapper(files, asynchronous=True), path=f"/{path}", read_only=True)
    dataset: xr.Dataset = xr.open_zarr(store, consolidated=False, chunks=None)
    if schema is not None:
        check_kind(where, dataset.attrs, schema)
    return dataset


class RangedDVCFileSystem(DVCFileSystem):  # type: ignore[misc]
    """DVCFileSystem that asks the remote for the bytes from `start` to `end` alone, negative ones counted from the end.

    A file that is listed but not there, or too short, is a RemoteError: Zarr would take it for a chunk of fill values.
    """

    def info(self, path: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        try:
            return dict(super().info(path, **options))
        except DataIndexDirError as error:  # the list of files of the store, itself an object at the remote
            if is_absence(error.__cause__):
                raise FileNotFoundError(f"{path}: its list of files is not at the remote") from None
            raise self._explained(error, path) from error

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:  # noqa: ANN401
        self.info(path)  # FileNotFoundError for what the store never had, such as the attributes of another format
        stored = self._stored(path)
        if stored is None:
            with self.open(path, "rb") as stream:  # tracked by git
                return bytes(stream.read())[slice(start, end)]
        files, address, md5 = stored
        try:
            content = read_range(files, address, start, end)
        except Exception as error:  # the drivers share no kind of error
            if not is_absence(error):
                raise self._explained(error, path) from error
            raise self._broken(path, f"does not hold {address}, a part of the store") from None
        wanted = n_wanted(start, end)
        differs = hashlib.md5(content).hexdigest() != md5 if start is None and end is None else False
        if differs or (wanted is not None and len(content) != wanted):
            size = f"{len(content)} bytes, expected {'those that were pushed' if wanted is None else wanted}"
            raise self._broken(path, f"holds a damaged {address}: found {size}")
        return content

    def _stored(self, path: str) -> tuple[FileSystem, str, str] | None:
        """File system, address and MD5 of the object behind a file: in the cache of the clone, or at the remote."""
        index = self.repo.index.data["repo"]
        key = PurePosixPath(path).parts[1:]
        try:
            entry, storage = index[key], index.storage_map[key]
        except KeyError:
            return None
        if storage.cache and (local := storage.cache.get(entry)) and local[0].exists(local[1]):
            return (*local, entry.hash_info.value)
        if not storage.remote:
            cure = "commit one (`dvc remote add --default NAME ADDRESS`), or name one (argument `remote`)"
            raise RemoteError(f"reading {path}: found no default remote in the settings of the repository; {cure}")
        return (*storage.remote.get(entry), entry.hash_info.value)

    @property
    def _remote_name(self) -> str:
        return str(self.repo.config["core"].get("remote"))

    @property
    def _url(self) -> str:
        return str(self.repo.config["remote"].get(self._remote_name, {}).get("url"))

    def _explained(self, error: Exception, path: str) -> RemoteError:
        return remote_error(error, name=self._remote_name, url=self._url, action=f"reading {path}")

    def _broken(self, path: str, problem: str) -> RemoteError:
        doctor = f"`latentlaw doctor --remote {self._remote_name} --drop-damaged`"
        cure = f"in a clone that has the data, {doctor}, then `dvc push` ({PAGE})"
        return RemoteError(f"reading {path}: remote {self._remote_name!r} ({self._url}) {problem}; {cure}")


def _at_revision(path: str, rev: str | None, version: str | None, repo: str | Path | None) -> tuple[str, str]:
    """Path and git revision of what is asked for. Raises ValueError unless one of `rev` and `version` is given."""
    if (rev is None) == (version is None):
        raise ValueError(
            f"{path}: found rev {rev!r} and version {version!r}, expected one: rev of a path, version of an artifact"
        )
    if rev is not None:
        return path, rev
    artifact = artifact_version(path, version, repo=repo)
    return artifact.path, artifact.rev
