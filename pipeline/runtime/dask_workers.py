"""Tasks on the workers of Dask: of this machine, of jobs of a batch system, or of a scheduler that runs already.

Workers come and go: tasks whose worker died run again, until there is evidence that they kill their workers
(pipeline.runtime.task_deaths), and jobs that ended are replaced (pipeline.runtime.batch_jobs).

Whoever can speak with a scheduler or a worker of Dask can run code as its user. So those which are started here speak
TLS with keys made for this run alone, which only their owner can read, and serve no pages unless they are asked for.
This is the only file that imports dask.distributed.
"""

import contextlib
import logging
import os
import shlex
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from pipeline.runtime.batch.batch_system import BATCH_SYSTEMS, BatchSystem
from pipeline.runtime.batch.job_settings import JobSettings
from pipeline.runtime.batch_jobs import BatchJobs, job_of, require_programs
from pipeline.runtime.driver_folder import OUTPUT, driver_folder, record_jobs
from pipeline.runtime.execution_settings import LOCAL_FILE, SCHEDULER_VARIABLE, Execution, is_address
from pipeline.runtime.progress import note
from pipeline.runtime.task_deaths import MAX_DEATHS, Death, TaskDeaths
from pipeline.runtime.worker_environment import WORKER_ENVIRONMENT

__all__ = ["Workers", "batch_cluster", "run_on_workers", "started_workers"]

Item = TypeVar("Item")
Result = TypeVar("Result")

CONNECT_TIMEOUT_S = 5
LOOK_EVERY_S = 5.0  # at the workers
NOTE_AFTER_S = 30.0  # without any worker
NOTE_EVERY_S = 300.0
ANSWER_S = 60.0  # of the scheduler to one question, of a worker with one result
PAGES_ADDRESS = "127.0.0.1:0"  # Dask always opens a port for them: None means 8787, ":0" one open to the network
NO_PAGES: dict[str, Any] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
OWN_CLUSTER: dict[str, Any] = {
    # Dask would give up a worker that is away for 15 s, though its nanny starts it again, which takes longer on a
    # loaded machine: with the last worker given up the tasks would wait for ever.
    "distributed.deploy.lost-worker-timeout": "3650 days",
    # A task whose worker died comes back at once: here it is decided what the death says, and when it runs again.
    "distributed.scheduler.allowed-failures": 0,
}


def run_on_workers(
    function: Callable[[Item], Result], items: Sequence[Item], workers: "Workers"
) -> Iterator[tuple[int, Result | Exception]]:
    """Apply `function` to every item; yields (index, result or the exception it raised) as they complete."""
    run = _Run(function, items, workers)
    while run.n_left:
        run.learn_of_deaths()
        if workers.look(run.n_left, questioned=bool(run.deaths.undecided)):
            run.wait_for_undone()
            yield from run.give_up()
        run.begin()
        yield from run.completed()


class _Run:
    """The tasks of one call of `run_on_workers`: which wait, which run, which lost their worker."""

    def __init__(self, function: Callable[[Any], Any], items: Sequence[Any], workers: "Workers") -> None:
        self.function, self.items, self.workers = function, items, workers
        self.n_left = len(items)
        self.deaths = workers.task_deaths()
        self._waiting = deque(range(len(items)))
        self._futures: dict[int, Any] = {}
        self._began_s: dict[int, float] = {}
        self._task_of: dict[str, int] = {}  # by the key of its future
        self._lost: set[int] = set()  # their worker died, and it is not decided yet what that says
        self._done: SimpleQueue[Any] = SimpleQueue()
        self._undone: list[Any] = []

    def begin(self) -> None:
        """Submit what there are workers for; a task that may not run beside others keeps its turn."""
        begun: list[int] = []
        kept: list[int] = []
        while self._waiting and len(self._futures) + len(begun) < self.workers.n_slots:
            task = self._waiting.popleft()
            (begun if self.deaths.may_begin(task, [*self._futures, *begun]) else kept).append(task)
        self._waiting.extendleft(reversed(kept))
        futures = self.workers.submit(self.function, [self.items[task] for task in begun])
        for task, future in zip(begun, futures, strict=True):
            self._futures[task], self._task_of[future.key], self._began_s[task] = future, task, time.monotonic()
            future.add_done_callback(self._done.put)

    def completed(self) -> Iterator[tuple[int, Any]]:
        """A result, or none within a second."""
        from distributed import KilledWorker

        try:
            future = self._done.get(timeout=1)
            if future.key not in self._task_of:  # given up meanwhile
                return
            result = self.workers.outcome(future)
        except Empty:
            return
        except TimeoutError:
            self._undone.append(future)
            return
        task = self._forget(future)
        if isinstance(result, KilledWorker):
            worker: Any = result.last_worker
            job, first_worker_s = self.workers.job_of(worker.name)
            started_s = max(self._began_s[task], first_worker_s)
            at_s = time.monotonic()
            self.deaths.died(Death(task=task, worker=worker.address, job=job, started_s=started_s, at_s=at_s))
            self._lost.add(task)
            return
        self.deaths.done(task)
        self.n_left -= 1
        self.workers.answered()
        yield task, result

    def wait_for_undone(self) -> None:
        for future in self._undone:
            future.add_done_callback(self._done.put)
        self._undone = []

    def learn_of_deaths(self) -> None:
        """Of a scheduler that lets tasks run again whose worker died."""
        for task, worker in self.workers.news_of_deaths(self._task_of):
            self.deaths.died(Death(task=task, worker=worker, started_s=self._began_s[task], at_s=time.monotonic()))

    def give_up(self) -> Iterator[tuple[int, Exception]]:
        """Judge the deaths; tasks that killed too many workers end, the others run again.

        They come first, so that new workers have their whole life for them.
        """
        judged = sorted({death.task for death in self.deaths.judge(time.monotonic())}, reverse=True)
        for task in judged:
            if (n_deaths := self.deaths.n_deaths[task]) >= MAX_DEATHS:
                if task in self._futures:
                    self._forget(self._futures[task])
                self._lost.discard(task)
                self.n_left -= 1
                yield task, RuntimeError(self.deaths.reason(task))
                continue
            if n_deaths:
                reason = self.deaths.reason(task)
                note(f"task {task} of this run is tried again ({n_deaths + 1} of {MAX_DEATHS}): {reason}")
            if task in self._lost:
                self._lost.discard(task)
                self._waiting.appendleft(task)

    def _forget(self, future: Any) -> int:  # noqa: ANN401
        task = self._task_of.pop(future.key)
        self._futures.pop(task).release()
        return task


class Workers:
    """A client, and the look after its workers while tasks remain."""

    def __init__(self, client: Any, execution: Execution, jobs: BatchJobs | None = None) -> None:  # noqa: ANN401
        self.client, self.jobs = client, jobs
        self.address = client.scheduler.address
        elsewhere = is_address(execution.scheduler)
        self.cure = f"`dask worker {self.address}` starts one" if elsewhere else "they are started again"
        self._here = execution.scheduler == "local"
        self.n_slots = sys.maxsize if self._here else 1  # for tasks at a time
        self.events: SimpleQueue[Any] = SimpleQueue()  # of a scheduler elsewhere
        self._next_look = 0.0
        self._alone_since: float | None = None
        self._refused_since: float | None = None
        self._noted_at: float | None = None

    def task_deaths(self) -> TaskDeaths:
        return TaskDeaths(self.jobs.end_of, self.jobs.walltime_s) if self.jobs else TaskDeaths()

    def job_of(self, worker_name: object) -> tuple[str, float]:
        """The job of a worker, and when the first of its workers came: ("", 0) where nothing is known of jobs."""
        if not self.jobs:
            return "", 0.0
        return job_of(worker_name), self.jobs.began_s(job_of(worker_name))

    def news_of_deaths(self, index_of: dict[str, int]) -> list[tuple[int, str]]:
        """Tasks and the worker that died while it had them, as a scheduler tells it that lets them run again."""
        deaths = []
        while not self.events.empty():
            _, event = self.events.get()
            if event.get("action") == "remove-worker" and not event["expected"]:
                deaths += [(index_of[key], event["worker"]) for key in event["processing-tasks"] if key in index_of]
        return deaths

    def look(self, n_left: int, *, questioned: bool = False) -> bool:
        """Every few seconds: replace jobs that ended, tell when no worker is there. Was it time to look?"""
        if self.jobs:
            self.jobs.see_workers()
        if time.monotonic() < self._next_look:
            return False
        n_threads = self._threads()
        if n_threads is None:
            self._note_when_alone(0, f"the Dask scheduler at {self.address} does not answer, {n_left} tasks wait")
        else:
            if not self._here:  # none waits behind one that may kill its worker; here that costs more than it saves
                self.n_slots = max(1, sum(n_threads.values()))
            state = self.jobs.keep(n_left, len(n_threads), questioned=questioned) if self.jobs else self.cure
            self._note_when_alone(len(n_threads), f"no worker is there, {n_left} tasks wait ({state})")
        self._next_look = time.monotonic() + LOOK_EVERY_S
        return True

    def _threads(self) -> dict[str, int] | None:
        """Number of threads of every worker; None where the scheduler does not answer. Raises when it is gone."""
        try:
            n_threads: dict[str, int] = self.client.sync(self.client.scheduler.ncores, callback_timeout=ANSWER_S)
        except TimeoutError:  # it lives, but is busy or stopped
            return None
        except OSError:
            self._refused_since = self._refused_since or time.monotonic()
            if time.monotonic() - self._refused_since >= NOTE_AFTER_S:
                raise self._lost() from None
            return None
        self._refused_since = None
        return n_threads

    def submit(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Any:  # noqa: ANN401
        return self.client.map(function, items, pure=False, retries=0) if items else []

    def outcome(self, future: Any) -> Any:  # noqa: ANN401
        """Result of a task that is done, or the exception it raised.

        Raises TimeoutError when it is no longer done: its worker died with the result, and Dask makes it again.
        """
        if future.status == "finished":
            try:
                return future.result(timeout=ANSWER_S)
            except Exception:
                if future.status not in ("error", "cancelled"):  # what it became when it was made again
                    raise
        if future.status == "error":
            error = future.exception()
            return error if isinstance(error, Exception) else RuntimeError(f"the task was lost: {error!r}")
        raise TimeoutError if future.status in ("pending", "lost") else self._lost()

    def _lost(self) -> ConnectionError:
        return ConnectionError(
            f"the Dask scheduler at {self.address} is gone, or was started anew, and with it the tasks it had. "
            "Start it and its workers again, then run the same command: finished shards are kept"
        )

    def answered(self) -> None:
        """A result came: between two looks at the workers they may all have come, worked and gone."""
        if self._noted_at is not None:
            note("workers are there, going on")
        self._alone_since = self._noted_at = None

    def _note_when_alone(self, n_workers: int, text: str) -> None:
        now = time.monotonic()
        if n_workers:
            self.answered()
            return
        self._alone_since = now if self._alone_since is None else self._alone_since
        due = self._alone_since + NOTE_AFTER_S if self._noted_at is None else self._noted_at + NOTE_EVERY_S
        if now >= due:
            note(text)
            self._noted_at = now


def started_workers(execution: Execution, n_items: int, stack: contextlib.ExitStack) -> Workers:
    """Connect to workers, or start them until the stack unwinds; on this machine at most `n_items`.

    Raises ConnectionError when the scheduler does not answer, ValueError when a batch system is not there.
    """
    import dask
    import distributed  # noqa: F401 - its settings must be there before they are set for a while

    for name in ("worker", "nanny", "scheduler", "core", "client"):
        logging.getLogger(f"distributed.{name}").setLevel(logging.CRITICAL)  # failures are reported once, by the caller
    if is_address(execution.scheduler):
        return _elsewhere(execution, stack)
    if execution.dashboard and find_spec("bokeh") is None:
        raise ValueError("dashboard: found no bokeh, which draws Dask's pages; `pip install -e '.[dashboard]'`")
    stack.enter_context(dask.config.set(OWN_CLUSTER | ({} if execution.dashboard else NO_PAGES)))
    started = _on_this_machine if execution.scheduler == "local" else _of_jobs
    workers = started(execution, n_items, stack)
    if execution.dashboard:
        note(f"dashboard: {workers.client.dashboard_link}")
    return workers


def _elsewhere(execution: Execution, stack: contextlib.ExitStack) -> Workers:
    from distributed import Client
    from distributed.security import Security

    address, files, security = execution.scheduler, execution.tls, None
    if address.startswith("tls://"):
        if files is None:
            raise ValueError(
                f"{SCHEDULER_VARIABLE}: found {address} without keys, expected `tls: {{ca: FILE, cert: FILE, key: "
                f"FILE}}` in {LOCAL_FILE}; name those that the scheduler was started with (--tls-ca-file and so on)"
            )
        ca, cert, key = (str(Path(path).expanduser()) for path in (files.ca, files.cert, files.key))
        security = Security(tls_ca_file=ca, tls_client_cert=cert, tls_client_key=key, require_encryption=True)  # type: ignore[no-untyped-call]
    else:
        note(f"{address} is not encrypted, whoever reaches its port can run code as you; tls://host:port is")
    try:
        client = stack.enter_context(Client(address, timeout=CONNECT_TIMEOUT_S, security=security))  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"{SCHEDULER_VARIABLE}: found no Dask scheduler at {address} within {CONNECT_TIMEOUT_S} s ({error}); "
            "start one with `dask scheduler`, correct the address, or unset it to run on this machine"
        ) from None
    workers = Workers(client, execution)
    client.subscribe_topic("all", workers.events.put)
    stack.callback(client.unsubscribe_topic, "all")
    return workers


def _on_this_machine(execution: Execution, n_items: int, stack: contextlib.ExitStack) -> Workers:
    from distributed import Client, LocalCluster
    from distributed.security import Security

    os.environ.update(WORKER_ENVIRONMENT)  # inherited by the worker processes
    with _interrupts_ignored():
        cluster = stack.enter_context(
            LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=min(execution.n_workers, n_items),
                threads_per_worker=1,
                processes=True,
                dashboard_address=PAGES_ADDRESS,
                scheduler_kwargs={"dashboard": execution.dashboard},
                memory_limit=0,
                silence_logs=logging.CRITICAL,
                security=Security.temporary(),  # type: ignore[no-untyped-call]
            )
        )
    return Workers(stack.enter_context(Client(cluster)), execution)  # type: ignore[no-untyped-call]


def _of_jobs(execution: Execution, n_items: int, stack: contextlib.ExitStack) -> Workers:
    from distributed import Client

    name = execution.scheduler
    system = BATCH_SYSTEMS[name].make()
    require_programs(system, name)
    folder = stack.enter_context(driver_folder())
    cluster = stack.enter_context(batch_cluster(system, execution.jobs, folder, dashboard=execution.dashboard))
    client = stack.enter_context(Client(cluster))  # type: ignore[no-untyped-call]
    jobs = BatchJobs(system, cluster, execution.jobs, execution.workers or 1, partial(record_jobs, folder, name))
    stack.callback(jobs.say_closed)
    return Workers(client, execution, jobs)


def batch_cluster(system: BatchSystem, settings: JobSettings, keys: Path, *, dashboard: bool = False) -> Any:  # noqa: ANN401
    """A cluster of dask-jobqueue without jobs yet; `.job_script()` shows what would be submitted.

    `keys`: a folder that the nodes see and others cannot read; the keys of its workers are put there.
    """
    with _interrupts_ignored():  # the import of dask_jobqueue would make Ctrl-C a success: exit status 0
        kind = system.cluster_class()
    environment = [f"export {name}={value}" for name, value in WORKER_ENVIRONMENT.items()]
    environment += [] if dashboard else ["export DASK_DISTRIBUTED__WORKER__HTTP__ROUTES='[]'"]
    options = {
        "queue": settings.queue,
        "cores": settings.cores,
        "processes": settings.cores,
        "memory": settings.memory,
        "interface": settings.interface,
        "job_name": "latentlaw",
        "log_directory": str(OUTPUT.absolute()),
        "job_script_prologue": [f"cd {shlex.quote(os.getcwd())}", *environment, *settings.prologue],
        "job_extra_directives": list(settings.directives),
        "scheduler_options": {"dashboard": dashboard, "dashboard_address": PAGES_ADDRESS},
        "worker_extra_args": ["--no-dashboard", "--dashboard-address", PAGES_ADDRESS],
        "security": _security_in(keys),
    }
    try:
        return kind(**(options | system.job_options(settings)))
    except RuntimeError as error:  # such as a network interface that is not there
        raise ValueError(f"{system.title}: {error}; correct `jobs` in {LOCAL_FILE}") from None


def _security_in(folder: Path) -> Any:  # noqa: ANN401
    """New keys, in files which their owner alone can read."""
    from distributed.security import Security

    made = Security.temporary()  # type: ignore[no-untyped-call]
    paths = {}
    for name, text in (("ca", made.tls_ca_file), ("cert", made.tls_worker_cert), ("key", made.tls_worker_key)):
        paths[name] = str(folder / f"{name}.pem")
        with open(os.open(paths[name], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
    roles = ("client", "scheduler", "worker")
    files = {f"tls_{role}_{name}": paths[name] for role in roles for name in ("cert", "key")}
    return Security(require_encryption=True, tls_ca_file=paths["ca"], **files)  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes started in here pass over Ctrl-C, which is for this one: it ends them without their tracebacks.

    Ignored signals are inherited (a blocked one is not: multiprocessing unblocks it), for the seconds of the start-up.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
