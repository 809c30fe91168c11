"""Workers, SLURM jobs and schedulers end while tasks remain: the run goes on or says why it cannot, and never hangs."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import dask
import psutil
import pytest

from pipeline.runtime import batch_jobs, dask_workers, task_deaths
from pipeline.runtime.execution import Execution, JobSettings, run_tasks

ROOT = Path(__file__).parents[3]

SBATCH = """#!/bin/sh
cp "$1" "{folder}/$$.job"
setsid sh "{folder}/$$.job" >> "{folder}/output" 2>&1 < /dev/null &
echo $! >> "{folder}/jobs"
echo "Submitted batch job $!"
"""
SQUEUE = """#!/bin/sh
touch "{folder}/jobs"
while read job; do kill -0 $job 2> /dev/null && echo "$job|RUNNING|None"; done < "{folder}/jobs"
exit 0
"""
SCANCEL = """#!/bin/sh
kill -KILL -- -$1
"""


def double(number):
    return 2 * number


def dies_at_first(task):
    """Ends its worker process, or all processes of its job, as often as asked; the folder counts over all processes."""
    folder, name, n_deaths, end = task
    n_before = len(list(Path(folder).glob(f"{name}.*")))
    if n_before < n_deaths:
        Path(folder, f"{name}.{n_before}").touch()
        end(0 if end is os.killpg else os.getpid(), signal.SIGKILL)
    return name


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    for module, name, seconds in (
        (dask_workers, "LOOK_EVERY_S", 0.3),
        (dask_workers, "NOTE_AFTER_S", 0.6),
        (dask_workers, "NOTE_EVERY_S", 0.6),
        (batch_jobs, "ASK_EVERY_S", 0.3),
        (batch_jobs, "SUBMIT_AGAIN_S", 0.3),
        (batch_jobs, "SEEN_AFTER_S", 0),
        (batch_jobs, "SETTLED_S", 2),
        (task_deaths, "TOGETHER_S", 1),
    ):
        monkeypatch.setattr(module, name, seconds)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH of its own: `write(sbatch=...)` puts programs there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def write(**scripts):
        for name, text in scripts.items():
            (folder / name).write_text(text.format(folder=tmp_path))
            (folder / name).chmod(0o755)

    return write


@pytest.fixture
def hear(monkeypatch):
    """`notes = hear(react)`: what the run says, in order; after each the test may act."""

    def start(react=lambda notes: None):
        notes = []

        def note(text):
            if "is not encrypted" not in text:
                notes.append(text)
                react(notes)

        monkeypatch.setattr(dask_workers, "note", note)
        return notes

    return start


def slurm(**settings):
    return Execution(scheduler="slurm", workers=1, jobs=JobSettings(memory="500MB", **settings))


def test_waiting_without_a_worker_is_reported_again_and_again(hear):
    """The worker comes after the second note, however long that takes."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=0, threads_per_worker=1, processes=False, dashboard_address=":0", protocol="tcp"
    ) as cluster:
        notes = hear(lambda notes: cluster.scale(1) if len(notes) == 2 else None)
        results = dict(run_tasks(double, range(3), Execution(scheduler=cluster.scheduler_address)))
        waiting = f"no worker is there, 3 tasks wait (`dask worker {cluster.scheduler_address}` starts one)"
    assert results == {0: 0, 1: 2, 2: 4}
    assert notes[:2] == [waiting] * 2
    assert set(notes[:-1]) == {waiting}
    assert notes[-1] == "workers are there, going on"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_local_worker_that_died_comes_again_however_long_that_takes(tmp_path):
    """Left to itself Dask gives it up after a while, which a loaded machine exceeds: here at once."""
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "0 s"}):
        items = [(tmp_path, "unlucky", 1, os.kill), (tmp_path, "plain", 0, None)]
        assert dict(run_tasks(dies_at_first, items, Execution(workers=1))) == {0: "unlucky", 1: "plain"}


@pytest.mark.slow
def test_deaths_of_workers_cost_no_task_but_one_that_kills_them_all_is_given_up(tmp_path, capfd):
    from distributed import LocalCluster

    items = [(tmp_path, name, n_deaths, os.kill) for name, n_deaths in (("plain", 0), ("unlucky", 2), ("deadly", 9))]
    with (
        dask.config.set(
            {"distributed.scheduler.allowed-failures": 0, "distributed.deploy.lost-worker-timeout": "1 hour"}
        ),
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
        ) as there,
    ):
        results = dict(run_tasks(dies_at_first, items, Execution(scheduler=there.scheduler_address)))
    deadly = results.pop(2)
    assert results == {0: "plain", 1: "unlucky"}
    assert isinstance(deadly, RuntimeError)
    assert str(deadly).startswith("3 workers died while they had this task. Does it need more memory")
    assert "task 1 of this run is tried again (2 of 3): 1 worker died while it had this task" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP], ids=lambda end: end.name)
def test_a_scheduler_that_ends_ends_the_run_and_one_that_is_silent_is_reported(end, monkeypatch, hear):
    monkeypatch.setattr(dask_workers, "ANSWER_S", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", *where]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(ROOT)}) as scheduler:
        try:
            monkeypatch.setattr(dask_workers, "CONNECT_TIMEOUT_S", 30)  # until it has started
            silent = f"the Dask scheduler at tcp://127.0.0.1:{port} does not answer, 3 tasks wait"
            notes = hear(lambda notes: scheduler.kill() if notes[-1] == silent else None)
            submit, ending = dask_workers.Workers.submit, threading.Timer(2, scheduler.send_signal, [end])

            def submit_then_end(*task):
                monkeypatch.setattr(dask_workers.Workers, "submit", submit)
                ending.start()
                return submit(*task)

            monkeypatch.setattr(dask_workers.Workers, "submit", submit_then_end)
            with pytest.raises(
                ConnectionError, match=rf"scheduler at tcp://127.0.0.1:{port} is gone.* shards are kept"
            ):
                list(run_tasks(double, range(3), Execution(scheduler=f"tcp://127.0.0.1:{port}")))
            ending.join()
        finally:
            scheduler.kill()
    if end is signal.SIGSTOP:
        assert silent in notes


class Done:
    """A future of a task that is done; `then` is what it becomes while its result is read."""

    def __init__(self, status, then=None):
        self.status, self.then = status, then

    def result(self, timeout):
        self.status = self.then or self.status
        raise TimeoutError

    def exception(self):
        return KeyError("of the task")


@pytest.mark.parametrize(
    ("future", "message"),
    [
        (Done("lost"), TimeoutError),
        (Done("finished", "pending"), TimeoutError),
        (Done("finished", "cancelled"), ConnectionError),
        (Done("cancelled"), ConnectionError),
    ],
)
def test_a_result_that_is_lost_before_it_is_read_is_waited_for_unless_the_scheduler_is_gone(future, message):
    client = SimpleNamespace(scheduler=SimpleNamespace(address="tcp://there:1"))
    workers = dask_workers.Workers(client, Execution(scheduler="tcp://there:1"))
    with pytest.raises(message):
        workers.outcome(future)
    assert isinstance(workers.outcome(Done("finished", "error")), KeyError)


def test_slurm_without_its_programs_is_one_line_before_anything_runs(programs, monkeypatch):
    monkeypatch.setattr(batch_jobs, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ValueError, match=r"no `sbatch` on the PATH, .* no dask-jobqueue; run this on a node") as caught:
        list(run_tasks(double, [1], slurm()))
    assert "`pip install -e '.[cluster]'`" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_sbatch_refuses_is_reported_in_its_words(programs, capfd):
    pytest.importorskip("dask_jobqueue")
    words = "sbatch: error: invalid partition specified: nope"
    programs(sbatch=f"#!/bin/sh\necho '{words}' >&2\nexit 1\n", squeue=SQUEUE, scancel=SCANCEL)
    with pytest.raises(ValueError, match=f"^SLURM refused the job: {words}; correct `jobs` in local.yaml$"):
        list(run_tasks(double, [1], slurm(queue="nope")))
    assert "Traceback" not in capfd.readouterr().err


def test_a_network_interface_that_is_not_there_is_reported(programs):
    pytest.importorskip("dask_jobqueue")
    programs(sbatch=SBATCH, squeue=SQUEUE, scancel=SCANCEL)
    with pytest.raises(ValueError, match=r"'nope0' is not a valid network interface.*correct `jobs` in local.yaml"):
        list(run_tasks(double, [1], slurm(interface="nope0")))


@pytest.mark.slow
def test_batch_jobs_that_end_are_replaced_and_no_task_is_lost(programs, tmp_path, capfd):
    pytest.importorskip("dask_jobqueue")
    programs(sbatch=SBATCH, squeue=SQUEUE, scancel=SCANCEL)
    items = [(tmp_path, "unlucky", 1, os.killpg), *((tmp_path, f"plain{n}", 0, None) for n in range(3))]
    results = dict(run_tasks(dies_at_first, items, slurm(cores=2)))
    assert results == {0: "unlucky", 1: "plain0", 2: "plain1", 3: "plain2"}
    jobs = [int(job) for job in (tmp_path / "jobs").read_text().split()]
    assert len(jobs) == 2
    assert f"SLURM: jobs ended: {jobs[0]} ended; submitted in their place: 1; tasks left: " in capfd.readouterr().err
    psutil.wait_procs([process for process in psutil.process_iter() if process.pid in jobs], timeout=60)
    alive = [job for job in jobs if psutil.pid_exists(job) and psutil.Process(job).status() != psutil.STATUS_ZOMBIE]
    assert alive == []


def test_jobs_that_end_before_their_workers_come_end_the_run(programs):
    pytest.importorskip("dask_jobqueue")
    programs(sbatch=SBATCH, squeue=SQUEUE, scancel=SCANCEL)
    with pytest.raises(ConnectionError, match=r"3 jobs ended before a worker of theirs came\. Read .*output/\*\d+\*"):
        list(run_tasks(double, [1], slurm(prologue=("exit 1",))))


def test_sbatch_that_refuses_later_is_asked_again_and_then_given_up(programs, tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setattr(batch_jobs, "MAX_REFUSALS", 3)
    once = "#!/bin/sh\ntest -f {folder}/jobs && echo 'sbatch: error: no hours left' >&2 && exit 1\n"
    programs(sbatch=once + SBATCH.partition("\n")[2], squeue=SQUEUE, scancel=SCANCEL)
    with pytest.raises(
        ConnectionError, match="no job is left and 3 times it refused new ones: sbatch: error: no hours left"
    ):
        list(run_tasks(double, [1], slurm(prologue=("exit 1",))))


def test_ctrl_c_stays_an_interrupt_after_dask_jobqueue_was_imported(tmp_path):
    pytest.importorskip("dask_jobqueue")
    code = (
        "import signal\nfrom pathlib import Path\nfrom pipeline.runtime.batch.slurm import Slurm\n"
        "from pipeline.runtime.dask_workers import batch_cluster\nfrom pipeline.runtime.execution import JobSettings\n"
        "before = signal.getsignal(signal.SIGINT)\n"
        f"batch_cluster(Slurm(), JobSettings(), Path({str(tmp_path)!r})).close()\n"
        "assert signal.getsignal(signal.SIGINT) is before, signal.getsignal(signal.SIGINT)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    reply = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert reply.returncode == 0, reply.stderr
