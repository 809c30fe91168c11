"""A TCP proxy on loopback between a client and a server: counts bytes, cuts off, falls silent.

What it counts is what a network would carry: requests, answers and their headers, for ssh after encryption.
"""

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Iterator

__all__ = ["Proxy", "proxied"]

BLOCK = 16 * 1024


class Proxy:
    """Forwards to `target_port`. `sent` counts bytes towards the server, `received` those back, since `reset`.

    `cut_after(sent=..., received=...)` resets every connection once so many more bytes passed, and all later ones, as a
    server does whose machine went down; `hush()` takes whatever comes and answers nothing; `mend()` ends both.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.sent = self.received = 0
        self.n_connections = 0
        self._most_sent = self._most_received = float("inf")
        self._silent = False
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def total(self) -> int:
        return self.sent + self.received

    def reset(self) -> None:
        with self._lock:
            self.sent = self.received = self.n_connections = 0

    def cut_after(self, *, sent: float = float("inf"), received: float = float("inf")) -> None:
        with self._lock:
            self._most_sent, self._most_received = self.sent + sent, self.received + received

    def hush(self) -> None:
        self._silent = True

    def mend(self) -> None:
        with self._lock:
            self._most_sent = self._most_received = float("inf")
            self._silent = False

    def close(self) -> None:
        self._ended.set()
        self._listener.close()

    def _is_down(self) -> bool:
        return self.sent >= self._most_sent or self.received >= self._most_received

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.n_connections += 1
            if self._is_down():
                _abort(client)
                continue
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self.target_port))
        except OSError:
            return _abort(client)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not self._ended.is_set():
            if self._silent:
                self._ended.wait(0.05)
                continue
            readable, _, _ = select.select([client, server], [], [], 0.2)
            if self._is_down():
                break
            for source in readable:
                try:
                    block = source.recv(BLOCK)
                    (server if source is client else client).sendall(block)
                except OSError:
                    block = b""
                if not block:
                    client.close()
                    server.close()
                    return
                with self._lock:
                    if source is client:
                        self.sent += len(block)
                    else:
                        self.received += len(block)
        _abort(client)
        _abort(server)


def _abort(end: socket.socket) -> None:
    """Close with a reset instead of an orderly end."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


@contextlib.contextmanager
def proxied(target_port: int) -> Iterator[Proxy]:
    proxy = Proxy(target_port)
    try:
        yield proxy
    finally:
        proxy.close()
