"""A remote over WebDAV, with the server of webdav_server.py."""

from contextlib import AbstractContextManager
from pathlib import Path

from tests.stores.remotes.contract import WritableRemoteContract
from tests.stores.remotes.server import Server
from tests.stores.remotes.webdav_server import webdav_server


class TestWebdav(WritableRemoteContract):
    @staticmethod
    def serve(folder: Path) -> AbstractContextManager[Server]:
        return webdav_server(folder)
