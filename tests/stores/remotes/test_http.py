"""A remote over HTTP, with the server of http_server.py."""

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.stores.remotes.clones import clone, dvc, new_repository, noise, set_credentials, set_remote
from tests.stores.remotes.contract import ROW, RemoteContract, read_in_a_process_of_its_own
from tests.stores.remotes.http_server import http_server
from tests.stores.remotes.server import Server


class TestHttp(RemoteContract):
    @staticmethod
    def serve(folder: Path) -> AbstractContextManager[Server]:
        return http_server(folder)


@pytest.mark.remotes
def test_a_server_that_knows_no_ranges_gives_the_same_rows(tmp_path: Path):
    images = noise(mb=16, n_levels=2)
    source = new_repository(tmp_path / "source", images)
    with http_server(tmp_path / "server", ranges=False) as server:
        set_remote(source, server.url(server.port), server.settings(server.port))
        set_credentials(source, {"url": str(server.folder)}, name="folder")
        assert dvc("push", "-r", "folder", cwd=source).code == 0
        reader = clone(source, tmp_path / "reader")
        set_credentials(reader, server.credentials)
        said = read_in_a_process_of_its_own(reader)
    assert said.endswith(f"sum {float(images['image'][ROW].sum())}\n"), said
