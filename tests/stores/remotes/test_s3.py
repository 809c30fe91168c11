"""A remote over S3, with the server of s3_server.py."""

from contextlib import AbstractContextManager
from pathlib import Path

from stores.micrographs import MICROGRAPHS
from stores.zarr_store import write_store
from tests.stores.remotes.clones import STORE, dvc, new_repository, noise, set_credentials, set_remote
from tests.stores.remotes.contract import WritableRemoteContract, size_of
from tests.stores.remotes.proxy import proxied
from tests.stores.remotes.s3_server import s3_server
from tests.stores.remotes.server import Server


class TestS3(WritableRemoteContract):
    @staticmethod
    def serve(folder: Path) -> AbstractContextManager[Server]:
        return s3_server()


def test_a_tenth_more_samples_push_little_more_than_themselves(tmp_path):
    repository = new_repository(tmp_path / "source", noise(mb=20, n_levels=2))
    with s3_server() as server, proxied(server.port) as proxy:
        set_remote(repository, server.url(proxy.port), server.settings(proxy.port))
        set_credentials(repository, server.credentials)
        assert dvc("push", cwd=repository).code == 0
        assert proxy.total > size_of(repository / STORE)
        write_store(repository / STORE, MICROGRAPHS, noise(mb=22, n_levels=2))
        assert dvc("add", "-q", STORE, cwd=repository).code == 0
        proxy.reset()
        assert dvc("push", cwd=repository).code == 0
        assert 0.09 < proxy.total / size_of(repository / STORE) < 0.15
