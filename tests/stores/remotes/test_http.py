"""A remote over HTTP, with the server of http_server.py."""

from contextlib import AbstractContextManager
from pathlib import Path

from tests.stores.remotes.contract import RemoteContract
from tests.stores.remotes.http_server import http_server
from tests.stores.remotes.server import Server


class TestHttp(RemoteContract):
    @staticmethod
    def serve(folder: Path) -> AbstractContextManager[Server]:
        return http_server(folder)
