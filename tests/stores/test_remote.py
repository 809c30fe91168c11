"""What `dvc push` shares: a second clone gets the same bytes, and a revision can be opened without getting it all."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from stores.kondo_temperatures import KONDO_TEMPERATURES
from stores.remote import open_remote
from stores.schema import SchemaError
from stores.spectra import SPECTRA, tiny
from stores.zarr_store import open_store, write_store

STORE = "data/spectra.zarr"


def run(*command: str, cwd: Path) -> None:
    identity = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(
        command, cwd=cwd, check=True, capture_output=True, env={**os.environ, "DVC_NO_ANALYTICS": "1", **identity}
    )


def dvc(*arguments: str, cwd: Path) -> None:
    run(sys.executable, "-m", "dvc", "-q", *arguments, cwd=cwd)


def files_of(root: Path) -> dict[str, str]:
    return {
        str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in root.rglob("*") if f.is_file()
    }


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """A repository whose tag `v1` holds the store, pushed to a folder, while the working tree has moved on."""
    root = tmp_path_factory.mktemp("shared") / "repo"
    root.mkdir()
    run("git", "init", "-q", cwd=root)
    dvc("init", cwd=root)
    dvc("remote", "add", "-d", "folder", str(root.parent / "remote"), cwd=root)
    write_store(root / STORE, SPECTRA, tiny())
    dvc("add", STORE, cwd=root)
    run("git", "add", "-A", cwd=root)
    run("git", "commit", "-qm", "store", cwd=root)
    run("git", "tag", "v1", cwd=root)
    dvc("push", cwd=root)
    shutil.rmtree(root / ".dvc" / "cache")  # so that data can come from the remote alone
    write_store(root / STORE, SPECTRA, tiny().isel(sample=slice(1)))
    dvc("add", "--no-commit", STORE, cwd=root)
    run("git", "commit", "-qam", "fewer rows", cwd=root)
    return root


def test_a_second_clone_pulls_the_same_bytes(shared, tmp_path):
    run("git", "clone", "-q", "-b", "v1", str(shared), str(tmp_path / "clone"), cwd=tmp_path)
    dvc("pull", cwd=tmp_path / "clone")
    write_store(tmp_path / "again.zarr", SPECTRA, tiny())
    assert files_of(tmp_path / "clone" / STORE) == files_of(tmp_path / "again.zarr")


def test_a_revision_opens_lazily_from_the_remote(shared):
    dataset = open_remote(STORE, repo=shared, rev="v1", schema=SPECTRA)
    np.testing.assert_array_equal(dataset["spectrum"][1:3].values, tiny()["spectrum"][1:3].values)
    xr.testing.assert_equal(dataset.load(), tiny())
    assert open_store(shared / STORE).sizes["sample"] == 1


def test_what_is_not_there_is_reported(shared):
    with pytest.raises(ValueError, match=r"no such revision; expected a tag"):
        open_remote(STORE, repo=shared, rev="v99")
    with pytest.raises(FileNotFoundError, match=r"data/other.zarr .* found no store"):
        open_remote("data/other.zarr", repo=shared, rev="v1")
    with pytest.raises(SchemaError, match=r"found schema 'spectra', expected 'kondo_temperatures'"):
        open_remote(STORE, repo=shared, rev="v1", schema=KONDO_TEMPERATURES)
