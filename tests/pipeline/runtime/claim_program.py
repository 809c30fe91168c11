"""Workers in processes of their own, forked from one that has all modules: a hundred of them begin within a second.

    python claim_program.py N_WORKERS EXPIRES_S            in the folder where the scratch is

A line of `made` for each shard that a worker begins, and one of `pids` for each worker.
"""

import os
import signal
import sys
import time

from pipeline.runtime.claimed_work import identity_of, work
from tests.pipeline.runtime.test_shards import recipe, solve

SECONDS = float(os.environ.get("SECONDS_OF_A_SHARD", "0.02"))
DEADLY = int(os.environ.get("DEADLY_SHARD", "-1"))


def logged(numbers):
    append("made", f"{numbers[0]} {os.getpid()}")
    if numbers[0] == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(SECONDS)
    return solve(numbers)


def append(file, line):
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def main(n_workers, expires_s):
    made = recipe(solve_shard=logged)
    identity = identity_of("kondo_temperatures", made)
    workers = {fork(made, identity, expires_s) for _ in range(n_workers)}
    while workers:
        pid, status = os.wait()
        workers.remove(pid)
        if os.WIFSIGNALED(status) and os.environ.get("REPLACED"):
            workers.add(fork(made, identity, expires_s))


def fork(made, identity, expires_s):
    pid = os.fork()
    if pid:
        append("pids", str(pid))
        return pid
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        work(made, identity, expires_s=expires_s)
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
