"""Where work runs is set by the environment, changes no result, and fails with a cure."""

import os
import socket
import subprocess
import sys
import time

import pytest
from threadpoolctl import ThreadpoolController, threadpool_info

from pipeline.runtime.execution import Execution, JobSettings, load_execution, run_tasks


def square(number):
    if number == 3:
        raise KeyError("three")
    return number**2


def test_the_default_is_local_processes_one_per_core(tmp_path):
    execution = load_execution({}, tmp_path / "local.yaml")
    assert execution.scheduler == "local"
    assert execution.n_workers >= 1


def test_the_environment_wins_over_the_local_file(tmp_path):
    file = tmp_path / "local.yaml"
    file.write_text("scheduler: slurm\nworkers: 8\njobs: {queue: long, cores: 4, prologue: [module load python]}\n")
    execution = load_execution({"LATENTLAW_WORKERS": "3"}, file)
    assert execution == Execution(
        scheduler="slurm", workers=3, jobs=JobSettings(queue="long", cores=4, prologue=("module load python",))
    )
    assert load_execution({"LATENTLAW_SCHEDULER": "tcp://host:8786"}, file).scheduler == "tcp://host:8786"


@pytest.mark.parametrize(
    ("environment", "content", "message"),
    [
        (
            {"LATENTLAW_SCHEDULER": "cloud"},
            "",
            "found 'cloud', expected local, threads, serial, lsf, pbs, sge, slurm, tls://host:port or tcp://host:port",
        ),
        ({}, "scheduler: kubernetes", "Kubernetes is for `latentlaw submit --system kubernetes`"),
        ({"LATENTLAW_WORKERS": "many"}, "", r"execution.workers: found 'many' \(str\), expected a whole number >= 1"),
        ({"LATENTLAW_WORKERS": "0"}, "", "execution.workers: found 0"),
        ({}, "sheduler: local", "execution.sheduler: found an unknown key"),
        ({}, "jobs: {ques: a}", "execution.jobs.ques: found an unknown key"),
        ({}, "jobs: {cores: 0}", "execution.jobs.cores: found 0"),
        ({}, "jobs: {walltime: '4:00'}", "walltime: found '4:00', expected hours:minutes:seconds such as '04:00:00'"),
        ({}, "jobs: {memory: lots}", "memory: found 'lots', expected a size such as '64GB'"),
        (
            {},
            "slurm: {queue: a}",
            "execution.slurm: found a key of an older version, expected it as jobs, with the same",
        ),
        ({}, "tls: {ca: a.pem, cert: b.pem, key: /c.pem}", "found no file a.pem, b.pem, /c.pem, expected the keys of"),
        ({"LATENTLAW_DASHBOARD": "perhaps"}, "", "execution.dashboard: found 'perhaps'"),
        ({}, "local", "execution.content: found an unknown key"),
        ({}, "a: {", "local.yaml: cannot be read as YAML"),
    ],
)
def test_an_unclear_choice_is_refused(environment, content, message, tmp_path):
    (tmp_path / "local.yaml").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_execution(environment, tmp_path / "local.yaml")


@pytest.mark.parametrize("scheduler", ["serial", "threads"])
def test_every_item_gives_its_result_or_its_error(scheduler):
    results = dict(run_tasks(square, range(6), Execution(scheduler=scheduler, workers=2)))
    assert isinstance(results.pop(3), KeyError)
    assert results == {0: 0, 1: 1, 2: 4, 4: 16, 5: 25}


def blas_threads(_):
    with ThreadpoolController().limit(limits=1):  # what a task limits and gives back must not reach its neighbours
        time.sleep(0.005)
    return max(library["num_threads"] for library in threadpool_info())


@pytest.mark.parametrize("scheduler", ["serial", "threads"])
def test_linear_algebra_keeps_to_one_thread_whatever_tasks_limit_themselves(scheduler):
    import torch  # brings an OpenMP runtime of its own

    assert torch.get_num_threads() >= 1
    results = dict(run_tasks(blas_threads, range(12), Execution(scheduler=scheduler, workers=3)))
    assert set(results.values()) == {1}


LOADS_LATE = """
import sys
from threadpoolctl import threadpool_info
from pipeline.runtime.execution import Execution, run_tasks

def loads(_):
    import scipy.linalg
    import torch
    assert (torch.ones(300, 300) @ torch.ones(300, 300))[0, 0] == 300
    return max(library["num_threads"] for library in threadpool_info())

assert not {"torch", "scipy.linalg"} & set(sys.modules)
print(dict(run_tasks(loads, [0], Execution(scheduler="serial"))))
"""


def test_libraries_that_a_task_loads_keep_to_one_thread_too():
    """As Numba does with SciPy's BLAS, at its first product of matrices."""
    many = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    ran = subprocess.run([sys.executable, "-c", LOADS_LATE], env=many, capture_output=True, text=True, check=False)
    assert ran.stdout == "{0: 1}\n", ran.stderr


def interrupted_on_its_way_out(_):
    """What CPython makes of Ctrl-C that arrives while compiled code returns a value, seen up to five deep."""
    try:
        try:
            raise SystemError("unpickle returned a result with an exception set") from KeyboardInterrupt()
        except SystemError as inner:
            raise SystemError("unpickle returned a result with an exception set") from inner
    except SystemError as inner:
        raise SystemError("diagonalise returned a result with an exception set") from inner


def test_ctrl_c_that_compiled_code_wraps_is_still_ctrl_c():
    with pytest.raises(KeyboardInterrupt):
        list(run_tasks(interrupted_on_its_way_out, [0], Execution(scheduler="serial")))


def test_processes_of_dask_give_the_same():
    results = dict(run_tasks(square, range(4), Execution(scheduler="local", workers=1)))
    assert str(results.pop(3)) == "'three'"
    assert results == {0: 0, 1: 1, 2: 4}


def test_a_scheduler_elsewhere_gives_the_same():
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0", protocol="tcp"
    ) as cluster:
        results = dict(run_tasks(square, range(3), Execution(scheduler=cluster.scheduler_address)))
    assert results == {0: 0, 1: 1, 2: 4}


def test_an_address_without_a_scheduler_is_reported_soon():
    import distributed  # noqa: F401 - before the clock starts; Dask itself would wait for 30 s

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    start = time.monotonic()
    with pytest.raises(
        ConnectionError, match=rf"no Dask scheduler at {address} within 5 s .*start one with `dask scheduler`"
    ):
        list(run_tasks(square, [1], Execution(scheduler=address)))
    assert time.monotonic() - start < 20
