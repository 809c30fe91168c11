"""Where work runs: local processes, threads, one after another, a Dask scheduler's address, or SLURM.

Chosen by the environment or the untracked file `local.yaml`, never by params or a command line: those are tracked, and
a change of machine would make every dataset stale. The environment wins over the file.

    LATENTLAW_SCHEDULER   local (default) | threads | serial | tcp://host:port | slurm
    LATENTLAW_WORKERS     how many (default: one per core, of slurm: jobs)

    # local.yaml
    scheduler: slurm
    workers: 8
    slurm: {queue: normal, account: abc, walltime: "04:00:00", cores: 32, memory: 64GB, prologue: [module load python]}

Tasks are pure functions of their item, so where they run changes no number. Linear algebra is pinned to one thread per
process: many processes are faster than many threads on small matrices, and results do not depend on the thread count.
This is the only file that imports dask.distributed.
"""

import contextlib
import logging
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from threadpoolctl import threadpool_limits

from pipeline.params import ParamsError, build, setting

__all__ = ["Execution", "SlurmSettings", "TaskRunner", "kept_workers", "load_execution", "run_tasks", "slurm_cluster"]

Item = TypeVar("Item")
Result = TypeVar("Result")
TaskRunner = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[tuple[int, Any]]]  # result or exception by index

SCHEDULER_VARIABLE = "LATENTLAW_SCHEDULER"
WORKERS_VARIABLE = "LATENTLAW_WORKERS"
LOCAL_FILE = "local.yaml"
ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://\S+")
CONNECT_TIMEOUT_S = 5
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # Dask's default makes glibc hand every freed array back to the kernel: a quarter of the training time, measured.
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
}


@dataclass(frozen=True, kw_only=True)
class SlurmSettings:
    """What one SLURM job asks for; it runs `cores` worker processes."""

    queue: str | None = None
    account: str | None = None
    walltime: str = "01:00:00"
    cores: int = setting(low=1, default=1)
    memory: str = "4GB"
    prologue: tuple[str, ...] = ()  # lines of shell before the workers start, e.g. "module load python"
    directives: tuple[str, ...] = ()  # further #SBATCH lines
    interface: str | None = None  # network interface, e.g. ib0


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One choice of where to run; `workers` of None means the default of that place."""

    scheduler: str = "local"
    workers: int | None = setting(low=1, default=None)
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
    """The choice told by the environment and `local.yaml`. Raises ValueError that lists all that is wrong with it."""
    told = os.environ if environment is None else environment
    try:
        content = YAML(typ="safe", pure=True).load(Path(path)) if Path(path).is_file() else {}
    except YAMLError as error:
        raise ParamsError(f"{path}: cannot be read as YAML; correct this: {error}") from None
    given = {"slurm": {}} | (dict(content) if isinstance(content, Mapping) else {"content": content} if content else {})
    if scheduler := told.get(SCHEDULER_VARIABLE):
        given["scheduler"] = scheduler
    if workers := told.get(WORKERS_VARIABLE):
        given["workers"] = int(workers) if workers.isdecimal() else workers
    return build(Execution, given, "execution", f"{path}, {SCHEDULER_VARIABLE} and {WORKERS_VARIABLE}")


def run_tasks(
    function: Callable[[Item], Result], items: Sequence[Item], execution: Execution
) -> Iterator[tuple[int, Result | Exception]]:
    """Apply `function` to every item; yields (index, result or the exception it raised) as they complete.

    Raises ConnectionError when the scheduler does not answer.
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
    from distributed import Client

    _quiet_logs()
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(_client(execution, n_workers, stack, Client))
        yield lambda function, items: _run_on_client(function, items, client) if items else iter(())


def slurm_cluster(settings: SlurmSettings) -> Any:  # noqa: ANN401 - dask_jobqueue has no types
    """A SLURMCluster without jobs yet; `.job_script()` shows what would be submitted."""
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ModuleNotFoundError:
        raise ValueError("scheduler slurm: dask-jobqueue is not installed; run `pip install -e '.[slurm]'`") from None
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
        scheduler_options={"dashboard_address": None},
    )


def _attempt(function: Callable[[Item], Result], item: Item) -> Result | Exception:
    try:
        return function(item)
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # it came while compiled code was handing back its result
            raise error.__cause__ from None
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
    from distributed import Client

    _quiet_logs()
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(_client(execution, len(items), stack, Client))
        yield from _run_on_client(function, items, client)


def _run_on_client(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    client: Any,  # noqa: ANN401
) -> Iterator[tuple[int, Result | Exception]]:
    from distributed import as_completed as completed

    futures = client.map(function, items, pure=False, retries=0)
    index_of = {future.key: index for index, future in enumerate(futures)}
    queue = completed(futures, raise_errors=False)  # type: ignore[no-untyped-call]
    del futures
    for future in queue:
        error = future.exception()
        failed = error if isinstance(error, Exception) else RuntimeError(f"the task was lost: {future.status}")
        yield index_of[future.key], future.result() if future.status == "finished" else failed
        future.release()


def _quiet_logs() -> None:
    for name in (
        "distributed.worker",
        "distributed.nanny",
        "distributed.scheduler",
        "distributed.core",
        "distributed.client",
    ):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # failures are told once, by the caller


def _client(execution: Execution, n_items: int, stack: contextlib.ExitStack, client_class: Any) -> Any:  # noqa: ANN401
    if ADDRESS.fullmatch(execution.scheduler):
        try:
            return client_class(execution.scheduler, timeout=CONNECT_TIMEOUT_S)
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"{SCHEDULER_VARIABLE}: found no Dask scheduler at {execution.scheduler} within {CONNECT_TIMEOUT_S} s "
                f"({error}); start one with `dask scheduler`, correct the address, or unset it to run on this machine"
            ) from None
    if execution.scheduler == "slurm":
        cluster = stack.enter_context(slurm_cluster(execution.slurm))
        cluster.scale(jobs=execution.workers or 1)
    else:
        from distributed import LocalCluster

        os.environ.update(WORKER_ENVIRONMENT)  # inherited by the worker processes
        with _interrupts_ignored():
            cluster = stack.enter_context(
                LocalCluster(  # type: ignore[no-untyped-call]
                    n_workers=min(execution.n_workers, n_items),
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=":0",
                    scheduler_kwargs={"dashboard": False},
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                )
            )
    return client_class(cluster)


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
