"""Run a generator function in a process of its own: pinned threads, private folder, time limit, crashes as messages.

    request   pickle on standard input, {"function": "module:name", "arguments": {...}}
    replies   one pickle in base64 per line, as the function yields them

The child (`label_child.py`) starts in a new process group, which is killed whole when it is silent longer than allowed,
and whenever the caller stops listening. No signals and no main thread are needed here, so that it works in threads and
in Dask workers.
"""

import base64
import os
import pickle
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

__all__ = ["ChildFailed", "ChildLimits", "Done", "run_in_child"]

MODULE = "models.physics.atoms.label_child"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
STDERR_LINES = 3


class ChildFailed(RuntimeError):
    """The child process ended before its work did; the message says how."""


class Done:
    """The last reply."""


@dataclass(frozen=True, kw_only=True)
class ChildLimits:
    """`time_limit_s` is the longest silence between two replies, `start_limit_s` that before the first."""

    time_limit_s: float = 600.0
    start_limit_s: float = 300.0
    n_threads: int = 1

    def __post_init__(self) -> None:
        if self.time_limit_s <= 0 or self.start_limit_s <= 0 or self.n_threads < 1:
            raise ValueError(f"found {self}, expected limits > 0 s and n_threads >= 1")


def run_in_child(function: str, arguments: Mapping[str, Any], limits: ChildLimits) -> Generator[Any]:
    """Yield what `function` ("module:name", a generator of anything that can be pickled) yields. Raises ChildFailed.

    ChildFailed comes after a crash, an exception of the function, and a silence longer than the limits allow.
    """
    with tempfile.TemporaryDirectory(prefix="label-", ignore_cleanup_errors=True) as folder:
        request = Path(folder, "request.pickle")
        request.write_bytes(pickle.dumps({"function": function, "arguments": dict(arguments)}))
        errors = Path(folder, "stderr")
        with request.open("rb") as stdin, errors.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", MODULE],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=_environment(folder, limits.n_threads),
                start_new_session=True,
            )
        try:
            with closing(_replies(process, limits)) as replies:
                for reply in replies:
                    if isinstance(reply, Done):
                        return
                    yield reply
            raise ChildFailed(_how_it_ended(process.wait(), errors))
        finally:
            _kill_group(process)


def _environment(folder: str, n_threads: int) -> dict[str, str]:
    """Ours, with threads pinned and every place for temporary files in `folder`. Imports work as they do here."""
    paths = [path or os.getcwd() for path in sys.path]
    pinned = dict.fromkeys(THREAD_VARIABLES, str(n_threads))
    temporary = {"TMPDIR": folder, "PYSCF_TMPDIR": folder, "MPLCONFIGDIR": folder}
    return os.environ | pinned | temporary | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0"}


def _replies(process: subprocess.Popen[bytes], limits: ChildLimits) -> Generator[Any]:
    """Lines of the child's output, each within its time; ends when the output does. Raises ChildFailed on silence."""
    limit, pending, output = limits.start_limit_s, b"", _output(process)
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        deadline = time.monotonic() + limit
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise ChildFailed(f"time limit of {limit:g} s exceeded")
            block = os.read(output.fileno(), 1 << 16)
            if not block:
                return
            *lines, pending = (pending + block).split(b"\n")
            for line in lines:
                yield pickle.loads(base64.b64decode(line))
            if lines:
                limit = limits.time_limit_s
                deadline = time.monotonic() + limit


def _how_it_ended(status: int, errors: Path) -> str:
    last = [line for line in errors.read_text(errors="replace").splitlines() if line.strip()][-STDERR_LINES:]
    detail = f": {' | '.join(line.strip() for line in last)}" if last else ""
    if status < 0:
        return f"the child process was ended by signal {-status} ({signal.Signals(-status).name}){detail}"
    return f"the child process ended with status {status}{detail}"


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    _output(process).close()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # all of them are gone
        process.poll()
    process.wait()


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:
        raise ValueError("found a process without a pipe, expected stdout=PIPE")
    return process.stdout
