"""A server of HTTP on loopback, for reading alone, behind a password: Python's own, with byte ranges or without."""

import base64
import contextlib
import re
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

from tests.stores.remotes.server import Server, put_file

__all__ = ["http_server"]

USER, PASSWORD = "reader", "to read"


class Plain(SimpleHTTPRequestHandler):
    """What `python -m http.server` does, behind a password."""

    protocol_version = "HTTP/1.1"

    def send_head(self) -> object:
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") == expected:
            return super().send_head()
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def log_message(self, *_: object) -> None:
        pass


class Ranged(Plain):
    """With ranges, as nginx, Apache and object storage have them."""

    def send_head(self) -> object:
        span = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        file = Path(self.translate_path(self.path))
        if span is None or not file.is_file() or self.headers.get("Authorization") is None:
            return super().send_head()
        content = file.read_bytes()
        first = int(span[1]) if span[1] else max(0, len(content) - int(span[2]))
        last = min(int(span[2]) if span[1] and span[2] else len(content) - 1, len(content) - 1)
        if first > last:
            self.send_error(416)
            return None
        self.send_response(206)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        return BytesIO(content[first : last + 1])


@contextlib.contextmanager
def http_server(folder: Path, *, ranges: bool = True) -> Iterator[Server]:
    """Serves `folder`; `folder`/store is filled by a push to it as a folder."""
    store = folder / "store"
    store.mkdir(parents=True, exist_ok=True)
    listener = ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranged if ranges else Plain, directory=str(folder)))
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()

    def empty() -> None:
        shutil.rmtree(store)
        store.mkdir()

    try:
        yield Server(
            kind="http",
            port=listener.server_port,
            url=lambda port: f"http://127.0.0.1:{port}/store",
            settings=lambda port: {},
            credentials={"auth": "basic", "user": USER, "password": PASSWORD},
            wrong_credentials={"auth": "basic", "user": USER, "password": "wrong"},
            reader_credentials={"auth": "basic", "user": USER, "password": PASSWORD},
            patience={"read_timeout": "2", "connect_timeout": "2"},
            sizes=lambda: {str(f.relative_to(folder)): f.stat().st_size for f in store.rglob("*") if f.is_file()},
            empty=empty,
            put=partial(put_file, folder),
            space=lambda n_bytes: None,
            folder=store,
        )
    finally:
        listener.shutdown()
        thread.join(30)
        listener.server_close()
