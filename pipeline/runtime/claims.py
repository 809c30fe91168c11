"""Many processes on many machines share out tasks through files of one folder: no scheduler, no port.

    FOLDER/claims.json              what is made here, by which code: workers at one time must agree
    FOLDER/workers/<worker>.json    host, process, start; its time is renewed while the worker lives
    FOLDER/<task>.<n>.claim         the worker that makes a task; n of its holders before died
    FOLDER/<task>.failed            why it is not made
    FOLDER/<task>.task              its result (pipeline.runtime.kept_results)

A claim is a file that is created only where none of its name is there (O_EXCL, which NFS keeps since version 3; locks
are not used). Claim n + 1 may be created once the holder of claim n is dead: so of many rivals one gets it, and the
number counts deaths. After MAX_DEATHS the task is recorded as failed. Whoever holds a claim looks for a result before
it begins, so a task is made twice only where a holder died, or was taken for dead.

A worker is dead when its file is gone, when its process is (seen on the same machine), or when its time has not changed
for `expires_s` while somebody watched. Only changes count, timed by the watcher, so clocks may differ between machines.
"""

import contextlib
import json
import os
import platform
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path

import psutil

from stores.atomic import unless_gone, write_text

__all__ = [
    "EXPIRES_S",
    "MAX_DEATHS",
    "WHY_DIED",
    "Claims",
    "ClaimsRefused",
    "Identity",
    "State",
    "Task",
    "Worker",
]

EXPIRES_S = 120.0  # above what NFS may keep attributes of files (60 s)
MAX_DEATHS = 3
RENEWALS = 6  # within `expires_s`
RESULT, CLAIM, FAILED = ".task", ".claim", ".failed"
IDENTITY = "claims.json"
WORKERS = "workers"
APPEARS_WITHIN_S = 60.0  # a file of another machine, on NFS
WHY_DIED = "Does it need more memory than its worker has, or longer than the worker may live (walltime)?"


class ClaimsRefused(ValueError):
    """The folder is not for this worker; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What is made in a folder, and by which code: `key` is of what shapes results, `machinery` of what keeps them.

    Datasets of several sizes may grow in one folder.
    """

    stage: str
    key: str
    versions: dict[str, str]
    machinery: str
    commit: str

    @classmethod
    def read(cls, file: Path) -> "Identity | None":
        """None where there is no file. What another version did not write is empty, and so differs."""
        while file.is_file():
            with unless_gone():  # replaced meanwhile: read again
                content = json.loads(file.read_text())
                return cls(**{one.name: content.get(one.name, "") for one in fields(cls)})
        return None

    def of_another_version(self, other: "Identity") -> bool:
        return replace(self, commit="") != replace(other, commit="")

    def in_words(self) -> str:
        versions = "".join(f", {name} {version}" for name, version in (self.versions or {}).items())
        return f"stage {self.stage}, key {self.key}{versions}, code {self.machinery[:12]}, commit {self.commit}"


@dataclass(frozen=True, kw_only=True)
class Worker:
    """`machine` and `process` tell whether its process still runs, to whoever shares its machine."""

    name: str
    role: str  # "work" shares tasks out, "repro" makes all that is missing itself
    host: str
    machine: str
    process: tuple[int, float]  # id and time of its start

    def process_runs(self) -> bool | None:
        """None where it cannot be seen from here."""
        if self.machine != _machine():
            return None
        try:
            return bool(abs(psutil.Process(self.process[0]).create_time() - self.process[1]) < 1.0)
        except psutil.Error:
            return False


@dataclass(kw_only=True)
class Task:
    """What the files say of a task."""

    done: bool = False
    failed: bool = False
    claims: set[int] = field(default_factory=set)  # numbers of its claims


@dataclass(frozen=True, kw_only=True)
class State:
    """One look at a folder."""

    tasks: dict[str, Task]
    workers: dict[str, Worker]  # that live

    def left(self) -> list[str]:
        return [name for name, task in self.tasks.items() if not (task.done or task.failed)]


class Claims:
    """The claims of one process on the tasks of a folder."""

    def __init__(self, folder: Path, names: Sequence[str], *, role: str = "work", expires_s: float = EXPIRES_S) -> None:
        self.folder, self.names, self.expires_s = folder, tuple(names), expires_s
        process = psutil.Process()
        self.me = Worker(
            name=f"{platform.node()}-{process.pid}-{uuid.uuid4().hex[:8]}",
            role=role,
            host=platform.node(),
            machine=_machine(),
            process=(process.pid, process.create_time()),
        )
        self._watched: dict[str, tuple[int, float, float]] = {}  # file -> its time, last look, time unchanged
        self._known: dict[str, Worker] = {}
        self._seen_working: set[str] = set()

    def agree(self, identity: Identity, *, prepared: bool = False) -> None:
        """Write what is made here, or compare. Raises ClaimsRefused where others live who make something else.

        `prepared`: somebody on another machine has written it, so if it does not appear the folder is not shared.
        """
        file = self.folder / IDENTITY
        end = time.monotonic() + APPEARS_WITHIN_S
        while prepared and not file.is_file():
            if time.monotonic() > end:
                raise ClaimsRefused(
                    f"{self.folder} on {platform.node()}: found no {IDENTITY}, which was written where this was "
                    "submitted; expected one folder that all machines see. Set LATENTLAW_SCRATCH to one"
                )
            self._show_folder()
            time.sleep(1)
        present = Identity.read(file)
        if present == identity:
            return
        others = set(self.living()) - {self.me.name}
        if present is not None and others and present.of_another_version(identity):
            raise ClaimsRefused(
                f"{self.folder}: found {len(others)} workers of another version ({present.in_words()}), expected that "
                f"of this clone ({identity.in_words()}). Check out one version on all machines, or wait until they "
                "have ended"
            )
        if present is None or not others:
            write_text(file, json.dumps(asdict(identity), indent=1))

    @contextlib.contextmanager
    def present(self) -> Iterator[None]:
        """Show that this process lives, from time to time until the context ends."""
        file = self._worker_file(self.me.name)
        write_text(file, json.dumps(asdict(self.me), indent=1))
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(self.expires_s / RENEWALS):
                with contextlib.suppress(OSError):  # a server that is away for a while; the next time comes
                    os.utime(file)

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            file.unlink(missing_ok=True)

    def look(self) -> State:
        """Read all names in the folder. Names of other tasks are passed over."""
        tasks = {name: Task() for name in self.names}
        for entry in os.scandir(self.folder):
            name, suffix = os.path.splitext(entry.name)
            if suffix == RESULT and name in tasks:
                tasks[name].done = True
            elif suffix == FAILED and name in tasks:
                tasks[name].failed = True
            elif suffix == CLAIM:
                name, _, number = name.rpartition(".")
                if name in tasks and number.isdecimal():
                    tasks[name].claims.add(int(number))
        return State(tasks=tasks, workers=self.living())

    def living(self) -> dict[str, Worker]:
        """The workers that show signs of life, by name; dead ones stay in the folder until `clear`."""
        folder = self.folder / WORKERS
        names = [file.stem for file in folder.glob("*.json")] if folder.is_dir() else []
        return {name: worker for name in sorted(names) if (worker := self._alive(name))}

    def certainly_lives(self, worker: Worker) -> bool:
        """Whether it was seen working, not only its file: one that was killed elsewhere looks alive for `expires_s`."""
        return worker.name in self._seen_working

    def claim(self, name: str, task: Task, workers: dict[str, Worker]) -> int | None:
        """The number of the claim on a task that is now this process's; None where another holds or made it.

        `task` and `workers` as they were seen a moment ago. A task that MAX_DEATHS workers died with is recorded as
        failed.
        """
        number = max(task.claims, default=-1)
        if number >= 0 and not self._left_behind(name, number, workers):
            return None
        number += 1
        if number >= MAX_DEATHS:
            self.fail(name, f"{number} workers died in a row while they had this task. {WHY_DIED}")
            return None
        try:
            descriptor = os.open(self._claim_file(name, number), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return None
        with os.fdopen(descriptor, "w") as stream:
            stream.write(self.me.name)
        if (self.folder / f"{name}{RESULT}").exists():  # made between the look and the claim
            self.release(name, number)
            return None
        return number

    def release(self, name: str, number: int) -> None:
        """Of a task that is made, or is left for others: the deaths before stay counted."""
        self._claim_file(name, number).unlink(missing_ok=True)

    def fail(self, name: str, reason: str) -> None:
        """Record that a task cannot be made; nobody tries it until `latentlaw repro`, or `retry`."""
        record = {"task": name, "reason": reason, "host": platform.node()}
        write_text(self.folder / f"{name}{FAILED}", json.dumps(record, indent=1))

    def failures(self) -> dict[str, str]:
        """Why tasks are not made, by name."""
        files = {name: self.folder / f"{name}{FAILED}" for name in self.names}
        return {name: json.loads(file.read_text())["reason"] for name, file in files.items() if file.is_file()}

    def retry(self) -> None:
        """Forget failures and deaths."""
        for name in self.names:
            if (self.folder / f"{name}{FAILED}").is_file():
                (self.folder / f"{name}{FAILED}").unlink(missing_ok=True)
                for file in self.folder.glob(f"{name}.*{CLAIM}"):
                    file.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove claims, failures and what dead workers left, when nobody else works here."""
        for file in [*self.folder.glob(f"*{CLAIM}"), *self.folder.glob(f"*{FAILED}")]:
            file.unlink(missing_ok=True)
        for file in (self.folder / WORKERS).glob("*.json"):
            if file.stem != self.me.name:
                file.unlink(missing_ok=True)

    def holder_of(self, name: str, task: Task) -> str:
        """The worker that claimed a task last, "" where none did."""
        if task.claims:
            with unless_gone():
                return self._claim_file(name, max(task.claims)).read_text()
        return ""

    def _left_behind(self, name: str, number: int, workers: dict[str, Worker]) -> bool:
        """Whether the holder of a claim, which is read after the workers were, died with it."""
        file = self._claim_file(name, number)
        with unless_gone():
            holder = file.read_text()
            renewed = file.stat().st_mtime_ns
            return holder not in workers if holder else not self._changed(file.name, renewed)  # its name comes soon
        return False  # given up meanwhile

    def _alive(self, name: str) -> Worker | None:
        renewed = None
        with unless_gone(), self._worker_file(name).open() as stream:  # opening makes NFS ask the server for the time
            renewed = os.fstat(stream.fileno()).st_mtime_ns
            if name not in self._known:
                content = json.load(stream)
                self._known[name] = Worker(**content | {"process": tuple(content["process"])})
        if renewed is None or name not in self._known:
            return None
        worker = self._known[name]
        if (runs := worker.process_runs()) is not None:
            self._seen_working |= {name} if runs else set()
            return worker if runs else None
        return worker if self._changed(name, renewed) else None

    def _changed(self, name: str, renewed: int) -> bool:
        """Whether this time of a file was seen for less than `expires_s`.

        Of the time between two looks at most half of `expires_s` counts: a file server that was away for longer stopped
        whoever looks as well as whoever renews, who may come second when it is back.
        """
        now = time.monotonic()
        before, looked, unchanged_s = self._watched.get(name, (None, now, 0.0))
        unchanged_s += min(now - looked, self.expires_s / 2)
        if before != renewed:
            self._seen_working |= {name} if name in self._watched else set()
            unchanged_s = 0.0
        self._watched[name] = (renewed, now, unchanged_s)
        return unchanged_s < self.expires_s

    def _show_folder(self) -> None:
        """Make NFS read the folder anew: it does after a change from here."""
        file = self.folder / f".{self.me.name}"
        write_text(file, "")
        file.unlink(missing_ok=True)

    def _claim_file(self, name: str, number: int) -> Path:
        return self.folder / f"{name}.{number}{CLAIM}"

    def _worker_file(self, name: str) -> Path:
        return self.folder / WORKERS / f"{name}.json"


@cache
def _machine() -> str:
    """The same for processes that see each other's ids: one boot of one machine, one container."""
    parts = [platform.node()]
    for file in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            parts.append(os.readlink(file) if file.endswith("pid") else Path(file).read_text().strip())
    return " ".join(parts) if len(parts) == 3 or sys.platform == "darwin" else f"unknown {uuid.uuid4().hex}"
