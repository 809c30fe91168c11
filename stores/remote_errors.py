"""What went wrong with a DVC remote, in one message: its name and address, what was found, the cure.

Drivers share no kind of error: the same refusal is a PermissionError of s3fs, a status 401 of webdav4 or aiohttp, a
PermissionDenied of asyncssh. They are told apart here by status, errno and the names of their classes, so that no
driver needs to be installed.
"""

import errno
from collections.abc import Iterator

__all__ = ["PAGE", "RemoteError", "is_absence", "remote_error", "statuses"]

REFUSED = {
    "PermissionError",
    "PermissionDenied",  # asyncssh
    "SFTPPermissionDenied",
    "NoCredentialsError",  # botocore
    "PartialCredentialsError",
    "ForbiddenOperation",  # webdav4
}
UNREACHABLE = {
    "ConnectionError",  # builtins, among them ConnectionResetError
    "TimeoutError",
    "gaierror",
    "HTTPClientError",  # botocore, whose EndpointConnectionError is one
    "TransportError",  # httpx
    "ClientConnectionError",  # aiohttp
    "DisconnectError",  # asyncssh, but for PermissionDenied
}
FULL = {"InsufficientStorage", "SFTPNoSpaceOnFilesystem", "SFTPQuotaExceeded"}
PAGE = "docs/how-to/sharing-data.md"


class RemoteError(ConnectionError):
    """A remote refused, was not reached, was full, or holds less than was pushed."""


def remote_error(error: BaseException, *, name: str, url: str, action: str) -> RemoteError:
    """The error of a driver as one message; `action` says what was tried, such as 'reading data/spectra.zarr'."""
    problem, cure = _problem_and_cure(error, name)
    return RemoteError(f"{action}: remote {name!r} ({url}) {problem}; {cure}")


def is_absence(error: BaseException | None) -> bool:
    """Does it say that an object is not there? The driver of HTTP says so of every failure, and adds its reason."""
    kinds = {kind.__name__ for link in _chain(error) for kind in type(link).__mro__}
    absent = isinstance(error, FileNotFoundError) and not kinds & (REFUSED | UNREACHABLE)
    return absent and set(statuses(error)) <= {404, 410}


def _problem_and_cure(error: BaseException, name: str) -> tuple[str, str]:
    chain = list(_chain(error))
    kinds = {kind.__name__ for link in chain for kind in type(link).__mro__}
    status = next(iter(statuses(error)), None)
    said = next((text for link in reversed(chain) if (text := str(link).strip())), type(error).__name__)
    said = " ".join(said.split())[:300]
    if "RemoteMissingDepsError" in kinds:
        return "needs a driver that is not installed", "pip install -c constraints.txt -e '.[remotes]'"
    if "EOFError" in kinds:  # of getpass: the driver of ssh asks at the terminal where it was refused
        said = "it asked for a password, which nobody was there to give"
    if status in (401, 403) or kinds & (REFUSED | {"EOFError"}):
        cure = (
            f"expected credentials with the right to do that: `dvc remote modify --local {name} ...` in a clone, or "
            f"`--global` for the address of a repository ({PAGE})"
        )
        return f"refused ({said})", cure
    if status == 507 or kinds & FULL or any(getattr(link, "errno", None) == errno.ENOSPC for link in chain):
        return f"has no space left ({said})", "make room there and run again: what arrived is not sent again"
    if kinds & UNREACHABLE:
        cure = f"check the address and the network, then run again (`latentlaw doctor --remote {name}` looks)"
        return f"was not reached or went away ({said})", cure
    return f"failed ({type(chain[-1]).__name__}: {said})", f"`latentlaw doctor --remote {name}` looks closer"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from, the last being the driver's own."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def statuses(error: BaseException | None) -> list[int]:
    """Statuses of HTTP that the error, or what it was raised from, carries."""
    return [code for link in _chain(error) if (code := _status(link)) is not None]


def _status(error: BaseException) -> int | None:
    """The status of HTTP that an error of aiohttp, httpx, webdav4 or botocore carries."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        response = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        response = getattr(response, "status_code", None)
    for status in (getattr(error, "status", None), getattr(error, "status_code", None), response):
        if isinstance(status, int):
            return int(status)
    return None
