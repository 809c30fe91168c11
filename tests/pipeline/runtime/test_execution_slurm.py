"""On a live SLURM of this machine: jobs that end and drivers that are killed cost time, no task. Minutes.

pytest -m slurm        needs root and `apt-get install slurmctld slurmd slurm-client munge`
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.microstructure import microstructures
from pipeline.runtime import batch_jobs, dask_workers
from pipeline.runtime.claim_status import claim_status
from pipeline.runtime.driver_folder import DRIVERS
from pipeline.runtime.execution import Execution, JobSettings, run_tasks
from pipeline.runtime.shards import generate_store, recipe_of
from tests.pipeline.commands.clones import clone_in
from tests.pipeline.commands.running import run
from tests.pipeline.runtime import slurm_daemons
from tests.pipeline.runtime.test_shards import SERIAL, recipe

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.skipif(bool(slurm_daemons.missing()), reason=str(slurm_daemons.missing())),
]

ROOT = Path(__file__).parents[3]

# A whole generation in a process of its own: 24 shards of two rows, as a stage makes them, 2 s each.
PROGRAM = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from pipeline.commands import submit
from pipeline.runtime import batch_jobs, dask_workers
from pipeline.runtime.execution import load_execution
from pipeline.runtime.shards import generate_store
from tests.pipeline.runtime.test_shards import recipe, solve

def slow(numbers):
    time.sleep(2)
    return solve(numbers)

if __name__ == "__main__":
    batch_jobs.ASK_EVERY_S = 3
    dask_workers.LOOK_EVERY_S = 1
    print("hash", generate_store(recipe(solve_shard=slow), load_execution()).hash)
"""
LOCAL = "scheduler: slurm\nworkers: 2\njobs: {memory: 500MB}\n"


def nap(seconds):
    time.sleep(seconds)
    return seconds


@pytest.fixture(scope="module")
def daemons(tmp_path_factory):
    pytest.importorskip("dask_jobqueue")
    with slurm_daemons.slurm(tmp_path_factory.mktemp("slurm")) as variables:
        yield variables


@pytest.fixture
def two_jobs(daemons, tmp_path, monkeypatch):
    """Two jobs of one minute on the live SLURM; `cores` workers each."""
    for name, value in (daemons | {"PYTHONPATH": str(ROOT)}).items():
        monkeypatch.setenv(name, value)
    for module, name, seconds in (
        (batch_jobs, "ASK_EVERY_S", 3),
        (batch_jobs, "SETTLED_S", 3),
        (dask_workers, "LOOK_EVERY_S", 1),
    ):
        monkeypatch.setattr(module, name, seconds)

    def execution(*more, **settings):
        directives = (f"--output={tmp_path}/%j.out", *more)
        job = JobSettings(walltime="00:01:00", memory="1GB", directives=directives, **settings)
        return Execution(scheduler="slurm", workers=2, jobs=job)

    yield execution
    deadline = time.monotonic() + 60
    while queue := subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=True).stdout:
        assert time.monotonic() < deadline, f"jobs were left behind:\n{queue}"
        time.sleep(1)


def n_replaced(message):
    return sum(int(n) for n in re.findall(r"submitted in their place: (\d+)", message))


def queue():
    command = ["squeue", "--noheader", "--states=running", "--format=%i"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def wait_for(what, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return found


@pytest.mark.essential
def test_every_job_killed_five_times_and_the_driver_once_give_the_store_of_an_undisturbed_run(
    two_jobs, tmp_path, monkeypatch
):
    (tmp_path / "undisturbed").mkdir()
    monkeypatch.chdir(tmp_path / "undisturbed")
    expected = generate_store(recipe(), SERIAL).hash
    here = tmp_path / "here"
    here.mkdir()
    (here / "program.py").write_text(PROGRAM)
    (here / "local.yaml").write_text(LOCAL)

    def start():
        with (here / "log").open("a") as log:
            return subprocess.Popen([sys.executable, "program.py"], cwd=here, stdout=log, stderr=subprocess.STDOUT)

    def finished():
        return len(list(here.glob(".cache/generation/test/*.task")))

    driver, n_cancelled = start(), 0
    for round_ in range(5):
        jobs = wait_for(lambda: len(found := queue()) == 2 and found)
        before = finished()
        wait_for(lambda before=before, driver=driver: finished() > before or driver.poll() is not None)
        assert driver.poll() is None, (here / "log").read_text()
        subprocess.run(["scancel", *jobs], check=True)
        n_cancelled += len(jobs)
        if round_ == 2:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
            keys = list((here / DRIVERS).glob("*/key.pem"))
            assert len(keys) == 1
            assert keys[0].stat().st_mode & 0o777 == 0o600
            driver = start()
        wait_for(lambda jobs=jobs: not set(jobs) & set(queue()))
    assert driver.wait(300) == 0, (here / "log").read_text()
    log = (here / "log").read_text()
    assert f"hash {expected}" in log, log
    assert n_cancelled == 10
    assert "CANCELLED" in log
    assert "workers died" not in log
    assert list((here / DRIVERS).iterdir()) == []


@pytest.mark.essential
def test_a_task_that_kills_its_worker_is_given_up_after_three_deaths_and_the_others_end(two_jobs):
    results = dict(run_tasks(kills_its_worker, range(8), two_jobs(cores=2)))
    deadly = results.pop(5)
    assert results == {number: number for number in range(8) if number != 5}
    assert str(deadly).startswith("3 workers died while they had this task. Does it need more memory")


def kills_its_worker(number):
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1)
    return number


def test_a_task_that_kills_its_whole_job_is_found_and_no_task_beside_it_is_blamed(two_jobs, capfd):
    results = dict(run_tasks(kills_its_job, range(8), two_jobs(cores=2)))
    deadly = results.pop(5)
    assert results == {number: number for number in range(8) if number != 5}
    assert str(deadly).startswith("3 workers died while they had this task. The queue says of the last job: FAILED")


def kills_its_job(number):
    time.sleep(2)
    if number == 5:
        os.kill(os.getppid(), signal.SIGSTOP)  # the worker's nanny cannot start it again
        subprocess.run(["scancel", "--batch", "--signal=KILL", os.environ["SLURM_JOB_ID"]], check=True)
        time.sleep(60)
    time.sleep(2)
    return number


def test_jobs_that_end_at_their_walltime_are_replaced(two_jobs, capfd):
    start = time.monotonic()
    results = dict(run_tasks(nap, [25] * 10, two_jobs()))
    assert results == dict.fromkeys(range(10), 25)
    assert n_replaced(capfd.readouterr().err) >= 2
    assert time.monotonic() - start < 400


def test_after_scancel_of_every_job_all_tasks_end(two_jobs, capfd):
    cancel = ["scancel", f"--user={os.getuid()}"]
    timer = threading.Timer(20, subprocess.run, [cancel], {"check": True})
    timer.start()
    results = dict(run_tasks(nap, [8] * 12, two_jobs(cores=2)))
    timer.join()
    assert results == dict.fromkeys(range(12), 8)
    assert n_replaced(capfd.readouterr().err) >= 2


@pytest.mark.parametrize("requeued", [True, False])
def test_jobs_of_a_node_that_fails_are_replaced_or_come_again_from_the_queue(two_jobs, capfd, requeued):
    """SLURM puts them back into the queue by itself, unless told not to; either way every task ends."""
    node = subprocess.run(["sinfo", "-h", "-o", "%n"], capture_output=True, text=True, check=True).stdout.strip()
    down = ["scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test"]  # its slurmd brings it back at once
    timer = threading.Timer(20, subprocess.run, [down], {"check": True})
    timer.start()
    execution = two_jobs("--requeue" if requeued else "--no-requeue", cores=2)
    results = dict(run_tasks(nap, [8] * 12, execution))
    timer.join()
    assert results == dict.fromkeys(range(12), 8)
    said = capfd.readouterr().err
    assert ("NODE_FAIL" in said and n_replaced(said) >= 2) or requeued, said


@pytest.mark.essential
def test_a_partition_that_is_not_there_is_refused_in_slurms_words(two_jobs):
    with pytest.raises(
        ValueError, match=r"SLURM refused the job: .*invalid partition specified: nowhere.*; correct `jobs`"
    ):
        list(run_tasks(nap, [1], two_jobs(queue="nowhere")))


@pytest.mark.essential
def test_an_array_without_a_driver_makes_all_shards_of_a_stage(two_jobs, tmp_path, monkeypatch, capfd):
    clone_in(tmp_path)
    prologue = 'echo "in $PWD, index $SLURM_ARRAY_TASK_ID"'
    (tmp_path / "local.yaml").write_text(
        f"scheduler: slurm\njobs: {{memory: 1GB, cores: 2, prologue: ['{prologue}']}}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LATENTLAW_SCHEDULER", raising=False)
    assert run("submit", "microstructures", "--array", 2) == 0
    number = re.match(r"submit: SLURM job (\d+), 2 times 2 workers", capfd.readouterr().out)[1]
    made = recipe_of(microstructures.main)
    folder, names = made.scratch(), list(made.items)
    n_shards = len(names)
    wait_for(lambda: claim_status(folder, names).n_done == n_shards)
    wait_for(lambda: not subprocess.run(["squeue", "-h"], capture_output=True, check=True).stdout)
    host = subprocess.run(["hostname"], capture_output=True, text=True, check=True).stdout.strip()
    for index in (1, 2):
        told = (tmp_path / f".cache/jobs/microstructures/output/{number}_{index}.out").read_text()
        assert told.startswith(f"in {tmp_path}, index {index}\ntask {index} of 2 on {host}\n")
        assert f"microstructures: {n_shards} of {n_shards} shards" in told
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    microstructures.main()
    assert f"reused {n_shards} of {n_shards} results" in capfd.readouterr().out
