"""A remote over S3, with the server of s3_server.py."""

from contextlib import AbstractContextManager
from pathlib import Path

from tests.stores.remotes.contract import WritableRemoteContract
from tests.stores.remotes.s3_server import s3_server
from tests.stores.remotes.server import Server


class TestS3(WritableRemoteContract):
    @staticmethod
    def serve(folder: Path) -> AbstractContextManager[Server]:
        return s3_server()
