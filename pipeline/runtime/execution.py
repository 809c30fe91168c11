"""Where work runs: local processes, threads, one after another, a Dask scheduler's address, or SLURM.

Chosen by the environment or the untracked file `local.yaml`, never by params or a command line: those are tracked, and
a change of machine would make every dataset stale. The environment wins over the file.

    LATENTLAW_SCHEDULER   local (default) | threads | serial | tcp://host:port | slurm
    LATENTLAW_WORKERS     how many (default: one per core, of slurm: jobs)

    # local.yaml
    scheduler: slurm
    workers: 8
    slurm: {queue: normal, account: abc, walltime: "04:00:00", cores: 32, memory: 64GB, prologue: [module load python]}

Tasks are pure functions of their item, so where they run changes no number, nor does it that one runs again because
its worker died. Linear algebra is pinned to one thread per process: many processes are faster than many threads on
small matrices, and results do not depend on the thread count.
This is the only file that imports dask.distributed.
"""

import contextlib
import logging
import os
import re
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from pydantic import PositiveInt
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from threadpoolctl import threadpool_limits

from models.settings import Some, settings
from pipeline.runtime.interrupts import interrupted
from pipeline.runtime.params import ParamsError, build
from pipeline.runtime.progress import note
from pipeline.runtime.slurm_jobs import SlurmJobs, require_slurm

__all__ = ["Execution", "SlurmSettings", "TaskRunner", "kept_workers", "load_execution", "run_tasks", "slurm_cluster"]

Item = TypeVar("Item")
Result = TypeVar("Result")
TaskRunner = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[tuple[int, Any]]]  # result or exception by index

SCHEDULER_VARIABLE = "LATENTLAW_SCHEDULER"
WORKERS_VARIABLE = "LATENTLAW_WORKERS"
LOCAL_FILE = "local.yaml"
ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://\S+")
CONNECT_TIMEOUT_S = 5
LOOK_EVERY_S = 5.0  # at the workers
NOTE_AFTER_S = 30.0  # without any worker
NOTE_EVERY_S = 300.0
ANSWER_S = 60.0  # of the scheduler to one question, of a worker with one result
MAX_TRIES = 3  # of one task, where a try is Dask's: over when four workers (allowed-failures + 1) died with the task
WHY_DIED = "Does it need more memory than its worker has, or longer than the worker may live (walltime)?"
PAGES_ADDRESS = "127.0.0.1:0"  # Dask always opens a port for them: None means 8787, ":0" one open to the network
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # Dask's default makes glibc hand every freed array back to the kernel: a quarter of the training time, measured.
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
}


@settings
class SlurmSettings:
    """What one SLURM job asks for; it runs `cores` worker processes."""

    queue: str | None = None
    account: str | None = None
    walltime: str = "01:00:00"
    cores: PositiveInt = 1
    memory: str = "4GB"
    prologue: Some[str] = ()  # lines of shell before the workers start, e.g. "module load python"
    directives: Some[str] = ()  # further #SBATCH lines
    interface: str | None = None  # network interface, e.g. ib0


@settings
class Execution:
    """One choice of where to run; `workers` of None means the default of that place."""

    scheduler: str = "local"
    workers: PositiveInt | None = None
    slurm: SlurmSettings = field(default_factory=SlurmSettings)

    def __post_init__(self) -> None:
        if self.scheduler not in ("local", "threads", "serial", "slurm") and not ADDRESS.fullmatch(self.scheduler):
            expected = "local, threads, serial, slurm or tcp://host:port"
            raise ValueError(f"scheduler: found {self.scheduler!r}, expected {expected}")

    @property
    def n_workers(self) -> int:
        from dask.system import CPU_COUNT  # knows the limits of containers

        return self.workers or int(CPU_COUNT)


def load_execution(environment: Mapping[str, str] | None = None, path: str | Path = LOCAL_FILE) -> Execution:
    """The choice of the environment and `local.yaml`. Raises ValueError that lists all that is wrong with it."""
    variables = os.environ if environment is None else environment
    try:
        content = YAML(typ="safe", pure=True).load(Path(path)) if Path(path).is_file() else {}
    except YAMLError as error:
        raise ParamsError(f"{path}: cannot be read as YAML; correct this: {error}") from None
    given = {"slurm": {}} | (dict(content) if isinstance(content, Mapping) else {"content": content} if content else {})
    if scheduler := variables.get(SCHEDULER_VARIABLE):
        given["scheduler"] = scheduler
    if workers := variables.get(WORKERS_VARIABLE):
        given["workers"] = int(workers) if workers.isdecimal() else workers
    return build(Execution, given, "execution", f"{path}, {SCHEDULER_VARIABLE} and {WORKERS_VARIABLE}")


def run_tasks(
    function: Callable[[Item], Result], items: Sequence[Item], execution: Execution
) -> Iterator[tuple[int, Result | Exception]]:
    """Apply `function` to every item; yields (index, result or the exception it raised) as they complete.

    Raises ConnectionError when the scheduler does not answer or is lost on the way, or when no worker can be had,
    ValueError when SLURM is not there or refuses the jobs.
    """
    if execution.scheduler in ("serial", "threads") or not items:
        with threadpool_limits(limits=1):
            yield from _run_in_threads(function, items, 1 if execution.scheduler == "serial" else execution.n_workers)
    else:
        yield from _run_on_dask(function, items, execution)


@contextlib.contextmanager
def kept_workers(execution: Execution, n_workers: int) -> Iterator[TaskRunner]:
    """`run_tasks` without its last argument, by workers that live as long as the context: for many small calls.

    At most `n_workers` are started on this machine. Raises ConnectionError when the scheduler does not answer.
    """
    if execution.scheduler in ("serial", "threads"):
        yield lambda function, items: run_tasks(function, items, execution)
        return
    with contextlib.ExitStack() as stack:
        workers = _workers(execution, n_workers, stack)
        yield lambda function, items: _run_on_workers(function, items, workers) if items else iter(())


def slurm_cluster(settings: SlurmSettings) -> Any:  # noqa: ANN401 - dask_jobqueue has no types
    """A SLURMCluster without jobs yet; `.job_script()` shows what would be submitted."""
    with _interrupts_ignored():  # its import would make Ctrl-C a success: exit status 0
        from dask_jobqueue.slurm import SLURMCluster

    try:
        return SLURMCluster(
            queue=settings.queue,
            account=settings.account,
            walltime=settings.walltime,
            cores=settings.cores,
            processes=settings.cores,
            memory=settings.memory,
            interface=settings.interface,
            job_script_prologue=[*(f"export {k}={v}" for k, v in WORKER_ENVIRONMENT.items()), *settings.prologue],
            job_extra_directives=list(settings.directives),
            scheduler_options={"dashboard": False, "dashboard_address": PAGES_ADDRESS},
            worker_extra_args=["--no-dashboard", "--dashboard-address", PAGES_ADDRESS],
        )
    except RuntimeError as error:  # such as a network interface that is not there
        raise ValueError(f"scheduler slurm: {error}; correct `slurm` in {LOCAL_FILE}") from None


def _attempt(function: Callable[[Item], Result], item: Item) -> Result | Exception:
    try:
        return function(item)
    except Exception as error:
        if interrupted(error):
            raise KeyboardInterrupt from None
        return error  # handed to the caller, who lists all failures at the end


def _run_in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], n_workers: int
) -> Iterator[tuple[int, Result | Exception]]:
    if n_workers == 1:
        yield from ((index, _attempt(function, item)) for index, item in enumerate(items))
        return
    # OpenMP counts threads per calling thread, so the limit around this call does not reach the pool's own threads.
    with ThreadPoolExecutor(n_workers, initializer=threadpool_limits, initargs=(1,)) as pool:
        futures = {pool.submit(_attempt, function, item): index for index, item in enumerate(items)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _run_on_dask(
    function: Callable[[Item], Result], items: Sequence[Item], execution: Execution
) -> Iterator[tuple[int, Result | Exception]]:
    with contextlib.ExitStack() as stack:
        yield from _run_on_workers(function, items, _workers(execution, len(items), stack))


def _run_on_workers(
    function: Callable[[Item], Result], items: Sequence[Item], workers: "_Workers"
) -> Iterator[tuple[int, Result | Exception]]:
    from distributed import KilledWorker

    done: SimpleQueue[Any] = SimpleQueue()
    index_of: dict[Any, int] = {}  # of what is submitted
    fresh, n_left = deque(range(len(items))), len(items)
    again: list[int] = []
    undone: list[Any] = []
    n_tries: Counter[int] = Counter()
    while n_left:
        if workers.look(n_left):
            # What lost its workers waits so long, so that the end of a whole allocation counts once, and then comes
            # first, so that new workers have their whole life for it.
            fresh.extendleft(again)
            for future in undone:
                future.add_done_callback(done.put)
            again, undone = [], []
        indices = [fresh.popleft() for _ in range(min(len(fresh), workers.n_slots - len(index_of)))]
        for index, future in zip(indices, workers.submit(function, [items[index] for index in indices]), strict=True):
            index_of[future.key] = index
            future.add_done_callback(done.put)
        try:
            future = done.get(timeout=1)
            result = workers.outcome(future)
        except Empty:
            continue
        except TimeoutError:
            undone.append(future)
            continue
        index = index_of.pop(future.key)
        future.release()
        if isinstance(result, KilledWorker) and workers.forgiving:
            n_tries[index] += 1
            reason = (
                f"{n_tries[index] * (result.allowed_failures + 1)} workers died while they had this task. {WHY_DIED}"
            )
            if n_tries[index] < MAX_TRIES:
                note(f"task {index} of this run is tried again ({n_tries[index] + 1} of {MAX_TRIES}): {reason}")
                again.append(index)
                continue
            result = RuntimeError(reason)
        n_left -= 1
        workers.answered()
        yield index, result


class _Workers:
    """A client, and the look after its workers while tasks remain."""

    def __init__(self, client: Any, execution: Execution, jobs: SlurmJobs | None = None) -> None:  # noqa: ANN401
        self.client, self.jobs = client, jobs
        self.address = client.scheduler.address
        self.forgiving = execution.scheduler != "local"
        self.cure = f"`dask worker {self.address}` starts one" if self.forgiving else "they are started again"
        self.n_slots = sys.maxsize  # for tasks at a time
        self._next_look = 0.0
        self._alone_since: float | None = None
        self._refused_since: float | None = None
        self._noted_at: float | None = None

    def look(self, n_left: int) -> bool:
        """Every few seconds: replace SLURM jobs that ended, tell when no worker is there. Was it time to look?"""
        if self.jobs:
            self.jobs.see_workers()
        if time.monotonic() < self._next_look:
            return False
        n_threads = self._threads()
        if n_threads is None:
            self._note_when_alone(0, f"the Dask scheduler at {self.address} does not answer, {n_left} tasks wait")
        else:
            if self.forgiving:  # no task waits behind one that may kill its worker, nor is blamed for it
                self.n_slots = max(1, sum(n_threads.values()))
            state = self.jobs.keep(n_left, len(n_threads)) if self.jobs else self.cure
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


def _quiet_logs() -> None:
    for name in ("worker", "nanny", "scheduler", "core", "client"):
        logging.getLogger(f"distributed.{name}").setLevel(logging.CRITICAL)  # failures are reported once, by the caller


def _workers(execution: Execution, n_items: int, stack: contextlib.ExitStack) -> _Workers:
    import dask
    from distributed import Client, LocalCluster

    _quiet_logs()
    if ADDRESS.fullmatch(execution.scheduler):
        try:
            client = stack.enter_context(Client(execution.scheduler, timeout=CONNECT_TIMEOUT_S))  # type: ignore[no-untyped-call]
            return _Workers(client, execution)
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"{SCHEDULER_VARIABLE}: found no Dask scheduler at {execution.scheduler} within {CONNECT_TIMEOUT_S} s "
                f"({error}); start one with `dask scheduler`, correct the address, or unset it to run on this machine"
            ) from None
    if execution.scheduler == "slurm":
        require_slurm()
    # Dask would give up a worker that is away for 15 s, though its nanny starts it again, which takes longer on a
    # loaded machine: with the last worker given up the tasks would wait for ever.
    stack.enter_context(dask.config.set({"distributed.deploy.lost-worker-timeout": "3650 days"}))
    if execution.scheduler == "slurm":
        cluster = stack.enter_context(slurm_cluster(execution.slurm))
        client = stack.enter_context(Client(cluster))  # type: ignore[no-untyped-call]
        return _Workers(client, execution, SlurmJobs(cluster, execution.workers or 1, execution.slurm.cores))
    os.environ.update(WORKER_ENVIRONMENT)  # inherited by the worker processes
    with _interrupts_ignored():
        cluster = stack.enter_context(
            LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=min(execution.n_workers, n_items),
                threads_per_worker=1,
                processes=True,
                dashboard_address=PAGES_ADDRESS,
                scheduler_kwargs={"dashboard": False},
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            )
        )
    return _Workers(stack.enter_context(Client(cluster)), execution)  # type: ignore[no-untyped-call]


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
