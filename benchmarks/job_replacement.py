"""What the end of jobs and of the driver costs: a generation on SLURM, undisturbed and disturbed in three ways.

    python benchmarks/job_replacement.py        root; apt-get install slurmctld slurmd slurm-client munge; 15 minutes

Forty shards that take 15 s each, made and put into a store by the pipeline's own code, on two jobs of one worker, on a
SLURM of this machine: ten minutes of work for five minutes of two jobs. The cases run beside each other; the tasks only
wait. Prints a table: time, jobs, and whether the store has the hash of one that was made without workers.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from pipeline.runtime.execution import Execution, load_execution  # noqa: E402
from pipeline.runtime.shards import generate_store, shards_of  # noqa: E402
from tests.pipeline.runtime import slurm_daemons  # noqa: E402
from tests.pipeline.runtime.test_shards import recipe, solve  # noqa: E402

N_SHARDS, SHARD_S = 40, 15.0
SHARDS = shards_of(range(2 * N_SHARDS), 2)
LOCAL = 'scheduler: slurm\nworkers: 2\njobs: {{memory: 500MB, walltime: "{walltime}"}}\n'
CASES = {
    "undisturbed": "01:00:00",
    "walltime of one minute": "00:01:00",
    "every job cancelled five times": "01:00:00",
    "driver killed in the middle": "01:00:00",
}


def slow(numbers):  # noqa: ANN001, ANN201
    time.sleep(SHARD_S)
    return solve(numbers)


def main() -> None:
    if reason := slurm_daemons.missing():
        sys.exit(f"job_replacement: {reason}")
    with tempfile.TemporaryDirectory() as scratch, slurm_daemons.slurm(Path(scratch) / "slurm") as variables:
        os.environ.update(variables | {"PYTHONPATH": str(ROOT)})
        folders = [Path(scratch) / f"case{number}" for number in range(len(CASES))]
        (Path(scratch) / "plain").mkdir()
        os.chdir(Path(scratch) / "plain")
        expected = generate_store(recipe(shards=SHARDS), Execution(scheduler="serial")).hash
        os.chdir(ROOT)
        rows: dict[str, str] = {}
        threads = [
            threading.Thread(target=lambda name=name, folder=folder: rows.update({name: case(name, folder, expected)}))
            for name, folder in zip(CASES, folders, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        version = subprocess.run(["sinfo", "--version"], capture_output=True, text=True, check=True).stdout
    print(f"{date.today()}, {version.strip()}, {N_SHARDS} shards of {SHARD_S:g} s, two jobs of one worker\n")
    print("| run | time [s] | jobs | of them ended early | hash of the store |\n|---|---|---|---|---|")
    for name in CASES:
        print(rows[name])


def case(name: str, folder: Path, expected: str) -> str:
    """A row of the table: one generation in a folder of its own, disturbed as its name says."""
    folder.mkdir()
    (folder / "local.yaml").write_text(LOCAL.format(walltime=CASES[name]))
    start = time.monotonic()
    driver = drive(folder)
    numbers: set[str] = set()
    n_rounds = 5 if "cancelled" in name else 0
    while driver.poll() is None:
        time.sleep(1)
        current = numbers_of(folder)
        numbers |= current
        n_finished = len(list(folder.glob(".cache/generation/test/*.task")))
        if n_rounds and n_finished >= 6 * (6 - n_rounds) and (jobs := running(current)):
            subprocess.run(["scancel", *jobs], check=True)
            n_rounds -= 1
        if name.startswith("driver") and n_finished >= N_SHARDS // 2:
            name = ""
            driver.send_signal(signal.SIGKILL)
            driver.wait()
            driver = drive(folder)
    seconds = time.monotonic() - start
    log = (folder / "log").read_text()
    n_ended = sum(len(re.findall(r"\d+ [A-Z_]+", line)) for line in re.findall("jobs ended: ([^;]*);", log))
    same = "the same" if f"hash {expected}" in log else "DIFFERS"
    print(f"{folder.name}:\n{log}", file=sys.stderr)
    title = list(CASES)[int(folder.name.removeprefix("case"))]
    return f"| {title} | {seconds:.0f} | {len(numbers)} | {n_ended} | {same} |"


def drive(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(Path(__file__).absolute()), "--drive"]
    return subprocess.Popen(command, cwd=folder, stdout=(folder / "log").open("ab"), stderr=subprocess.STDOUT)


def numbers_of(folder: Path) -> set[str]:
    """Of the jobs that the driver submitted."""
    files = list(folder.glob(".cache/jobs/drivers/*/numbers"))
    return {line.split()[1] for file in files for line in file.read_text().splitlines()}


def running(numbers: set[str]) -> list[str]:
    command = ["squeue", "--noheader", "--states=running", "--format=%i"]
    return sorted(numbers & set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drive", action="store_true", help="the generation itself, in this folder")
    if parser.parse_args().drive:
        print("hash", generate_store(recipe(shards=SHARDS, solve_shard=slow), load_execution()).hash, flush=True)
    else:
        main()
