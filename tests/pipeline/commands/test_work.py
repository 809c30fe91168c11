"""`latentlaw work` and `status` on a real stage: workers are killed and told to end, the store stays the same."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.pipeline.commands.clones import clone_in


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    return clone_in(tmp_path_factory.mktemp("clone"))


def begin(clone, scratch, *words):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LATENTLAW_")}
    environment |= {"LATENTLAW_SCRATCH": str(scratch), "LATENTLAW_SCHEDULER": "serial", "PYTHONPATH": str(clone)}
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ends(process, status=0):
    said, _ = process.communicate(timeout=300)
    assert process.returncode == status, said
    return said


def made_by_repro(clone, scratch):
    """The hash of the store, and what the stage said."""
    said = ends(begin(clone, scratch, "pipeline.microstructure.microstructures"))
    return json.loads((clone / "reports/metrics/microstructures.json").read_text())["hash"], said


def status(clone, scratch):
    return json.loads(ends(begin(clone, scratch, "pipeline.cli", "status", "microstructures", "--json")))


def workers_of(process, n):
    end = time.monotonic() + 60
    while len(children := psutil.Process(process.pid).children()) < n:
        assert time.monotonic() < end
        time.sleep(0.02)
    return children


@pytest.fixture(scope="module")
def expected(clone, tmp_path_factory):
    return made_by_repro(clone, tmp_path_factory.mktemp("alone"))[0]


@pytest.mark.slow
def test_killed_workers_are_replaced_and_the_store_is_that_of_one_process(clone, tmp_path, expected):
    before = status(clone, tmp_path)
    assert (before["n_done"], before["running"], before["shards_per_hour"]) == (0, {}, None)
    process = begin(clone, tmp_path, "pipeline.cli", "work", "microstructures", "--workers", "2")
    workers_of(process, 2)[0].send_signal(signal.SIGKILL)
    said = ends(process)
    assert "2 workers claim shards in" in said and "a worker was killed (signal 9) and is replaced" in said
    after = status(clone, tmp_path)
    assert after["n_done"] == after["n_shards"] == before["n_shards"] > 4
    assert after["failed"] == {} and after["hosts"] == {}
    found, said = made_by_repro(clone, tmp_path)
    assert found == expected
    assert f"reused {after['n_shards']} of {after['n_shards']} results" in said


@pytest.mark.slow
def test_workers_that_only_die_are_not_replaced_for_ever(clone, tmp_path):
    process = begin(clone, tmp_path, "pipeline.cli", "work", "microstructures", "--workers", "1")
    next(line for line in process.stdout if "1 workers claim shards in" in line)
    while process.poll() is None:
        for worker in psutil.Process(process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
        time.sleep(0.02)
    said = ends(process, 1)
    assert said.count("a worker was killed (signal 9) and is replaced") >= 2
    assert "and is not replaced: 3 were since a shard was done. Does it need more memory" in said


@pytest.mark.slow
def test_what_cannot_be_is_said_once(clone, tmp_path):
    said = ends(begin(clone, tmp_path, "pipeline.cli", "work", "microstructures", "--workers", "4", "--expect", "k"), 1)
    assert said.count("this was submitted for k, but params.yaml and code here make") == 1
    said = ends(begin(clone, tmp_path, "pipeline.cli", "work", "potential"), 1)
    assert said.count("found stage 'potential', expected one that is made in shards: ") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_end_of_a_job_ends_its_workers_and_gives_claims_back(clone, tmp_path):
    process = begin(clone, tmp_path, "pipeline.cli", "work", "microstructures", "--workers", "2")
    workers = workers_of(process, 2)
    process.send_signal(signal.SIGTERM)
    ends(process, 128 + signal.SIGTERM)
    assert not any(worker.is_running() for worker in workers)
    assert not list(tmp_path.glob("*/*.claim")) and not list(tmp_path.glob("*/workers/*"))
