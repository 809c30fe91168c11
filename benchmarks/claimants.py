"""How well 1, 8 and 100 workers share out shards through files, and what a claim costs.

    python benchmarks/claimants.py            minutes; prints the table of claimants.md

The shards sleep, so that a hundred workers find room on few cores: what remains is the cost of claiming. Workers are
forked from one process that has all modules. In the last row half of them are killed (`kill -9`) on the way.
"""

import os
import random
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.runtime.claimed_work import identity_of, work
from pipeline.runtime.claims import Identity
from pipeline.runtime.execution import Execution
from pipeline.runtime.kept_results import Arrays
from pipeline.runtime.shards import Recipe, generate_store, shards_of
from stores.kondo_temperatures import KONDO_TEMPERATURES
from stores.outcome import OK

N_SHARDS, SECONDS = 400, 0.25
LOG = Path("made")


def solve(numbers: Sequence[int]) -> Arrays:
    descriptor = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{numbers[0]}\n".encode())
    os.close(descriptor)
    time.sleep(SECONDS)
    values = np.array(numbers, dtype=float)
    return {
        "interaction": 0.1 + values,
        "hybridization": 0.01 + values,
        "level": np.full(values.size, -0.05),
        "kondo_temperature": np.full(values.size, 1e-3),
        "kondo_temperature_error": np.full(values.size, 1e-6),
        "status": np.full(values.size, OK, dtype=np.int8),
        "failure": np.full(values.size, ""),
    }


def recipe() -> Recipe:
    return Recipe(
        out=Path("data/kondo_temperatures.zarr"),
        schema=KONDO_TEMPERATURES,
        key="benchmark",
        shards=shards_of(range(2 * N_SHARDS), 2),
        solve_shard=solve,
        versions={},
        coordinates={},
        attributes={"solver": "none", "settings": "{}"},
        unit="Hamiltonians",
    )


def fork(made: Recipe, identity: Identity) -> int:
    pid = os.fork()
    if pid:
        return pid
    work(made, identity, expires_s=20.0)
    os._exit(0)


def measure(n_workers: int, *, n_killed: int = 0) -> None:
    made = recipe()
    identity = identity_of("kondo_temperatures", made)
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    workers = [fork(made, identity) for _ in range(n_workers)]
    if n_killed:
        while len(list(Path(".cache/generation/benchmark").glob("*.task"))) < N_SHARDS / 4:
            time.sleep(0.05)
        for pid in random.Random(0).sample(workers, n_killed):
            os.kill(pid, signal.SIGKILL)
    for pid in workers:
        os.waitpid(pid, 0)
    seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    twice = sum(n - 1 for n in Counter(LOG.read_text().split()).values())
    begun = time.monotonic()
    hash_ = generate_store(recipe(), Execution(scheduler="serial")).hash
    assembly_s = time.monotonic() - begun
    floor_s = N_SHARDS * SECONDS / (n_workers - n_killed)
    print(
        f"| {n_workers} | {n_killed} | {seconds:.1f} | {floor_s:.1f} | {1e3 * cpu_s / N_SHARDS:.1f} | {twice} | "
        f"{assembly_s:.1f} | {hash_[:12]} |",
        flush=True,
    )


def main() -> None:
    print("| workers | killed | wall [s] | sleep alone [s] | CPU per shard [ms] | made twice | assembly [s] | hash |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for n_workers, n_killed in ((1, 0), (8, 0), (100, 0), (100, 50)):
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        measure(n_workers, n_killed=n_killed)
        os.chdir("/")
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
