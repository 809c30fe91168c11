"""A remote over SSH, with the server of ssh_server.py."""

from contextlib import AbstractContextManager
from pathlib import Path

from tests.stores.remotes.contract import WritableRemoteContract
from tests.stores.remotes.server import Server
from tests.stores.remotes.ssh_server import ssh_server


class TestSsh(WritableRemoteContract):
    @staticmethod
    def serve(folder: Path) -> AbstractContextManager[Server]:
        return ssh_server(folder)
