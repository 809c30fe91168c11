"""An SFTP server on loopback: asyncssh, with passwords and keys. It sees a folder as its `/`."""

import asyncio
import contextlib
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import asyncssh

from tests.stores.remotes.server import Server, put_file

__all__ = ["ssh_server"]

PASSWORDS = {"writer": "to write", "reader": "to read"}


@contextlib.contextmanager
def ssh_server(folder: Path) -> Iterator[Server]:
    """Serves `folder`/served; the key of `writer` is in `folder`/key."""
    root = folder / "served"
    (root / "store").mkdir(parents=True)
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(folder / "key")
    (folder / "key").chmod(0o600)
    space = {"left": float("inf")}

    class Files(asyncssh.SFTPServer):
        """Rights by name of the user; a full disk answers as OpenSSH's server does, which has no code for that."""

        def __init__(self, channel: asyncssh.SSHServerChannel) -> None:
            super().__init__(channel, chroot=str(root).encode())
            self.may_write = channel.get_connection().get_extra_info("username") == "writer"

        def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
            if pflags & (asyncssh.FXF_WRITE | asyncssh.FXF_CREAT):
                self._check()
            return super().open(path, pflags, attrs)

        def write(self, file_obj: object, offset: int, data: bytes) -> int:
            space["left"] -= len(data)
            if space["left"] < 0:
                raise asyncssh.SFTPFailure("Failure")
            return super().write(file_obj, offset, data)

        def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
            self._check()
            super().mkdir(path, attrs)

        def _check(self) -> None:
            if not self.may_write:
                raise asyncssh.SFTPPermissionDenied("Permission denied")

    class Login(asyncssh.SSHServer):
        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return PASSWORDS.get(username) == password

        def public_key_auth_supported(self) -> bool:
            return True

        def validate_public_key(self, username: str, offered: asyncssh.SSHKey) -> bool:
            return username == "writer" and offered.public_data == key.public_data

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    host_key = asyncssh.generate_private_key("ssh-ed25519")

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1", 0, server_factory=Login, server_host_keys=[host_key], sftp_factory=Files, gss_host=None
        )

    listener = asyncio.run_coroutine_threadsafe(listen(), loop).result(30)

    def empty() -> None:
        shutil.rmtree(root / "store")
        (root / "store").mkdir()

    try:
        yield Server(
            kind="ssh",
            port=listener.get_port(),
            url=lambda port: f"ssh://127.0.0.1:{port}/store",
            settings=lambda port: {"allow_agent": "false"},
            credentials={"user": "writer", "password": PASSWORDS["writer"]},
            wrong_credentials={"user": "writer", "password": "wrong"},
            reader_credentials={"user": "reader", "password": PASSWORDS["reader"]},
            patience={"timeout": "2"},
            sizes=lambda: {str(f.relative_to(root)): f.stat().st_size for f in root.rglob("*") if f.is_file()},
            empty=empty,
            put=partial(put_file, root),
            space=lambda n_bytes: space.update(left=n_bytes),
        )
    finally:

        async def end() -> None:
            listener.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(end(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
