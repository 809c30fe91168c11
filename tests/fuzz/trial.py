"""One input, read under guard: what came of it.

A process of its own reads the inputs, and says of each, one JSON line after the other, what came of it:

    read      the reader took it
    refused   by an error that explains itself (pipeline.runtime.stage.EXPLAINED)
    crash     any other exception; more than MOST_CPU_S of CPU time; more memory than MOST_BYTES beyond that of the
              process; code or a program run; a file written outside of the folder; the process ended

Limits of time are of CPU time, so that a busy machine changes nothing; a process that sleeps (a named pipe) is ended
after MOST_WALL_S. Memory is limited for the whole process (RLIMIT_DATA), and an error of memory is a crash also where
a reader explains it: what a header claims must not be asked for. Audit hooks see Python's own opening of files,
programs, connections and pickles; what was written outside of the folder by a library is seen by a look at its
neighbours.
"""

import contextlib
import io
import json
import os
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline.runtime.stage import EXPLAINED

__all__ = ["MOST_BYTES", "MOST_CPU_S", "Result", "results"]

MOST_CPU_S = 10.0
MOST_WALL_S = 120.0
MOST_BYTES = 2**28
FREE_BYTES = 2**29  # that readers are told of; they take a quarter
RUNS_CODE = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "pickle.find_class")
OF_MEMORY = re.compile(r"MemoryError|nable to allocate|annot allocate|ut of memory")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class Result:
    number: int
    outcome: str  # read, refused, crash
    problem: str = ""  # first line of what the reader said
    trace: str = ""


class TooLong(BaseException):
    """Not an Exception: no reader takes it for damage."""


class Forbidden(BaseException):
    """What no reader may do."""


Prepare = Callable[[int, Path], None]  # writes input `number` into the folder
Read = Callable[[Path, Path], Any]  # reads it; what it writes goes into the second folder


def results(numbers: Sequence[int], prepare: Prepare, read: Read, workplace: Path) -> Iterator[Result]:
    """What came of each input, in order; after one that ends the process another goes on."""
    pending = list(numbers)
    while pending:
        for result in _of_one_process(pending, prepare, read, workplace):
            pending.pop(0)
            yield result
        if pending and (dead := _death):
            yield Result(pending.pop(0), "crash", dead.pop())


_death: list[str] = []


def _of_one_process(numbers: Sequence[int], prepare: Prepare, read: Read, workplace: Path) -> Iterator[Result]:
    receive, send = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(receive)
        status = 1
        try:
            _read_all(numbers, prepare, read, workplace, send)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(send)
    n_answers, problem, rest = 0, "", b""
    try:
        while True:
            if not select.select([receive], [], [], MOST_WALL_S)[0]:
                os.kill(child, signal.SIGKILL)
                problem = f"hangs: no answer within {MOST_WALL_S:g} s"
                break
            some = os.read(receive, 2**16)
            if not some:
                break
            *lines, rest = (rest + some).split(b"\n")
            for line in lines:
                n_answers += 1
                yield Result(**json.loads(line))
    finally:
        os.close(receive)
        _, status = os.waitpid(child, 0)
    if n_answers < len(numbers):
        _death.append(problem or f"ended the process, status {os.waitstatus_to_exitcode(status)}")


def _read_all(numbers: Sequence[int], prepare: Prepare, read: Read, workplace: Path, send: int) -> None:
    (workplace / "temporary").mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(workplace / "temporary")
    os.environ["TMPDIR"] = tempfile.tempdir
    told = types.SimpleNamespace(available=FREE_BYTES, total=FREE_BYTES)
    psutil.virtual_memory = lambda: told  # the same on every machine
    guard = _Guard(workplace)
    sys.addaudithook(guard)
    signal.signal(signal.SIGPROF, _too_long)
    _limit_memory()
    for number in numbers:
        for name in ("in", "out"):
            shutil.rmtree(workplace / name, ignore_errors=True)
            (workplace / name).mkdir()
        prepare(number, workplace / "in")
        before = _neighbours(workplace)
        result = _one(number, read, workplace, guard)
        if result.outcome != "crash" and (strange := _neighbours(workplace) - before):
            result = Result(number, "crash", f"wrote outside of the folder: {sorted(strange)}")
        os.write(send, json.dumps(asdict(result)).encode() + b"\n")


def _one(number: int, read: Read, workplace: Path, guard: "_Guard") -> Result:
    said = io.StringIO()
    try:
        guard.active, guard.seen = True, ""
        signal.setitimer(signal.ITIMER_PROF, MOST_CPU_S)
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            read(workplace / "in", workplace / "out")
        result = Result(number, "read", said.getvalue()[-2000:])
    except EXPLAINED as error:
        result = Result(number, "refused", str(error), _memory(error))
    except TooLong:
        result = Result(number, "crash", f"more than {MOST_CPU_S:g} CPU s", traceback.format_exc())
    except BaseException as error:
        problem = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        result = Result(number, "crash", problem, traceback.format_exc())
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        guard.active = False
    if guard.seen:
        return Result(number, "crash", guard.seen, result.trace)
    if result.outcome == "refused" and result.trace:
        return Result(number, "crash", f"asks for memory that a header claims: {result.problem[:300]}", result.trace)
    if result.outcome == "refused" and not result.problem.strip():
        return Result(number, "crash", "refused without a word")
    shown = result.problem[:400] if result.outcome != "crash" else result.problem
    return Result(number, result.outcome, shown, result.trace)


def _memory(error: BaseException | None) -> str:
    """The trace where an error of memory is behind this one."""
    first, seen = error, set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, MemoryError) or OF_MEMORY.search(str(error)):
            return "".join(traceback.format_exception(first))
        error = error.__cause__ or error.__context__
    return ""


class _Guard:
    """An audit hook: raises where a reader would run code or write elsewhere, and remembers it."""

    def __init__(self, workplace: Path) -> None:
        self.allowed = (f"{workplace.resolve()}{os.sep}", "/dev/null", "/dev/shm")
        self.active = False
        self.seen = ""

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event.startswith(RUNS_CODE):
            self._refuse(f"{event} {arguments!r:.200}")
        elif event == "open" and isinstance(arguments[0], str) and arguments[2] & WRITING:
            path = os.path.realpath(arguments[0])
            if not path.startswith(self.allowed) and "__pycache__" not in path:
                self._refuse(f"opens {path} for writing")
        elif event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.link"):
            for path in (item for item in arguments[:2] if isinstance(item, str)):
                if os.path.isabs(path) and not os.path.abspath(path).startswith(self.allowed):
                    self._refuse(f"{event} {path}")

    def _refuse(self, what: str) -> None:
        if any("__pycache__" in part for part in what.split()):
            return
        self.seen = what
        raise Forbidden(what)


def _too_long(*_: object) -> None:
    raise TooLong


def _limit_memory() -> None:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    now = 1024 * int(lines["VmData"].split()[0])
    resource.setrlimit(resource.RLIMIT_DATA, (now + MOST_BYTES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _neighbours(workplace: Path) -> set[str]:
    """What lies beside the folders of one input."""
    return {str(path) for folder in (workplace, workplace.parent) for path in folder.iterdir()}
