"""Seconds and bytes of push, pull and one row, for each kind of remote, on loopback.

    PYTHONPATH=. python benchmarks/remotes.py [--mb 32] [--kinds s3 ssh webdav http]

Servers are those of tests/stores/remotes, so the extras `dev` are needed. The store holds images of noise in float32,
which hardly compress. Bytes are those of a TCP proxy between DVC and the server, both ways; seconds
contain the start of Python, and say nothing about a network.
"""

import argparse
import contextlib
import datetime
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.stores.remotes.clones import STORE, clone, dvc, new_repository, noise, run, set_credentials, set_remote
from tests.stores.remotes.http_server import http_server
from tests.stores.remotes.proxy import proxied
from tests.stores.remotes.s3_server import s3_server
from tests.stores.remotes.server import Server
from tests.stores.remotes.ssh_server import ssh_server
from tests.stores.remotes.webdav_server import webdav_server

KINDS = ("s3", "ssh", "webdav", "http", "http, no ranges")
MB = 1e6
ROW = f"""
import sys, time
from stores.remote import open_remote
start = time.monotonic()
images = open_remote({STORE!r}, repo=sys.argv[1], rev="v1")
opened = time.monotonic()
images["image"][700].values
print(opened - start, time.monotonic() - opened)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=32)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = new_repository(Path(folder) / "source", noise(arguments.mb, 2**24))
        n_bytes = sum(file.stat().st_size for file in (source / STORE).rglob("*") if file.is_file())
        print(f"{datetime.date.today()}; store of {n_bytes / MB:.1f} MB of images")
        print(f"load of the machine {os.getloadavg()[0]:.0f}, {os.cpu_count()} cores\n")
        print("| remote | push: s | MB | push again: s | MB | pull: s | MB | open: s | one row: s | both: MB |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        for n, kind in enumerate(arguments.kinds):
            print(f"| {kind} | {' | '.join(measure(kind, source, Path(folder) / str(n)))} |", flush=True)


def measure(kind: str, source: Path, folder: Path) -> Iterator[str]:
    folder.mkdir()
    with server_of(kind, folder / "server") as server, proxied(server.port) as proxy:
        set_remote(source, server.url(proxy.port), server.settings(proxy.port))
        set_credentials(source, server.credentials)
        target = ()
        if server.folder is not None:  # read alone: filled as a folder
            set_credentials(source, {"url": str(server.folder)}, name="folder")
            target = ("-r", "folder")
        for _ in range(2):
            proxy.reset()
            reply = dvc("push", *target, cwd=source)
            assert reply.code == 0, reply.text
            yield from ("-", "-") if target else (f"{reply.seconds:.1f}", f"{proxy.total / MB:.2f}")
        reader = clone(source, folder / "reader")
        set_credentials(reader, server.credentials)
        proxy.reset()
        read = run(sys.executable, "-c", ROW, str(reader), cwd=folder)
        row_bytes = proxy.total
        opened, row = (float(word) for word in read.text.split()[-2:])
        proxy.reset()
        reply = dvc("pull", cwd=reader)
        assert reply.code == 0, reply.text
        yield from (f"{reply.seconds:.1f}", f"{proxy.total / MB:.2f}")
        yield from (f"{opened:.2f}", f"{row:.2f}", f"{row_bytes / MB:.3f}")


def server_of(kind: str, folder: Path) -> contextlib.AbstractContextManager[Server]:
    if kind == "s3":
        return s3_server()
    if kind.startswith("http"):
        return http_server(folder, ranges=kind == "http")
    return {"ssh": ssh_server, "webdav": webdav_server}[kind](folder)


if __name__ == "__main__":
    main()
