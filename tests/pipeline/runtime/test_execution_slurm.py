"""On a live SLURM of this machine: jobs that end at their walltime or are cancelled cost time, no task. Minutes.

pytest -m slurm        needs root and `apt-get install slurmctld slurmd slurm-client munge`
"""

import os
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest

from pipeline.runtime import batch_jobs
from pipeline.runtime.execution import Execution, JobSettings, run_tasks
from tests.pipeline.runtime import slurm_daemons

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.skipif(bool(slurm_daemons.missing()), reason=str(slurm_daemons.missing())),
]

ROOT = Path(__file__).parents[3]


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
    monkeypatch.setattr(batch_jobs, "ASK_EVERY_S", 5)

    def execution(**settings):
        directives = (f"--output={tmp_path}/%j.out",)
        job = JobSettings(walltime="00:01:00", memory="500MB", directives=directives, **settings)
        return Execution(scheduler="slurm", workers=2, jobs=job)

    yield execution
    deadline = time.monotonic() + 60
    while queue := subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=True).stdout:
        assert time.monotonic() < deadline, f"jobs were left behind:\n{queue}"
        time.sleep(1)


def n_replaced(message):
    return sum(int(n) for n in re.findall(r"submitted in their place: (\d+)", message))


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


def test_a_partition_that_is_not_there_is_refused_in_slurms_words(two_jobs):
    with pytest.raises(
        ValueError, match=r"SLURM refused the job: .*invalid partition specified: nowhere.*; correct `jobs`"
    ):
        list(run_tasks(nap, [1], two_jobs(queue="nowhere")))
