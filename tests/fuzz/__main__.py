"""Feed broken and hostile files to every reader: python -m tests.fuzz --minutes 5 [--kind extxyz] [--seed 0]

Every input is a sound file of its kind with something wrong in it, or made to do harm. The table says per kind how many
were tried, read, refused with an explanation, and how many crashed the reader (tests/fuzz/trial.py says what counts).
Crashing inputs are kept under --keep, with the command that reads one again. Inputs depend on seed, kind and number
alone. Exits 1 where something crashed.
"""

import argparse
import contextlib
import io
import itertools
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.kinds import KINDS, make_input, make_seeds
from tests.fuzz.trial import Result, results

BATCH = 20
MOST_KEPT = 20  # crashing inputs of one kind


def main() -> int:
    options = _options()
    options.keep.mkdir(parents=True, exist_ok=True)
    kinds = options.kind or list(KINDS)
    if options.input:
        return _again(options.input, kinds)
    print(f"{'kind':<16} {'tried':>7} {'read':>7} {'refused':>7} {'crashes':>7}", flush=True)
    total = Counter[str]()
    for name in kinds:
        total += _fuzz(name, options, 60 * options.minutes / len(kinds))
    print(_line("all", total))
    return int(total["crash"] > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="in all, shared by the kinds (default 5)")
    parser.add_argument("--inputs", type=int, help="this many per kind instead, however long it takes")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="may be repeated (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--keep", type=Path, default=Path(".cache/fuzz"), help="folder for crashing inputs")
    parser.add_argument("--input", type=Path, help="read this kept folder again, of the one --kind")
    options = parser.parse_args()
    if options.input and len(options.kind or []) != 1:
        parser.error("--input: expected one --kind")
    return options


def _fuzz(name: str, options: argparse.Namespace, seconds: float) -> "Counter[str]":
    counts, kinds_of_crash = Counter[str](), dict[str, Result]()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        seeds = Path(folder) / "seeds"

        make_seeds(name, seeds)
        _require_sound(name, seeds, Path(folder) / "sound")

        end = time.monotonic() + seconds

        def prepare(number: int, into: Path) -> None:
            make_input(name, seeds, options.seed, number, into)

        for start in itertools.count(options.first, BATCH):
            stop = start + BATCH if options.inputs is None else min(start + BATCH, options.first + options.inputs)
            if start >= stop or (options.inputs is None and time.monotonic() > end):
                break
            for result in results(range(start, stop), prepare, KINDS[name].read, Path(folder) / "work"):
                counts[result.outcome] += 1
                if result.outcome == "crash" and counts["crash"] <= MOST_KEPT:
                    _keep(name, options, result, seeds, kinds_of_crash)
    print(_line(name, counts), flush=True)
    for problem, result in kinds_of_crash.items():
        kept = options.keep / f"{name}-{options.seed}-{result.number}"
        print(f"  {problem[:300]}\n    again: python -m tests.fuzz --kind {name} --input {kept}", flush=True)
    return counts


def _require_sound(name: str, seeds: Path, out: Path) -> None:
    """Every seed is read; that also imports what readers need, before they are watched."""
    for seed in sorted(seeds.iterdir()):
        (out / seed.name).mkdir(parents=True)
        with contextlib.redirect_stdout(io.StringIO()):
            KINDS[name].read(seed, out / seed.name)


def _keep(name: str, options: argparse.Namespace, result: Result, seeds: Path, known: dict[str, Result]) -> None:
    folder = options.keep / f"{name}-{options.seed}-{result.number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make_input(name, seeds, options.seed, result.number, folder)
    folder.with_suffix(".txt").write_text(f"{result.problem}\n{result.trace}", errors="backslashreplace")
    known.setdefault(result.problem, result)


def _line(name: str, counts: "Counter[str]") -> str:
    return f"{name:<16} {counts.total():>7} {counts['read']:>7} {counts['refused']:>7} {counts['crash']:>7}"


def _again(kept: Path, kinds: list[str]) -> int:
    def prepare(number: int, into: Path) -> None:
        shutil.copytree(kept, into, symlinks=True, dirs_exist_ok=True)

    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        (result,) = results([0], prepare, KINDS[kinds[0]].read, Path(folder) / "work")
    print(f"{result.outcome}: {result.problem}\n{result.trace}")
    return int(result.outcome == "crash")


if __name__ == "__main__":
    sys.exit(main())
