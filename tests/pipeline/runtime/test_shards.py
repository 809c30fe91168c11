"""Generation ends in the same store whatever happens on the way: kills, damaged shards, other workers, a full disk."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.runtime import shards
from pipeline.runtime.execution import Execution
from pipeline.runtime.kept_results import GenerationError
from pipeline.runtime.shards import Recipe, generate_store, shards_of
from stores.atoms import ATOMS, columns_of, place_after
from stores.building import OutputRefused
from stores.kondo_temperatures import KONDO_TEMPERATURES
from stores.manifest import read_manifest
from stores.outcome import FAILED, OK
from stores.schema import SchemaError
from stores.zarr_store import open_store
from tests.stores.test_atoms import frames

ROOT = Path(__file__).parents[3]
SERIAL = Execution(scheduler="serial")
OUT = Path("data/kondo_temperatures.zarr")

# A whole generation in a process of its own: 24 shards of two rows, some 20 ms each. Where the environment says so it
# kills itself with all it started soon after so many shards: whoever watched from outside might look too late.
PROGRAM = f"""
import os, signal, sys, threading, time
import numpy as np
sys.path.insert(0, {str(ROOT)!r})
from tests.pipeline.runtime.test_shards import recipe, solve
from pipeline.runtime.execution import load_execution
from pipeline.runtime.shards import generate_store

def slow(numbers):
    after, _, seconds = os.environ.get("KILL_AFTER", "").partition(" ")
    if after and numbers[0] == 2 * int(after):
        threading.Timer(float(seconds), os.killpg, [0, signal.SIGKILL]).start()
    time.sleep(0.02)
    return solve(numbers)

if __name__ == "__main__":
    print(generate_store(recipe(solve_shard=slow), load_execution()).hash)
"""


def solve(numbers):
    rng = [np.random.default_rng(np.random.SeedSequence(5, spawn_key=(number,))) for number in numbers]
    return {
        "interaction": np.array([0.1 + r.random() for r in rng]),
        "hybridization": np.array([0.01 + r.random() for r in rng]),
        "level": np.full(len(numbers), -0.05),
        "kondo_temperature": np.array([np.nan if number == 7 else 1e-3 for number in numbers]),
        "kondo_temperature_error": np.array([np.nan if number == 7 else 1e-6 for number in numbers]),
        "status": np.array([FAILED if number == 7 else OK for number in numbers], dtype=np.int8),
        "failure": np.array(["no convergence" if number == 7 else "" for number in numbers]),
    }


def recipe(**changes):
    given = {
        "out": OUT,
        "schema": KONDO_TEMPERATURES,
        "key": "test",
        "shards": shards_of(range(48), 2),
        "solve_shard": solve,
        "coordinates": {},
        "attributes": {"solver": "test", "settings": "{}"},
        "unit": "Hamiltonians",
        "versions": {},
    }
    return Recipe(**(given | changes))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LATENTLAW_SCRATCH", raising=False)
    return tmp_path


def test_what_is_no_store_is_refused_before_anything_is_solved(here):
    OUT.mkdir(parents=True)
    (OUT / "notes.txt").write_text("mine")
    with pytest.raises(OutputRefused, match="something that is no store of kondo_temperatures made here"):
        generate_store(recipe(solve_shard=lambda _: pytest.fail("a shard was solved")), SERIAL)
    assert [path.name for path in here.rglob("*")] == ["data", "kondo_temperatures.zarr", "notes.txt"]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("expected"))
        return generate_store(recipe(), SERIAL).hash


def shard_files(root):
    """Those that are there, in the order of the store."""
    files = [root / f".cache/generation/test/{name}.task" for name in recipe().items]
    return [file for file in files if file.exists()]


def start(root, **environment):
    (root / "program.py").write_text(PROGRAM)
    return subprocess.Popen(
        [sys.executable, "program.py"],
        cwd=root,
        env={**os.environ, "LATENTLAW_SCHEDULER": "serial", "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_failed_rows_are_recorded_and_the_run_goes_on(here, expected):
    assert generate_store(recipe(), SERIAL).hash == expected
    dataset = open_store(OUT, KONDO_TEMPERATURES)
    assert np.flatnonzero(dataset["status"].values).tolist() == [7]
    assert str(dataset["failure"].values[7]) == "no convergence"
    assert not list(here.rglob("*.building"))


def test_only_what_is_missing_is_made(here, expected, capsys):
    generate_store(recipe(), SERIAL)
    shard_files(here)[3].unlink()
    made = []
    again = generate_store(recipe(solve_shard=lambda numbers: made.append(list(numbers)) or solve(numbers)), SERIAL)
    assert made == [[6, 7]]
    assert again.hash == expected
    assert "reused 23 of 24 results" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_shard_is_made_anew(damage, here, expected, capsys):
    generate_store(recipe(), SERIAL)
    file = shard_files(here)[5]
    content = bytearray(file.read_bytes())
    content[40] ^= 4
    file.write_bytes({"truncated": content[:-9], "flipped": content, "empty": b""}[damage])
    assert generate_store(recipe(), SERIAL).hash == expected
    message = capsys.readouterr()
    assert f"{file.name}: checksum does not fit, it is made anew" in message.err
    assert "reused 23 of 24 results" in message.out


def test_killed_at_any_point_it_goes_on_to_the_same_store(here, expected):
    rng = np.random.default_rng(1)
    for n_before in (1, 7, 13):
        process = start(here, KILL_AFTER=f"{n_before} {rng.uniform(0, 0.06)}")
        output, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, output
        assert n_before <= len(shard_files(here)) < 24
        assert not OUT.exists()
    process = start(here)
    while process.poll() is None and not (here / "data" / ".kondo_temperatures.zarr.building").exists():
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    output, _ = start(here).communicate()
    assert output.splitlines()[-1] == expected, output
    assert "reused 24 of 24 results" in output
    assert [entry.name for entry in (here / "data").iterdir()] == [OUT.name]
    assert not list(here.rglob("*.partial"))


@pytest.mark.parametrize("workers", ["1", "3"])
def test_any_number_of_workers_makes_the_same_store(workers, here, expected):
    output, _ = start(here, LATENTLAW_SCHEDULER="local", LATENTLAW_WORKERS=workers).communicate()
    assert output.splitlines()[-1] == expected, output
    generate_store(recipe(out=Path("serial.zarr"), key="serial"), SERIAL)
    files = [file.relative_to("serial.zarr") for file in Path("serial.zarr").rglob("*") if file.is_file()]
    assert len(files) == 1 + 2 * len(KONDO_TEMPERATURES.variables)
    assert all((OUT / file).read_bytes() == (Path("serial.zarr") / file).read_bytes() for file in files)


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["fsync of a shard", "assembly"])
def test_a_full_disk_is_reported_and_leaves_nothing_half_written(where, here, expected, monkeypatch):
    with monkeypatch.context() as patch:
        if where == "assembly":
            patch.setattr(shards.StoreWriter, "write", full_disk)
        else:
            n_left = iter(range(7))  # the first two: versions, and that the run lives
            patch.setattr(os, "fsync", lambda _: None if next(n_left, None) is not None else full_disk())
        with pytest.raises(GenerationError, match=r"the disk is full .* run again: finished shards are kept"):
            generate_store(recipe(), SERIAL)
    assert len(shard_files(here)) == (24 if where == "assembly" else 5)
    assert not [file for file in here.rglob("*") if file.suffix in (".partial", ".building", ".zarr")]
    assert generate_store(recipe(), SERIAL).hash == expected


def test_an_error_that_every_shard_would_meet_ends_the_run_and_is_not_kept(here, expected):
    tried = []

    def solve_until_the_tenth(numbers):
        tried.append(numbers[0])
        if len(tried) > 9:
            raise ModuleNotFoundError("no such program")
        return solve(numbers)

    with pytest.raises(ModuleNotFoundError, match="no such program"):
        generate_store(recipe(solve_shard=solve_until_the_tenth, ends_run=(ModuleNotFoundError,)), SERIAL)
    assert len(tried) == 10
    tried_again = []
    manifest = generate_store(
        recipe(solve_shard=lambda numbers: tried_again.append(numbers[0]) or solve(numbers)), SERIAL
    )
    assert len(tried_again) == 24 - 9
    assert manifest.hash == expected


def test_an_error_of_the_code_is_reported_once_and_the_other_shards_are_kept(here):
    def broken(numbers):
        if numbers[0] in (4, 8):
            raise TypeError("no such thing")
        return solve(numbers)

    with pytest.raises(GenerationError, match=r"2 of 24 tasks failed.*\n  \w+, \w+: TypeError: no such thing"):
        generate_store(recipe(solve_shard=broken), SERIAL)
    assert len(shard_files(here)) == 22
    assert not OUT.exists()


@pytest.mark.parametrize("per_shard", [1, 3, 7])
def test_offsets_into_other_columns_do_not_depend_on_the_shards(per_shard, here):
    made = frames(7, seed=0)
    placed = {
        "schema": ATOMS,
        "out": Path("atoms.zarr"),
        "key": f"atoms{per_shard}",
        "shards": shards_of(range(7), per_shard),
        "solve_shard": lambda rows: columns_of(made.select(rows)),
        "attributes": {"level": "test", "reference_energies": "{}", "settings": "{}"},
        "place": lambda columns, items, n_before: place_after(columns, n_before),
    }
    generate_store(recipe(**placed), SERIAL)
    for name, values in columns_of(made).items():
        np.testing.assert_array_equal(open_store("atoms.zarr", ATOMS)[name].values, values, err_msg=name)


def test_offsets_of_shards_that_were_not_placed_are_refused(here):
    made = frames(4, seed=0)
    with pytest.raises(SchemaError, match="first_atom to be the sum of n_atoms before"):
        generate_store(
            recipe(
                schema=ATOMS,
                shards=shards_of(range(4), 2),
                solve_shard=lambda rows: columns_of(made.select(rows)),
                attributes={"level": "test", "reference_energies": "{}", "settings": "{}"},
            ),
            SERIAL,
        )


def test_a_run_in_which_all_failed_is_an_error(here):
    def hopeless(numbers):
        n = len(numbers)
        return solve(numbers) | {
            "kondo_temperature": np.full(n, np.nan),
            "status": np.full(n, FAILED, dtype=np.int8),
            "failure": np.full(n, "no solver"),
        }

    with pytest.raises(GenerationError, match=r"not one of the Hamiltonians could be solved: no solver \(48 rows\)"):
        generate_store(recipe(solve_shard=hopeless), SERIAL)
    assert not OUT.exists()


def test_rows_that_break_the_contract_are_not_published(here):
    generate_store(recipe(), SERIAL)
    before = read_manifest(OUT)
    with pytest.raises(SchemaError, match=r"level, 48 rows .* found 0.5, expected values <= 0"):
        generate_store(recipe(key="b", solve_shard=lambda n: solve(n) | {"level": np.full(len(n), 0.5)}), SERIAL)
    assert read_manifest(OUT) == before


def test_the_scratch_place_can_be_moved(here, monkeypatch):
    monkeypatch.setenv("LATENTLAW_SCRATCH", str(here / "elsewhere"))
    generate_store(recipe(), SERIAL)
    assert len(list((here / "elsewhere" / "test").glob("*.task"))) == 24
