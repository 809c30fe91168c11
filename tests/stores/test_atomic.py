"""A file is whole or not there, whatever happens while it is written."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stores.atomic import SUFFIX, clear_partial, write_bytes, write_text

ROOT = Path(__file__).parents[2]
SIZE = 3_000_000
PROGRAM = f"""
import itertools
from pathlib import Path
from stores.atomic import write_bytes
for number in itertools.count():
    write_bytes(Path("file"), bytes([number % 256]) * {SIZE})
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_makes_folders_and_replaces(tmp_path: Path):
    write_text(tmp_path / "a/b.txt", "one\n")
    write_text(tmp_path / "a/b.txt", "zwölf\n")
    assert (tmp_path / "a/b.txt").read_bytes() == "zwölf\n".encode()
    assert names(tmp_path / "a") == ["b.txt"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    write_text(tmp_path / "f", "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text(tmp_path / "f", "new")
    assert names(tmp_path) == ["f"]
    assert (tmp_path / "f").read_text() == "old"


def test_a_file_server_that_moved_the_file_before_it_was_restarted_says_so_in_vain(tmp_path: Path, monkeypatch):
    replace = os.replace

    def moved_already(source, target):
        replace(source, target)
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(source))

    monkeypatch.setattr(os, "replace", moved_already)
    write_text(tmp_path / "f", "new")
    assert (tmp_path / "f").read_text() == "new"
    assert names(tmp_path) == ["f"]


@pytest.mark.parametrize("old", [True, False])
def test_a_file_that_vanished_before_it_was_moved_is_an_error(tmp_path: Path, monkeypatch, old: bool):
    def vanished(source, target):
        Path(source).unlink()
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(source))

    if old:
        write_text(tmp_path / "f", "old")
    monkeypatch.setattr(os, "replace", vanished)
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "f", "new")


def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path: Path):
    for wait_s in (0.0, 0.004, 0.011):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        while not (tmp_path / "file").exists():
            time.sleep(0.001)
        time.sleep(wait_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        content = (tmp_path / "file").read_bytes()
        assert len(content) == SIZE and len(set(content)) == 1
        clear_partial(tmp_path)
        assert names(tmp_path) == ["file"]
        (tmp_path / "file").unlink()


def test_what_is_being_written_is_seen_neither_by_git_nor_by_dvc():
    for ignoring in (".gitignore", ".dvcignore"):
        assert f"*{SUFFIX}" in (ROOT / ignoring).read_text().splitlines()


def test_nothing_else_writes_files_beside_their_place():
    """One function, one suffix: a second scheme would be neither synced nor ignored."""
    sources = [path for package in ("pipeline", "stores", "models") for path in (ROOT / package).rglob("*.py")]
    schemes = ('.part"', '.tmp"', ".partial")
    found = [path.relative_to(ROOT).as_posix() for path in sources if any(word in path.read_text() for word in schemes)]
    assert found == ["stores/atomic.py"]


def test_it_needs_no_numpy():
    write_bytes_alone = "import sys, stores.atomic; sys.exit('numpy' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", write_bytes_alone], env=environment, check=False).returncode == 0
    assert write_bytes.__module__ == "stores.atomic"
