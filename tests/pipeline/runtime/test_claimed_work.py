"""Stores made by workers that claim shards are those of one process, whatever dies on the way."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.runtime import claimed_work
from pipeline.runtime.claim_status import claim_status
from pipeline.runtime.claimed_work import identity_of, recipe_of_stage, work
from pipeline.runtime.claims import Claims, ClaimsRefused
from pipeline.runtime.execution import Execution
from pipeline.runtime.shards import generate_store, recipe_of
from tests.pipeline.runtime.test_shards import SERIAL, expected, here, recipe, solve

__all__ = ["expected", "here"]

ROOT = Path(__file__).parents[3]
FOLDER = Path(".cache/generation/test")
NAMES = list(recipe().items)
ELSEWHERE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def start(n_workers, expires_s=5.0, within=(), **environment):
    command = [*within, sys.executable, "-m", "tests.pipeline.runtime.claim_program", str(n_workers), str(expires_s)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(command, env=environment)


def times_made():
    return Counter(int(line.split()[0]) for line in Path("made").read_text().splitlines())


def assembled():
    """The hash of the store that `repro` makes of what workers left; no shard is made for it."""
    return generate_store(recipe(solve_shard=lambda _: pytest.fail("a shard was made again")), SERIAL).hash


@pytest.mark.parametrize("n_workers", [1, 8, pytest.param(100, marks=pytest.mark.slow)])
def test_any_number_of_workers_makes_each_shard_once(here, expected, n_workers):
    assert start(n_workers).wait(300) == 0
    assert times_made() == dict.fromkeys(range(0, 48, 2), 1)
    assert not list(FOLDER.glob("*.claim")) and not list((FOLDER / "workers").iterdir())
    assert assembled() == expected


@pytest.mark.slow
@pytest.mark.parametrize(("n_workers", "seconds"), [(8, 3), (100, 20)])  # long enough for all to begin meanwhile
def test_half_of_the_workers_are_killed(here, expected, n_workers, seconds):
    process = start(n_workers, SECONDS_OF_A_SHARD=str(seconds))
    end = time.monotonic() + 240
    while not Path("pids").is_file() or len(pids := Path("pids").read_text().split()) < n_workers:
        assert time.monotonic() < end
        time.sleep(0.05)
    while len(list(FOLDER.glob("*.claim"))) < min(n_workers, 24) * 0.7:  # so that some of the killed hold one
        assert time.monotonic() < end
        time.sleep(0.05)
    killed = random.Random(n_workers).sample(pids, n_workers // 2)
    for pid in killed:
        os.kill(int(pid), signal.SIGKILL)
    assert process.wait(300) == 0
    made = times_made()
    assert set(made) == set(range(0, 48, 2))
    assert 0 < sum(made.values()) - 24 <= len(killed), "what a worker died with is made twice, nothing else"
    assert assembled() == expected


def can_unshare():
    return not subprocess.run([*ELSEWHERE, "true"], capture_output=True, check=False).returncode


@pytest.mark.slow
def test_what_a_worker_died_with_on_another_machine_is_taken_over_when_it_gave_no_sign_of_life(here, expected):
    """The other machine is a namespace of processes of its own, whose numbers say nothing here."""
    if not shutil.which("unshare") or not can_unshare():
        pytest.skip("needs root and `unshare`, for a machine of its own")
    process = start(1, within=ELSEWHERE, SECONDS_OF_A_SHARD="60")
    end = time.monotonic() + 60
    while not Path("made").is_file():
        assert time.monotonic() < end
        time.sleep(0.05)
    (lost,) = times_made()
    process.kill()
    process.wait()
    begun = time.monotonic()
    assert start(1, expires_s=3.0).wait(120) == 0
    assert time.monotonic() - begun > 3.0
    assert times_made() == dict.fromkeys(range(0, 48, 2), 1) | {lost: 2}
    assert assembled() == expected


def test_a_shard_that_kills_its_worker_three_times_is_recorded_and_the_others_are_made(here):
    assert start(2, DEADLY_SHARD="8", REPLACED="1").wait(120) == 0
    made = times_made()
    assert made.pop(8) == 3
    assert made == dict.fromkeys(set(range(0, 48, 2)) - {8}, 1)
    status = claim_status(FOLDER, NAMES)
    assert list(status.failed) == [NAMES[4]] and "3 workers died in a row" in status.failed[NAMES[4]]
    assert (status.n_done, status.n_shards, status.running) == (23, 24, {})
    Claims(FOLDER, NAMES).retry()
    assert start(1).wait(60) == 0
    assert claim_status(FOLDER, NAMES).n_done == 24


def test_a_worker_that_is_told_to_end_gives_its_shard_back(here):
    process = start(1, SECONDS_OF_A_SHARD="30")
    end = time.monotonic() + 60
    while not Path("made").is_file():
        assert time.monotonic() < end
        time.sleep(0.05)
    os.kill(int(Path("pids").read_text()), signal.SIGTERM)
    assert process.wait(20) == 0
    assert not list(FOLDER.glob("*.claim")) and not list((FOLDER / "workers").iterdir())


def test_a_failure_of_the_code_is_recorded_with_its_reason(here):
    def picky(numbers):
        if numbers[0] == 4:
            raise ValueError("no such impurity")
        return solve(numbers)

    made = recipe(solve_shard=picky)
    work(made, identity_of("kondo_temperatures", made))
    assert claim_status(FOLDER, NAMES).failed == {NAMES[2]: "ValueError: no such impurity"}
    assert generate_store(recipe(), SERIAL).sizes["sample"] == 48, "repro tries it again"
    assert not list(FOLDER.glob("*.failed"))


def test_what_fails_as_a_worker_is_told_to_end_is_no_failure_of_the_code(here):
    """Seen with Numba: the exception of the signal was lost in a callback, then no compiled function was there."""
    told = []

    def swallows(numbers):
        told.append("SIGTERM")
        raise RuntimeError("no compiled object yet for <Library 'traced'>")

    made = recipe(solve_shard=swallows)
    with pytest.raises(KeyboardInterrupt):
        work(made, identity_of("kondo_temperatures", made), goes_on=lambda: not told)
    assert claim_status(FOLDER, NAMES).failed == {} and told == ["SIGTERM"]
    assert not list(FOLDER.glob("*.claim"))


class Missing(RuntimeError):
    pass


def test_what_every_shard_would_meet_ends_the_worker_and_fails_no_shard(here):
    def absent(numbers):
        raise Missing("no such program")

    made = recipe(solve_shard=absent, ends_run=(Missing,))
    with pytest.raises(Missing):
        work(made, identity_of("kondo_temperatures", made))
    assert claim_status(FOLDER, NAMES).failed == {}
    assert not list(FOLDER.glob("*.claim"))


def test_no_shard_is_begun_that_would_end_too_late(here):
    made = recipe()
    work(made, identity_of("kondo_temperatures", made), seconds=0.0)
    assert claim_status(FOLDER, NAMES).n_done == 0
    slow = recipe(solve_shard=lambda numbers: time.sleep(0.1) or solve(numbers))
    work(slow, identity_of("kondo_temperatures", slow), seconds=1.0)
    assert 0 < claim_status(FOLDER, NAMES).n_done < 24
    assert not list(FOLDER.glob("*.claim"))


def test_repro_waits_for_workers_then_makes_what_they_left(here, expected, capsys, monkeypatch):
    process = start(1, SECONDS_OF_A_SHARD="0.1")
    end = time.monotonic() + 60
    while not list(FOLDER.glob("*.task")):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert generate_store(recipe(), SERIAL).hash == expected
    assert process.wait(10) == 0
    assert "1 workers on" in capsys.readouterr().err
    assert times_made() == dict.fromkeys(range(0, 48, 2), 1)


def test_a_worker_beside_repro_is_refused(here):
    made = recipe()
    with (
        Claims(FOLDER, NAMES, role="repro").present(),
        pytest.raises(ClaimsRefused, match="`latentlaw repro`"),
    ):
        work(made, identity_of("kondo_temperatures", made))


def test_a_worker_beside_a_repro_that_died_elsewhere_begins_when_that_is_sure(here, monkeypatch):
    monkeypatch.setattr(claimed_work, "LOOK_EVERY_S", 0.05)
    dead = Claims(FOLDER, NAMES, role="repro")
    dead.me = replace(dead.me, machine="another")
    made = recipe()
    with dead.present():
        (file,) = (FOLDER / "workers").iterdir()
        kept = file.read_text()
    file.write_text(kept)
    begun = time.monotonic()
    work(made, identity_of("kondo_temperatures", made), expires_s=1.0)
    assert time.monotonic() - begun > 1.0
    assert claim_status(FOLDER, NAMES).n_done == 24


def test_what_was_submitted_for_other_params_is_refused(here):
    made = recipe()
    with pytest.raises(ClaimsRefused, match=r"submitted for other, but params\.yaml and code here make test"):
        work(made, identity_of("kondo_temperatures", made), expected_key="other")


def test_the_recipe_of_a_stage_is_had_without_making_anything(here):
    asked = recipe(solve_shard=lambda _: pytest.fail("a shard was made"))
    assert recipe_of(lambda: generate_store(asked, Execution(scheduler="serial"))) is asked
    assert not list(here.iterdir())


@pytest.fixture
def clone(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_every_stage_made_in_shards_is_known(clone):
    with pytest.raises(ValueError, match="found stage 'potential', expected one that is made in shards") as refused:
        recipe_of_stage("potential")
    known = str(refused.value).rpartition(": ")[2].split(", ")
    assert set(known) == {
        "aluminium",
        "hubbard",
        "kondo_temperatures",
        "microstructures",
        "molecules",
        "pseudogap",
        "spectra",
        "textures",
    }
    with pytest.raises(ValueError, match="found stage 'nonsense'"):
        recipe_of_stage("nonsense")


def test_the_recipe_of_a_real_stage_is_that_of_its_params(clone):
    made = recipe_of_stage("kondo_temperatures")
    assert made.out == Path("data/kondo_temperatures.zarr")
    identity = identity_of("kondo_temperatures", made)
    assert (identity.stage, identity.key, identity.versions) == ("kondo_temperatures", made.key, made.versions)
