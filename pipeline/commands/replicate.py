"""Measure the claims again on fresh seeds: reports/metrics/replication.json, and a table on the terminal.

The protocol (profiles/replication/protocol.yaml) fixes the seeds and the boxes; what runs is params.yaml as committed
or as a profile wrote it. Every data seed is finished before the next begins, and the file is written after each: a
stopped run goes on where it was, and what it has so far can be read. The file holds the lanes and boxes that were asked
for and no others; those that are finished cost next to nothing to ask for again.

What each data seed gave stands in reports/metrics/replication/. With --only, data seeds are divided among machines;
with their files together in one clone, the command without --only makes the table and runs nothing.
"""

import signal
import subprocess
import sys
from pathlib import Path

from pipeline.commands.options.clone import ReplicateOptions
from pipeline.runtime.check_params import wrong_params
from pipeline.runtime.protocol import read_protocol
from pipeline.runtime.replication import differs, measure, replicated_lanes, replication_metrics
from pipeline.runtime.replication_records import Claim, Measurement

__all__ = ["main"]


def main(options: ReplicateOptions) -> int:
    if not Path("dvc.yaml").is_file():
        print(f"replicate: found no dvc.yaml in {Path.cwd()}; expected the top folder of the clone", file=sys.stderr)
        return 1
    protocol = read_protocol()
    lanes, boxes = replicated_lanes(), list(protocol.boxes)
    problems = [
        wrong_params(Path.cwd()),
        *_unknown("lane", options.lanes, list(lanes)),
        *_unknown("box", options.boxes, boxes),
    ]
    if any(problems):
        print("\n".join(filter(None, problems)), file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the stage that runs ends with this command
    seeds = protocol.data_seeds(options.seeds)
    trainings = list(protocol.training_seeds)
    protocol.require_evaluation({f"seed {seed}": seed for seed in (*seeds, *trainings)})
    if others := [seed for seed in options.only if seed not in seeds]:
        print(f"replicate: --only: found {others[0]}, expected one of the data seeds {seeds}", file=sys.stderr)
        return 1
    base = Path("params.yaml").read_text()
    measurements: list[Measurement] = []
    for seed in options.only or seeds:  # the outer loop, so that all claims have as many seeds when the run is stopped
        for box in options.boxes or boxes:
            for name in filter(lambda lane: differs(lane, protocol.boxes[box]), options.lanes or lanes):
                print(f"replicate: {name}, box {box}, data seed {seed}", flush=True)
                try:
                    measurements.append(measure(name, box, protocol.boxes[box], seed, trainings, base=base))
                except subprocess.CalledProcessError as error:
                    print(
                        f"replicate: {' '.join(error.cmd[1:])} ended with status {error.returncode}, its reason stands "
                        "above; what was finished is kept: run the same command again to go on",
                        file=sys.stderr,
                    )
                    return 1
        if not options.only:
            _write(measurements, seed, seeds, trainings)
    if not options.only:
        print(*table(replication_metrics(measurements, seeds, trainings).claims), sep="\n")
    return 0


def table(claims: list[Claim]) -> list[str]:
    """One line a claim."""
    return [
        f"{one.box:>8}  {one.claim:32} {_number(one.value)} [{_number(one.low)}, {_number(one.high)}]"
        f"  {one.n_data_seeds} data seeds, {one.n_trainings} values"
        + (f"; {one.baseline} {_number(one.baseline_value)}" if one.baseline else "")
        for one in claims
    ]


def _write(measurements: list[Measurement], last: int, seeds: list[int], trainings: list[int]) -> None:
    done = seeds[: seeds.index(last) + 1]
    replication_metrics(measurements, done, trainings).write()


def _unknown(what: str, given: list[str], known: list[str]) -> list[str]:
    return [f"--{what}: found {name!r}, expected one of {known}" for name in given if name not in known]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
