"""Exactly the bytes that are wanted of an object at a DVC remote, in one request where the protocol can.

Ranges are those of Zarr: the whole, from `start` to before `end`, from `start` on, or (`start` < 0) so many at the end.
DVC opens files with a read-ahead of 5 MiB and more; here S3 and HTTP are asked for the range itself. sshfs gives ranges
through open files alone; webdav4 begins at the first byte whatever is wanted, so its HTTP client is asked. A server of
HTTP that knows no ranges, such as `python -m http.server`, answers with the whole object, which is cut here.
"""

from http import HTTPStatus

from dvc_objects.fs.base import FileSystem

from stores.remote_errors import statuses

__all__ = ["n_wanted", "read_range"]


def read_range(files: FileSystem, address: str, start: int | None = None, end: int | None = None) -> bytes:
    """Bytes of the object at `address`; fewer than wanted where it is too short. Raises what the driver raises."""
    try:
        if files.protocol in ("webdav", "webdavs"):
            content = _by_header(files, address, start, end)
        elif files.protocol != "ssh" and files.fs.async_impl:
            content = bytes(files.cat_file(address, start=start, end=end))
        else:  # folders, ssh
            content = _by_seeking(files, address, start, end)
    except Exception as error:  # the drivers share no kind of error
        if HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE in statuses(error):
            return b""
        raise
    wanted = n_wanted(start, end)
    return content if wanted is None or len(content) <= wanted else content[start:end]


def n_wanted(start: int | None, end: int | None) -> int | None:
    """Number of bytes of a range; None where that depends on the size of the object."""
    if start is not None and start < 0 and end is None:
        return -start
    return None if end is None or end < 0 or (start or 0) < 0 else max(0, end - (start or 0))


def _by_seeking(files: FileSystem, address: str, start: int | None, end: int | None) -> bytes:
    with files.open(address, "rb") as stream:
        if start is not None and start < 0:
            size = stream.seek(0, 2)
            start = max(0, size + start)
        first = stream.seek(start or 0)
        return bytes(stream.read(-1 if end is None else end - first))


def _by_header(files: FileSystem, address: str, start: int | None, end: int | None) -> bytes:
    client = files.fs.client
    span = f"{start}" if (start or 0) < 0 else f"{start or 0}-{'' if end is None else end - 1}"
    headers = {} if start is None and end is None else {"Range": f"bytes={span}"}
    reply = client.http.get(client.join_url(address), headers=headers, follow_redirects=True)
    if reply.status_code == HTTPStatus.NOT_FOUND:
        raise FileNotFoundError(address)
    reply.raise_for_status()
    return bytes(reply.content)
