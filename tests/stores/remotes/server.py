"""What a test needs to know of a server that it started, whatever protocol it speaks."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["LimitedSpace", "Server", "put_file"]


@dataclass(frozen=True, kw_only=True)
class Server:
    """A remote of DVC that answers on 127.0.0.1.

    `url` and `settings` take the port at which clients reach it: its own, or that of a proxy. Credentials are those of
    somebody who may write, wrong ones, and those of somebody who may only read. `sizes` gives what lies there, path ->
    bytes, `put` replaces one of them (None: removes it); `space(n)` lets so many more bytes in and then is full;
    `patience` are options by which DVC waits 2 s instead of minutes; what reads alone is filled through `folder`.
    """

    kind: str
    port: int
    url: Callable[[int], str]
    settings: Callable[[int], Mapping[str, str]]
    credentials: Mapping[str, str]
    wrong_credentials: Mapping[str, str]
    reader_credentials: Mapping[str, str]
    patience: Mapping[str, str]
    sizes: Callable[[], dict[str, int]]
    empty: Callable[[], object]
    put: Callable[[str, bytes | None], object]
    space: Callable[[float], None]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None


class LimitedSpace:
    """WSGI middleware: once so many bytes were sent to be kept, the status of a full disk."""

    def __init__(self, app: Callable[..., Iterable[bytes]], *, answer: bytes) -> None:
        self.app = app
        self.answer = answer
        self.left = float("inf")

    def allow(self, n_bytes: float) -> None:
        self.left = n_bytes

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("PUT", "POST"):
            self.left -= int(environ.get("CONTENT_LENGTH") or 0)
            if self.left < 0:
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(self.answer)))]
                start_response("507 Insufficient Storage", headers)
                return [self.answer]
        return self.app(environ, start_response)


def put_file(root: Path, name: str, content: bytes | None) -> None:
    """`put` of a server whose objects are files below a folder."""
    (root / name).unlink(missing_ok=True)
    if content is not None:
        (root / name).write_bytes(content)
