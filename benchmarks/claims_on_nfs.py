"""What claims rely on, and workers that claim shards, on two machines which share a folder of a file server.

    python benchmarks/claims_on_nfs.py FOLDER 0        on one machine
    python benchmarks/claims_on_nfs.py FOLDER 1        on another, begun within a minute; FOLDER is new and is shared

The first machine prints two tables, those of claims_on_nfs.md. The machines wait for each other through files of
FOLDER. The second table is of workers, half of them on each machine, on shards that only sleep; in its last row half of
the workers of each machine are killed (`kill -9`). `--only primitives` and `--only workers` make one table.
"""

import argparse
import errno
import hashlib
import json
import multiprocessing
import os
import platform
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import claimants  # noqa: E402
from pipeline.runtime import claimed_work  # noqa: E402
from pipeline.runtime.claims import Identity  # noqa: E402
from pipeline.runtime.execution import Execution  # noqa: E402
from pipeline.runtime.kept_results import SCRATCH_VARIABLE  # noqa: E402
from pipeline.runtime.shards import Recipe, generate_store  # noqa: E402
from stores.atomic import write_bytes, write_text  # noqa: E402

N_NAMES, N_RIVALS = 400, 4  # rivals on each machine
READ_FOR_S = 10.0
N_SIGHTS, SIGHT_WITHIN_S = 3, 90.0
N_SHARDS = 200
FORK = multiprocessing.get_context("fork")


class Meeting:
    """Two machines that do things one after the other."""

    def __init__(self, folder: Path, machine: int) -> None:
        self.folder, self.machine = folder / "meeting", machine
        self.folder.mkdir(parents=True, exist_ok=True)
        self.n_steps = 0

    def tell(self, text: str = "") -> None:
        write_text(self.folder / f"{self.n_steps}.{self.machine}", text)

    def wait(self) -> str:
        """What the other one told."""
        file = self.folder / f"{self.n_steps}.{1 - self.machine}"
        end = time.monotonic() + 600
        while file.name not in os.listdir(self.folder):
            if time.monotonic() > end:
                sys.exit(f"{file}: not seen in ten minutes; does the other machine run, and see the same folder?")
            own = self.folder / f".{self.machine}"  # a change from here makes NFS read the folder anew
            own.touch()
            own.unlink()
            time.sleep(0.02)
        self.n_steps += 1
        return file.read_text()

    def both(self, text: str = "") -> str:
        self.tell(text)
        return self.wait()

    def from_second(self, text: str) -> str:
        """What the second machine tells, on both."""
        told = self.both(text)
        return told if self.machine == 0 else text


def in_processes(n: int, function: Callable[[int], object]) -> list[object]:
    """What `function` returns in each of n forked processes."""
    with FORK.Pool(n) as pool:
        return pool.map(function, range(n), chunksize=1)


class Race:
    def __init__(self, folder: Path, machine: int) -> None:
        self.folder, self.machine = folder, machine

    def __call__(self, number: int) -> list[tuple[str, str]]:
        won, me = [], f"{self.machine}-{number}"
        for index in range(N_NAMES):
            time.sleep(0.02 * random.random())  # so that now one is ahead, now another
            try:
                descriptor = os.open(self.folder / str(index), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            except FileExistsError:
                continue
            with os.fdopen(descriptor, "w") as stream:
                stream.write(me)
            won.append((str(index), me))
        return won


def race(folder: Path, meeting: Meeting) -> str:
    place = folder / "race"
    place.mkdir(exist_ok=True)
    meeting.both()
    mine = [tuple(pair) for won in in_processes(N_RIVALS, Race(place, meeting.machine)) for pair in won]  # type: ignore[attr-defined]
    theirs = [tuple(pair) for pair in json.loads(meeting.both(json.dumps(mine)))]
    winners = Counter(name for name, _ in mine + theirs)
    wrong = [name for name in map(str, range(N_NAMES)) if winners[name] != 1]
    wrong += [name for name, who in mine + theirs if (place / name).read_text() != who]
    return f"{N_NAMES} names: {len(mine)} + {len(theirs)} won, {len(wrong)} by none, by two or with another content"


class Replace:
    """Process 0 replaces a file, the others read it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __call__(self, number: int) -> Counter[str]:
        seen, end = Counter[str](), time.monotonic() + READ_FOR_S
        while time.monotonic() < end:
            if number == 0:
                payload = os.urandom(random.randrange(1, 300_000))
            try:
                if number == 0:
                    write_bytes(self.file, payload + hashlib.sha256(payload).digest())
                    seen["written"] += 1
                else:
                    content = self.file.read_bytes()
                    seen["whole" if hashlib.sha256(content[:-32]).digest() == content[-32:] else "torn"] += 1
            except OSError as error:
                seen[f"{'writes' if number == 0 else 'reads'} {errno.errorcode[error.errno or 0]}"] += 1
        return seen


def replace(folder: Path, meeting: Meeting) -> str:
    file = folder / "replaced" / "file"
    write_bytes(file, hashlib.sha256(b"").digest())
    meeting.both()
    seen = sum(in_processes(3, Replace(file)), Counter[str]())  # type: ignore[arg-type]
    both = seen + Counter(json.loads(meeting.both(json.dumps(seen))))
    return ", ".join(f"{n} {what}" for what, n in sorted(both.items()))


def opened(file: Path) -> int:
    with file.open() as stream:
        return os.fstat(stream.fileno()).st_mtime_ns


SIGHTS: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {  # how one looks, what another changes
    "new name, folder listed": (lambda file: file.name in os.listdir(file.parent), Path.touch),
    "new name, asked for (`exists`)": (Path.exists, Path.touch),
    "new time, opened (`fstat`)": (
        lambda file: opened(file.parent / "file"),
        lambda file: os.utime(file.parent / "file"),
    ),
    "new time, `stat`": (
        lambda file: (file.parent / "file").stat().st_mtime,
        lambda file: os.utime(file.parent / "file"),
    ),
    "new content, read": (
        lambda file: (file.parent / "file").read_text(),
        lambda file: write_text(file.parent / "file", file.name),
    ),
}


def sight(way: str, folder: Path, meeting: Meeting) -> str:
    """How long until the second machine sees what the first did."""
    look, change = SIGHTS[way]
    place = folder / "sights"
    place.mkdir(exist_ok=True)
    (place / "file").touch()
    delays = []
    for round_ in range(N_SIGHTS):
        file = place / f"{list(SIGHTS).index(way)}-{round_}"
        before = look(file)
        meeting.both()
        begun = time.monotonic()
        if meeting.machine == 0:
            change(file)
        while meeting.machine == 1 and look(file) == before and time.monotonic() < begun + SIGHT_WITHIN_S:
            time.sleep(0.01)
        delays.append(float(meeting.from_second(str(time.monotonic() - begun))))
    return f"{sorted(delays)[len(delays) // 2]:.2f} s, at most {max(delays):.2f} s"


def result_after_claim(folder: Path, meeting: Meeting) -> str:
    """Whether a name that was known to be absent is seen, when another has made it, after a new file from here."""
    place = folder / "after"
    place.mkdir(exist_ok=True)
    seen: Counter[str] = Counter()
    for index in range(30):
        result = place / f"{index}.task"
        if meeting.machine == 1:
            result.exists()
        meeting.both()
        if meeting.machine == 0:
            write_bytes(result, b"result")
        meeting.both()
        if meeting.machine == 1:
            seen["before"] += result.exists()
            os.close(os.open(place / f"{index}.0.claim", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            seen["after"] += result.exists()
    seen = Counter(json.loads(meeting.from_second(json.dumps(seen))))
    return f"{seen['after']} of 30 ({seen['before']} before the claim)"


def primitives(folder: Path, meeting: Meeting) -> None:
    tried: dict[str, Callable[[Path, Meeting], str]] = {
        **{way: partial(sight, way) for way in SIGHTS},
        "result of another seen once a claim is made": result_after_claim,
        "exclusive creation": race,
        "replaced while read": replace,
    }
    show(meeting, "| what | found |\n| --- | --- |")
    for what, try_ in tried.items():
        show(meeting, f"| {what} | {try_(folder, meeting)} |")


def show(meeting: Meeting, line: str) -> None:
    if meeting.machine == 0:
        print(line, flush=True)


def worker(made: Recipe, identity: Identity, expires_s: float) -> int:
    """The id of a forked worker; what it dies of is printed."""
    pid = os.fork()
    if pid:
        return pid
    try:
        claimed_work.work(made, identity, expires_s=expires_s)
    except BaseException as error:
        print(f"worker of {platform.node()}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def workers(folder: Path, meeting: Meeting, n: int, *, kill: bool, seconds: float, expires_s: float) -> None:
    """A row of the second table: half of n workers on this machine."""
    scratch = folder / f"{n}{'killed' if kill else ''}-{time.time_ns() if meeting.machine == 0 else 0}"
    if meeting.machine == 0:
        meeting.both(str(scratch))
    else:
        scratch = folder / Path(meeting.both()).name
    os.environ[SCRATCH_VARIABLE] = str(scratch)
    os.chdir(tempfile.mkdtemp())
    claimants.LOG.touch()
    claimants.SECONDS = seconds
    made = claimants.recipe()
    identity = claimed_work.identity_of("kondo_temperatures", made)
    begun = time.monotonic()
    pids = [worker(made, identity, expires_s) for _ in range(n // 2)]
    killed, held = [], []
    tasks = scratch / "benchmark"
    if kill:
        while not tasks.is_dir() or len(list(tasks.glob("*.task"))) < N_SHARDS / 4:
            time.sleep(0.1)
        killed = random.Random(meeting.machine).sample(pids, n // 4)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        for file in tasks.glob("*.claim"):
            try:
                if any(f"{platform.node()}-{pid}-" in file.read_text() for pid in killed):
                    held.append(2 * int(file.name.partition(".")[0]))
            except FileNotFoundError:  # given back
                continue
    ended = Counter(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids)
    seconds_taken = time.monotonic() - begun
    numbers = claimants.LOG.read_text().split()
    mine = {"made": numbers, "held": held, "ended": ended.get(1, 0), "wall": seconds_taken, "killed": len(killed)}
    theirs = json.loads(meeting.both(json.dumps(mine)))
    if meeting.machine == 0:
        times = Counter(int(number) for number in mine["made"] + theirs["made"])  # type: ignore[operator]
        twice = {number for number, count in times.items() if count > 1}
        allowed = set(held + theirs["held"])
        assembly = time.monotonic()
        hash_ = generate_store(claimants.recipe(), Execution(scheduler="serial")).hash
        print(
            f"| {n} | {len(killed) + theirs['killed']} | {max(seconds_taken, theirs['wall']):.1f} | "
            f"{len(numbers)} + {len(theirs['made'])} | {len(allowed)} | {len(twice)} | {len(twice - allowed)} | "
            f"{mine['ended'] + theirs['ended']} | {time.monotonic() - assembly:.1f} | {hash_[:12]} |",  # type: ignore[operator]
            flush=True,
        )
    meeting.both()


def expected_hash() -> str:
    os.environ.pop(SCRATCH_VARIABLE, None)
    os.chdir(tempfile.mkdtemp())
    claimants.SECONDS = 0.0
    return generate_store(claimants.recipe(), Execution(scheduler="serial")).hash


def main() -> None:
    parser = argparse.ArgumentParser(description="Claims on two machines that share a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("machine", type=int, choices=(0, 1))
    parser.add_argument("--only", choices=("primitives", "workers"))
    parser.add_argument("--rows", default="8,20,20k", help="workers; k: half of them are killed")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a shard")
    parser.add_argument("--expires", type=float, default=20.0)
    asked = parser.parse_args()
    claimants.N_SHARDS = N_SHARDS
    folder = asked.folder.resolve()
    meeting = Meeting(folder, asked.machine)
    meeting.both()
    if asked.only != "workers":
        primitives(folder, meeting)
    if asked.only != "primitives":
        if asked.machine == 0:
            print(f"\non a local disk: {expected_hash()[:12]}\n")
            print("| workers | killed | wall [s] | shards made | held by killed | twice | twice, not held | ", end="")
            print("errors | assembly [s] | hash |\n" + "| --- " * 10 + "|", flush=True)
        for row in asked.rows.split(","):
            n, kill = int(row.rstrip("k")), row.endswith("k")
            workers(folder, meeting, n, kill=kill, seconds=asked.seconds, expires_s=asked.expires)


if __name__ == "__main__":
    main()
