"""On a live Grid Engine of this machine: jobs that end at their walltime or are deleted cost time, no task.

pytest -m sge        needs root and `apt-get install gridengine-master gridengine-exec gridengine-client`
"""

import subprocess
import threading
import time
from pathlib import Path

import pytest

from pipeline.commands import submit
from pipeline.runtime import batch_jobs, dask_workers
from pipeline.runtime.execution import Execution, JobSettings, run_tasks
from tests.pipeline.commands.clones import clone_in
from tests.pipeline.commands.running import run
from tests.pipeline.runtime import sge_daemons
from tests.pipeline.runtime.test_execution_slurm import kills_its_worker, n_replaced, nap, wait_for

pytestmark = [
    pytest.mark.sge,
    pytest.mark.slow,
    pytest.mark.skipif(bool(sge_daemons.missing()), reason=str(sge_daemons.missing())),
]

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def daemons(tmp_path_factory):
    pytest.importorskip("dask_jobqueue")
    with sge_daemons.grid_engine(tmp_path_factory.mktemp("sge")) as variables:
        yield variables


@pytest.fixture
def two_jobs(daemons, tmp_path, monkeypatch):
    """Two jobs on the live Grid Engine, in a folder of their own."""
    for name, value in (daemons | {"PYTHONPATH": str(ROOT)}).items():
        monkeypatch.setenv(name, value)
    for module, name, seconds in (
        (batch_jobs, "ASK_EVERY_S", 3),
        (batch_jobs, "SEEN_AFTER_S", 5),
        (batch_jobs, "SETTLED_S", 3),
        (dask_workers, "LOOK_EVERY_S", 1),
    ):
        monkeypatch.setattr(module, name, seconds)
    monkeypatch.chdir(tmp_path)
    prologue = [f"export PYTHONPATH={ROOT}"]  # jobs of Grid Engine do not inherit it

    def execution(**settings):
        return Execution(scheduler="sge", workers=2, jobs=JobSettings(memory="1GB", prologue=prologue, **settings))

    yield execution
    wait_for(lambda: not queue(), 60)


def queue():
    rows = subprocess.run(["qstat"], capture_output=True, text=True, check=True).stdout.splitlines()[2:]
    return [row.split()[0] for row in rows]


def test_jobs_that_end_at_their_walltime_are_replaced(two_jobs, capfd):
    results = dict(run_tasks(nap, [10] * 12, two_jobs(walltime="00:01:00")))
    assert results == dict.fromkeys(range(12), 10)
    told = capfd.readouterr().err
    assert n_replaced(told) >= 2
    assert "ended at its walltime" in told
    assert "died" not in told


def test_after_qdel_of_every_job_all_tasks_end(two_jobs, capfd):
    def delete():
        wait_for(lambda: len(queue()) == 2)
        time.sleep(15)
        subprocess.run(["qdel", *queue()], check=True, capture_output=True)

    thread = threading.Thread(target=delete)
    thread.start()
    results = dict(run_tasks(nap, [4] * 12, two_jobs()))
    thread.join()
    assert results == dict.fromkeys(range(12), 4)
    assert n_replaced(capfd.readouterr().err) >= 2


def test_a_task_that_kills_its_worker_is_given_up_after_three_deaths_and_the_others_end(two_jobs):
    results = dict(run_tasks(kills_its_worker, range(8), two_jobs(cores=2)))
    deadly = results.pop(5)
    assert results == {number: number for number in range(8) if number != 5}
    assert str(deadly).startswith("3 workers died while they had this task. Does it need more memory")


@pytest.mark.essential
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"queue": "nowhere"}, 'Job was rejected because job requests unknown queue "nowhere"'),
        ({"cores": 2, "directives": ["-pe nothing 2"]}, 'the requested parallel environment "nothing" does not exist'),
    ],
)
def test_what_grid_engine_refuses_is_told_in_its_words(settings, words, two_jobs):
    with pytest.raises(ValueError, match=rf"^SGE refused the job: .*{words}.*; correct `jobs` in local.yaml$"):
        list(run_tasks(nap, [1], two_jobs(**settings)))


@pytest.mark.essential
def test_an_array_without_a_driver_is_submitted_and_each_task_knows_its_index(two_jobs, tmp_path, monkeypatch, capsys):
    clone_in(tmp_path)
    (tmp_path / "local.yaml").write_text("scheduler: sge\njobs: {memory: 100MB, cores: 2}\n")
    code = "import os; print(os.getcwd(), os.environ['SGE_TASK_ID'], os.environ['NSLOTS'])"
    monkeypatch.delenv("LATENTLAW_SCHEDULER", raising=False)
    monkeypatch.setattr(submit, "work_command", lambda *of_work: ["-c", code])
    assert run("submit", "spectra", "--array", 2) == 0
    assert capsys.readouterr().out.startswith("submit: SGE job ")
    output = tmp_path / ".cache/jobs/spectra/output"
    files = wait_for(lambda: len(found := sorted(output.glob("*"))) == 2 and found)
    wait_for(lambda: all(file.read_text().count("\n") == 2 for file in files))
    for index, file in enumerate(files, 1):
        assert file.read_text().splitlines()[1] == f"{tmp_path} {index} 2"
