"""Where work runs: one after another, threads, local processes, jobs of a batch system, or a Dask scheduler's address.

    execution = load_execution()                                        # pipeline.runtime.execution_settings
    for index, result in run_tasks(function, items, execution): ...

Tasks are pure functions of their item, so where they run changes no number, nor does it that one runs again because
its worker died. Linear algebra is pinned to one thread per process: many processes are faster than many threads on
small matrices, and results do not depend on the thread count.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from pipeline.runtime.batch.job_settings import JobSettings
from pipeline.runtime.dask_workers import run_on_workers, started_workers
from pipeline.runtime.execution_settings import Execution, load_execution
from pipeline.runtime.interrupts import interrupted
from pipeline.runtime.worker_environment import one_thread

__all__ = ["Execution", "JobSettings", "TaskRunner", "kept_workers", "load_execution", "run_tasks"]

Item = TypeVar("Item")
Result = TypeVar("Result")
TaskRunner = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[tuple[int, Any]]]  # result or exception by index


def run_tasks(
    function: Callable[[Item], Result], items: Sequence[Item], execution: Execution
) -> Iterator[tuple[int, Result | Exception]]:
    """Apply `function` to every item; yields (index, result or the exception it raised) as they complete.

    Raises ConnectionError when the scheduler does not answer or is lost on the way, or when no worker can be had,
    ValueError when a batch system is not there or refuses the jobs.
    """
    if execution.scheduler in ("serial", "threads") or not items:
        with one_thread():
            yield from _run_in_threads(function, items, 1 if execution.scheduler == "serial" else execution.n_workers)
    else:
        with contextlib.ExitStack() as stack:
            yield from run_on_workers(function, items, started_workers(execution, len(items), stack))


@contextlib.contextmanager
def kept_workers(execution: Execution, n_workers: int) -> Iterator[TaskRunner]:
    """`run_tasks` without its last argument, by workers that live as long as the context: for many small calls.

    At most `n_workers` are started on this machine. Raises ConnectionError when the scheduler does not answer.
    """
    if execution.scheduler in ("serial", "threads"):
        yield lambda function, items: run_tasks(function, items, execution)
        return
    with contextlib.ExitStack() as stack:
        workers = started_workers(execution, n_workers, stack)
        yield lambda function, items: run_on_workers(function, items, workers) if items else iter(())


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
