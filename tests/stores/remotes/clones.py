"""Git repositories that hold a store and name a DVC remote; `git` and `dvc` run in them."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from stores.micrographs import MICROGRAPHS, tiny
from stores.zarr_store import write_store

__all__ = [
    "REMOTE",
    "STORE",
    "Reply",
    "clone",
    "dvc",
    "git",
    "new_repository",
    "noise",
    "run",
    "set_credentials",
    "set_remote",
]

STORE = "data/micrographs.zarr"
REMOTE = "ours"
IDENTITY = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
PIXELS = 64
ROOT = Path(__file__).parents[3]
MB_ROWS = 2**20 // (4 * PIXELS**2)


@dataclass(frozen=True)
class Reply:
    code: int
    text: str
    seconds: float


def noise(mb: int, n_levels: int) -> xr.Dataset:
    """So many MiB, in memory, of images of noise; the fewer grey levels, the smaller their files."""
    n_rows = mb * MB_ROWS
    rows = tiny().isel(sample=np.zeros(n_rows, dtype=int)).drop_vars("image")
    levels = np.random.default_rng(0).integers(0, n_levels, (n_rows, PIXELS, PIXELS))
    image = (levels / (n_levels - 1)).astype(np.float32)
    example = tiny()["image"]
    return rows.assign(image=xr.Variable(example.dims, image, example.attrs)).assign_attrs(tiny().attrs)


def run(*command: str, cwd: Path, environment: Mapping[str, str] = {}, limit_s: float = 120) -> Reply:
    """Run to the end; past the limit, TimeoutExpired."""
    start = time.monotonic()
    quiet = {
        "PYTHONPATH": str(ROOT),
        "DVC_NO_ANALYTICS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": str(cwd.parent),
        **IDENTITY,
    }
    quiet["DVC_SITE_CACHE_DIR"] = str(cwd.parent / f"{cwd.name}-site")
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **quiet, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit_s,
        start_new_session=True,  # ssh asks for a password at the terminal
        check=False,
    )
    return Reply(done.returncode, done.stdout, time.monotonic() - start)


def git(*arguments: str, cwd: Path) -> str:
    reply = run("git", *arguments, cwd=cwd)
    assert reply.code == 0, reply.text
    return reply.text


def dvc(*arguments: str, cwd: Path, environment: Mapping[str, str] = {}, limit_s: float = 120) -> Reply:
    return run(sys.executable, "-m", "dvc", *arguments, cwd=cwd, environment=environment, limit_s=limit_s)


def new_repository(folder: Path, dataset: xr.Dataset) -> Path:
    """A repository whose tag `v1` holds the store; no remote yet."""
    folder.mkdir(parents=True)
    write_store(folder / STORE, MICROGRAPHS, dataset)
    git("init", "-q", "-b", "main", cwd=folder)
    for command in (("init", "-q"), ("add", "-q", STORE)):
        reply = dvc(*command, cwd=folder)
        assert reply.code == 0, reply.text
    git("add", "-A", cwd=folder)
    git("commit", "-qm", "store", cwd=folder)
    return folder


def set_remote(repository: Path, url: str, settings: Mapping[str, str], *, name: str = REMOTE) -> None:
    """What all share: the committed settings of the remote, default of this repository; tag `v1` moves here."""
    lines = [f"url = {url}", *(f"{key} = {value}" for key, value in settings.items())]
    (repository / ".dvc" / "config").write_text(f"[core]\n    remote = {name}\n" + _section(name, lines))
    git("commit", "-qam", f"remote {name}", cwd=repository)
    git("tag", "-f", "v1", cwd=repository)


def set_credentials(repository: Path, options: Mapping[str, str], *, name: str = REMOTE) -> None:
    """What one has for oneself, in place of what was there."""
    lines = [f"{key} = {value}" for key, value in options.items()]
    (repository / ".dvc" / "config.local").write_text(_section(name, lines))


def _section(name: str, lines: list[str]) -> str:
    return "\n    ".join([f"['remote \"{name}\"']", *lines]) + "\n"


def clone(repository: Path, folder: Path) -> Path:
    git("clone", "-q", str(repository), str(folder), cwd=repository)
    return folder
