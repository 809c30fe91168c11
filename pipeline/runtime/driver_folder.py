"""What the driver of jobs keeps while it lives, for its workers and for the next driver: .cache/jobs/drivers/<name>/

    keys       of this run's TLS, readable by their owner alone; dask-jobqueue writes them here for the workers
    numbers    of all jobs that were submitted, one a line: "slurm 123"

The folder must be seen by the nodes, so it lies in the clone. A driver that ends removes it. What a driver left that
was killed, its successor on the same machine takes away: jobs for a scheduler that is gone, and keys.
"""

import contextlib
import itertools
import shutil
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from pipeline.runtime.batch.batch_system import BATCH_SYSTEMS, BatchSystem
from pipeline.runtime.batch.queue_programs import QueueSilent
from pipeline.runtime.progress import note

__all__ = ["DRIVERS", "OUTPUT", "driver_folder", "record_jobs"]

DRIVERS = Path(".cache/jobs/drivers")
OUTPUT = Path(".cache/jobs/output")  # what jobs print
NUMBERS = "numbers"


@contextlib.contextmanager
def driver_folder() -> Iterator[Path]:
    """A new folder of this process, of mode 700; it ends with the context."""
    _clear_dead()
    process = psutil.Process()
    folder = DRIVERS.absolute() / _name(process.pid, process.create_time())
    folder = next(path for n in itertools.count() if not (path := folder.with_name(f"{folder.name}-{n}")).exists())
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def record_jobs(folder: Path, system: str, numbers: Iterable[str]) -> None:
    with (folder / NUMBERS).open("a") as file:
        file.writelines(f"{system} {number}\n" for number in numbers)


def _name(pid: int, created_s: float) -> str:
    return f"{socket.gethostname()}-{pid}-{int(created_s)}"


def _clear_dead() -> None:
    """End the jobs of drivers of this machine that are no more, as far as the queue still has them."""
    host = socket.gethostname()
    processes = psutil.process_iter(["pid", "create_time"])
    living = {_name(process.info["pid"], process.info["create_time"]) for process in processes}
    for folder in sorted(DRIVERS.glob(f"{host}-*")):
        if folder.name.rpartition("-")[0] in living:
            continue
        lines = (folder / NUMBERS).read_text().split("\n") if (folder / NUMBERS).is_file() else []
        jobs = [line.split() for line in lines if line]
        for name in sorted({system for system, _ in jobs}):
            _end_left(name, [number for known, number in jobs if known == name])
        shutil.rmtree(folder, ignore_errors=True)


def _end_left(name: str, numbers: list[str]) -> None:
    system: BatchSystem = BATCH_SYSTEMS[name].make()
    try:
        left = [number for number, state in system.states(numbers).items() if not (state.ended or state.ending)]
        if left:
            system.cancel(left)
            note(f"{system.title}: cancelled {', '.join(left)}, which a run that was killed had left")
    except QueueSilent as error:
        note(f"{system.title}: jobs {', '.join(numbers)} of a run that was killed may still be there: {error}")
