"""Safe by default: a stranger on the same machine can neither speak with what a run starts nor see its pages."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest
from distributed.security import Security

from pipeline.runtime import dask_workers
from pipeline.runtime.batch.batch_system import BATCH_SYSTEMS
from pipeline.runtime.dask_workers import batch_cluster
from pipeline.runtime.execution import Execution, JobSettings, run_tasks
from pipeline.runtime.execution_settings import TlsFiles

ROOT = Path(__file__).parents[3]


def double(number):
    return 2 * number


@pytest.fixture
def notes(monkeypatch):
    heard = []
    monkeypatch.setattr(dask_workers, "note", heard.append)
    return heard


@pytest.fixture
def running(monkeypatch):
    """A run on a local worker process that has begun: its client."""
    clients = []
    make = dask_workers.Workers.__init__

    def remember(self, client, *rest):
        clients.append(client)
        make(self, client, *rest)

    monkeypatch.setattr(dask_workers.Workers, "__init__", remember)
    run = run_tasks(double, range(3), Execution(scheduler="local", workers=1))
    next(run)
    yield clients[0]
    assert len(list(run)) == 2  # the strangers did it no harm


STRANGER = """
import logging, os, sys
from distributed import Client
from distributed.security import Security

logging.disable()
for address in sys.argv[1:]:
    for given, security in ((address.replace("tls:", "tcp:"), None), (address, None), (address, Security.temporary())):
        try:
            with Client(given, timeout=2, security=security) as client:
                print("let in, ran as", client.submit(os.getpid).result(timeout=5))
        except Exception as error:
            print("refused:", type(error).__name__)
"""


def answers_to_a_stranger(*addresses):
    """What another process gets that tries each address plain, by TLS without keys, and by TLS with keys of its own."""
    command = [sys.executable, "-c", STRANGER, *addresses]
    reply = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return reply.stdout.splitlines()


def test_a_stranger_cannot_connect_to_the_scheduler_or_the_workers_of_a_run(running):
    addresses = [running.scheduler.address, *running.scheduler_info()["workers"]]
    assert len(addresses) == 2
    assert all(address.startswith("tls://127.0.0.1:") for address in addresses)
    answers = answers_to_a_stranger(*addresses)
    assert len(answers) == 6
    assert [answer for answer in answers if not answer.startswith("refused: ")] == []


def test_the_stranger_of_these_tests_is_let_in_where_nothing_is_encrypted():
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0", protocol="tcp"
    ) as cluster:
        assert answers_to_a_stranger(cluster.scheduler_address)[0].startswith("let in, ran as ")


def test_nothing_that_a_run_opens_is_open_to_the_network_or_shows_pages(running):
    mine = psutil.Process()
    processes = [mine, *mine.children(recursive=True)]
    ports = [c.laddr for p in processes for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert {port.ip for port in ports} == {"127.0.0.1"}
    assert len(ports) >= 4  # of the scheduler, a nanny and a worker, and where pages would be
    for port in ports:
        for page in ("status", "health", "metrics", "info/main/workers.html", "json/counts.json"):
            with pytest.raises((OSError, ValueError)):
                urllib.request.urlopen(f"http://127.0.0.1:{port.port}/{page}", timeout=2)


def test_pages_of_dask_that_are_asked_for_need_bokeh(monkeypatch):
    monkeypatch.setattr(dask_workers, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"found no bokeh, .*`pip install -e '.\[dashboard\]'`"):
        list(run_tasks(double, [1], Execution(dashboard=True)))


def test_pages_of_dask_that_are_asked_for_are_for_this_machine_alone(notes):
    pytest.importorskip("bokeh")
    run = run_tasks(double, range(2), Execution(dashboard=True, workers=1))
    next(run)
    (note,) = [note for note in notes if note.startswith("dashboard: ")]
    address = note.removeprefix("dashboard: ")
    assert address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(address.replace("/status", "/health"), timeout=10) as page:
        assert page.read() == b"ok"
    assert len(list(run)) == 1


@pytest.mark.parametrize("name", BATCH_SYSTEMS.names())
def test_the_keys_of_jobs_are_new_for_each_run_and_their_owners_alone(name, tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue")
    monkeypatch.chdir(tmp_path)
    keys = []
    for run in ("first", "second"):
        folder = tmp_path / run
        folder.mkdir(mode=0o700)
        with batch_cluster(BATCH_SYSTEMS[name].make(), JobSettings(), folder) as cluster:
            assert cluster.scheduler.address.startswith("tls://")
            assert cluster.scheduler.services["dashboard"].address == "127.0.0.1"
            if run == "first":
                assert {answer.partition(":")[0] for answer in answers_to_a_stranger(cluster.scheduler.address)} == {
                    "refused"
                }
        assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == dict.fromkeys(
            ("ca.pem", "cert.pem", "key.pem"), 0o600
        )
        keys.append((folder / "key.pem").read_text())
    assert keys[0] != keys[1]


@pytest.fixture
def keys(tmp_path):
    """The files of one set of keys."""
    made = Security.temporary()
    files = {"ca": made.tls_ca_file, "cert": made.tls_client_cert, "key": made.tls_client_key}
    for name, text in files.items():
        (tmp_path / f"{name}.pem").write_text(text)
    return {name: str(tmp_path / f"{name}.pem") for name in files}


@pytest.fixture
def scheduler(keys):
    """A scheduler at tls:// with one worker, as a user starts them with these keys; its address."""
    tls = ["--tls-ca-file", keys["ca"], "--tls-cert", keys["cert"], "--tls-key", keys["key"]]
    here = ["--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--protocol", "tls", "--port", "0"]
    started = subprocess.Popen([*program, *here, *tls], stderr=subprocess.PIPE, text=True, env=environment)
    address = next(line for line in started.stderr if "Scheduler at:" in line).split()[-1]
    program = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1"]
    worker = subprocess.Popen([*program, *here, *tls], stderr=subprocess.DEVNULL, env=environment)
    yield address
    for process in (worker, started):
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    started.stderr.close()


def test_a_scheduler_at_tls_takes_the_keys_of_local_yaml_and_no_others(scheduler, keys, tmp_path, notes):
    assert dict(run_tasks(double, range(3), Execution(scheduler=scheduler, tls=TlsFiles(**keys)))) == {0: 0, 1: 2, 2: 4}
    assert notes == []
    with pytest.raises(
        ValueError, match=r"found tls://.* without keys, expected `tls: {ca: FILE, cert: FILE, key: FILE}`"
    ):
        list(run_tasks(double, [1], Execution(scheduler=scheduler)))
    other = Security.temporary()
    for name, text in (("ca", other.tls_ca_file), ("cert", other.tls_client_cert), ("key", other.tls_client_key)):
        (tmp_path / f"{name}.pem").write_text(text)
    with pytest.raises(ConnectionError, match="found no Dask scheduler at tls://"):
        list(run_tasks(double, [1], Execution(scheduler=scheduler, tls=TlsFiles(**keys))))


def test_a_scheduler_at_tcp_is_taken_with_one_line_of_warning(notes):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0", protocol="tcp"
    ) as cluster:
        address = cluster.scheduler_address
        assert dict(run_tasks(double, range(2), Execution(scheduler=address))) == {0: 0, 1: 2}
    assert notes == [f"{address} is not encrypted, whoever reaches its port can run code as you; tls://host:port is"]
