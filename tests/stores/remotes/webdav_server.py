"""A WebDAV server on loopback: wsgidav under cheroot, with passwords."""

import base64
import contextlib
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from cheroot.wsgi import Server as Cheroot
from wsgidav.wsgidav_app import WsgiDAVApp

from tests.stores.remotes.server import LimitedSpace, Server, put_file

__all__ = ["webdav_server"]

PASSWORDS = {"writer": "to write", "reader": "to read"}
READING = ("GET", "HEAD", "OPTIONS", "PROPFIND")


@contextlib.contextmanager
def webdav_server(folder: Path) -> Iterator[Server]:
    """Serves `folder`, in which `store` is the base folder of the remote."""
    store = folder / "store"
    store.mkdir(parents=True)
    configuration = {
        "provider_mapping": {"/": str(folder)},
        "simple_dc": {"user_mapping": {"*": {name: {"password": word} for name, word in PASSWORDS.items()}}},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "verbose": 0,
        "logging": {"enable": False},
    }
    space = LimitedSpace(readers_only_read(WsgiDAVApp(configuration)), answer=b"Insufficient Storage")
    listener = Cheroot(("127.0.0.1", 0), space, numthreads=20)
    listener.error_log = lambda *_, **__: None
    listener.prepare()
    thread = threading.Thread(target=listener.serve, daemon=True)
    thread.start()

    def empty() -> None:
        shutil.rmtree(store)
        store.mkdir()

    try:
        yield Server(
            kind="webdav",
            port=listener.bind_addr[1],
            url=lambda port: f"webdav://127.0.0.1:{port}/store",
            settings=lambda port: {},
            credentials={"user": "writer", "password": PASSWORDS["writer"]},
            wrong_credentials={"user": "writer", "password": "wrong"},
            reader_credentials={"user": "reader", "password": PASSWORDS["reader"]},
            patience={"timeout": "2"},
            sizes=lambda: {str(f.relative_to(folder)): f.stat().st_size for f in folder.rglob("*") if f.is_file()},
            empty=empty,
            put=partial(put_file, folder),
            space=space.allow,
        )
    finally:
        listener.stop()
        thread.join(30)


def readers_only_read(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """wsgidav knows rights of a share, not of a user."""
    reader = "Basic " + base64.b64encode(f"reader:{PASSWORDS['reader']}".encode()).decode()

    def checked(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_AUTHORIZATION") == reader and environ["REQUEST_METHOD"] not in READING:
            start_response("403 Forbidden", [("Content-Type", "text/plain"), ("Connection", "close")])
            return [b"Forbidden"]
        return app(environ, start_response)

    return checked
