"""The fuzzer itself: seeds and inputs are the same in every run, no reader crashes on some, and a crash is noticed."""

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.kinds import KINDS, RunsCode, make_input, make_seeds

ROOT = Path(__file__).parents[2]
N_INPUTS = 6


@pytest.mark.slow
def test_every_reader_reads_or_explains_what_it_gets(tmp_path: Path):
    """In a process of its own: the memory of its children is limited."""
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", str(N_INPUTS), "--seed", "5", "--keep", tmp_path]
    reply = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert reply.returncode == 0, reply.stdout + reply.stderr
    rows = dict(re.findall(r"^([\w.-]+) +(\d+) ", reply.stdout, re.MULTILINE))
    assert rows == {name: str(N_INPUTS) for name in KINDS} | {"all": str(N_INPUTS * len(KINDS))}


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("kind", ["extxyz", "ase-db", "ani-h5", "rmd17", "curves.parquet", "curves.zarr", "columns"])
def test_seeds_and_inputs_depend_on_their_numbers_alone(tmp_path: Path, kind: str):
    made = []
    for time in ("first", "second"):
        make_seeds(kind, tmp_path / time / "seeds")
        make_input(kind, tmp_path / time / "seeds", 0, 11, tmp_path / time / "input")
        made.append(content(tmp_path / time))
    assert made[0] == made[1]


def unpickles(folder: Path, out: Path) -> None:
    pickle.loads(pickle.dumps(RunsCode()))


def writes_outside(folder: Path, out: Path) -> None:
    (folder.parent.parent / "outside").write_text("a")


def asks_for_memory(folder: Path, out: Path) -> None:
    try:
        bytearray(2**33)
    except MemoryError as error:
        raise ValueError("explained") from error


def ends(folder: Path, out: Path) -> None:
    os.abort()


def refuses(folder: Path, out: Path) -> None:
    raise ValueError("found a, expected b")


def errs(folder: Path, out: Path) -> None:
    raise KeyError("a")


CRASHES = """
import sys
from pathlib import Path
from tests.fuzz import test_fuzz
from tests.fuzz.trial import results
read = getattr(test_fuzz, sys.argv[1])
for result in results([0, 1], lambda number, folder: None, read, Path(sys.argv[2])):
    print(result.number, result.outcome, result.problem)
"""


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        ("unpickles", r"crash pickle\.find_class"),
        ("writes_outside", "crash opens .*outside for writing"),
        ("asks_for_memory", "crash asks for memory that a header claims: explained"),
        ("ends", "crash ended the process, status -6"),
        ("errs", "crash KeyError: 'a'"),
        ("refuses", "refused found a, expected b"),
    ],
)
def test_what_no_reader_may_do_is_a_crash(tmp_path: Path, reader: str, said: str):
    command = [sys.executable, "-c", CRASHES, reader, tmp_path / "deep" / "work"]
    reply = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = reply.stdout.splitlines()
    assert [line[0] for line in lines] == ["0", "1"], reply.stderr
    for line in lines:
        assert re.match(rf"\d {said}", line)
