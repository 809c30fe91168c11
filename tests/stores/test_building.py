"""What is replaced and what is left alone, and what remains of a run that was killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stores.building import SETTLE_S, OutputRefused, building, refusal, store_kind
from stores.manifest import read_manifest
from stores.micrographs import MICROGRAPHS
from stores.micrographs import tiny as tiny_micrographs
from stores.spectra import SPECTRA, tiny
from stores.zarr_store import write_store

ROOT = Path(__file__).parents[2]


def contents(folder: Path) -> dict[str, bytes | str]:
    return {
        path.relative_to(folder).as_posix(): f"-> {os.readlink(path)}" if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def make(target: Path, text: str, kind: str = "thing") -> None:
    with building(target, kind) as workplace:
        workplace.mkdir()
        (workplace / "result").write_text(text)


def folder_with_notes(path: Path) -> Path:
    path.mkdir()
    (path / "notes.txt").write_text("mine")
    return path


def foreign_store(path: Path) -> Path:
    path.mkdir()
    (path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    return path


def file(path: Path) -> Path:
    path.write_text("mine")
    return path


def link(path: Path) -> Path:
    target = folder_with_notes(path.with_name("elsewhere"))
    path.symlink_to(target)
    return path


def dangling(path: Path) -> Path:
    path.symlink_to("nowhere")
    return path


def of_another_kind(path: Path) -> Path:
    make(path, "other", kind="another thing")
    return path


def another_store(path: Path) -> Path:
    write_store(path, MICROGRAPHS, tiny_micrographs())
    return path


def empty(path: Path) -> Path:
    path.mkdir()
    return path


def with_more(path: Path) -> Path:
    make(path, "old")
    (path / "below").mkdir()
    (path / "below" / "mine.txt").write_text("mine")
    return path


def store_with_more(path: Path) -> Path:
    write_store(path, SPECTRA, tiny())
    (path / "spectrum" / "notes.txt").write_text("mine")
    return path


@pytest.mark.parametrize(
    "there",
    [folder_with_notes, foreign_store, file, link, dangling, of_another_kind, another_store, empty, with_more,
     store_with_more],
)  # fmt: skip
def test_what_was_not_made_here_is_refused_and_left_byte_for_byte(there, tmp_path: Path):
    path = there(tmp_path / "out")
    before = contents(tmp_path)
    with pytest.raises(OutputRefused, match=r"out: found .*expected.*(name another one|name another path)"):
        make(path, "new")
    with pytest.raises(OutputRefused):
        write_store(path, SPECTRA, tiny())
    assert contents(tmp_path) == before
    assert path.is_symlink() == (there in (link, dangling))


def test_what_was_made_here_as_the_same_is_replaced_whole(tmp_path: Path):
    with building(tmp_path / "out", "thing") as workplace:
        (workplace / "below").mkdir(parents=True)
        (workplace / "below" / "old").write_text("old")
    make(tmp_path / "out", "new")
    assert sorted(contents(tmp_path)) == ["out/.latentlaw.json", "out/result"]
    for _ in range(2):
        write_store(tmp_path / "s.zarr", SPECTRA, tiny())
    assert refusal(tmp_path / "s.zarr", store_kind(SPECTRA)) == ""


def test_what_came_to_lie_there_meanwhile_is_left_alone(tmp_path: Path):
    with pytest.raises(OutputRefused), building(tmp_path / "out", "thing") as workplace:
        workplace.mkdir()
        folder_with_notes(tmp_path / "out")
    assert contents(tmp_path) == {"out/notes.txt": b"mine"}


def test_a_place_of_work_that_was_not_made_here_is_left_alone(tmp_path: Path):
    folder_with_notes(tmp_path / ".out.building")
    with pytest.raises(OutputRefused, match="where it would be built"):
        make(tmp_path / "out", "new")
    assert contents(tmp_path) == {".out.building/notes.txt": b"mine"}


def test_a_failure_leaves_nothing(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), building(tmp_path / "out", "thing") as workplace:
        workplace.mkdir()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_what_a_thread_still_writes_after_an_interrupt_is_cleared_too(tmp_path: Path, monkeypatch):
    """It writes after the first clearing, while `building` gives it time to settle."""

    def late(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "c").write_text("late")

    waited: list[float] = []
    with pytest.raises(KeyboardInterrupt), building(tmp_path / "out", "thing") as workplace:
        monkeypatch.setattr(time, "sleep", lambda seconds: waited.append(seconds) or late(workplace / "array"))
        raise KeyboardInterrupt
    assert waited == [SETTLE_S]
    assert list(tmp_path.iterdir()) == []
    late(tmp_path / ".out.building" / workplace.name / "later still")
    make(tmp_path / "out", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


KILLED = """
import os, signal, sys
from pathlib import Path
from stores import building as module

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

moves = 0
def move(source, target, replace=os.replace):
    global moves
    if moves == int(sys.argv[1]):
        killed()
    moves += 1
    replace(source, target)

module.os.replace = move
with module.building("out", "thing") as workplace:
    workplace.mkdir()
    (workplace / "result").write_text("half")
    if sys.argv[1] == "-1":
        killed()
"""


@pytest.mark.parametrize("moves", [-1, 0, 1])
def test_a_kill_at_any_step_loses_nothing_and_the_next_run_clears_up(moves: int, tmp_path: Path):
    """While it builds, before the old one is moved away, and before the new one is moved in."""
    make(tmp_path / "out", "old")
    words = [sys.executable, "-c", KILLED, str(moves)]
    reply = subprocess.run(words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert reply.returncode == -9
    assert (tmp_path / ".out.building").is_dir()
    with pytest.raises(RuntimeError), building(tmp_path / "out", "thing"):
        raise RuntimeError("the next run fails too")
    assert (tmp_path / "out" / "result").read_text() == "old"
    make(tmp_path / "out", "new")
    assert (tmp_path / "out" / "result").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_store_replaces_a_store_of_its_schema(tmp_path: Path):
    first = write_store(tmp_path / "s.zarr", SPECTRA, tiny())
    second = write_store(tmp_path / "s.zarr", SPECTRA, tiny().isel(sample=slice(1)))
    assert first.hash != second.hash == read_manifest(tmp_path / "s.zarr").hash
    assert [path.name for path in tmp_path.iterdir()] == ["s.zarr"]


def test_two_runs_do_not_make_the_same_at_once(tmp_path: Path):
    """The second is refused and touches nothing; a lock that a killed run left holds nobody up."""
    code = "import sys; from pathlib import Path; from stores.building import building\n"
    code += "with building('out', 'thing') as w: w.mkdir(); print('there', flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        words, cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None and first.stdout.readline() == "there\n"
        with pytest.raises(OutputRefused, match="out: found another run that is making it, expected one at a time"):
            make(tmp_path / "out", "second")
        assert (tmp_path / ".out.building").is_dir()
        first.kill()
    make(tmp_path / "out", "third")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
