"""What a dataset of spectra costs beside its physics as it grows: to draw, put together, validate, push, open.

    python benchmarks/dataset_size.py [N_SPECTRA ...]      after `latentlaw repro spectra`; prints a table

The shards hold the spectra of data/spectra.zarr again and again, under new numbers: bytes are as they would be, and no
impurity is solved. Every step is a process of its own, by which its CPU time and its largest memory are known.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from pipeline.impurity.spectra import SpectraParams, draw_hamiltonians
from pipeline.runtime.execution import Execution
from pipeline.runtime.kept_results import Arrays, ResultFiles
from pipeline.runtime.params import load_params
from pipeline.runtime.shards import Recipe, generate_store, shards_of
from stores.spectra import SPECTRA
from stores.validate import require_valid
from stores.zarr_store import open_store

SIZES = (1_000, 10_000, 100_000, 600_000)
PER_SHARD = 256  # ten times what params.yaml has: here a shard costs next to nothing
STEPS = ("draw", "shards", "assemble", "validate", "dvc add", "dvc push", "open one row", "read one column")
STORE = Path("data/spectra.zarr")
CLONE = Path(__file__).resolve().parents[1]


def recipe(n_hamiltonians: int) -> Recipe:
    original = open_store(CLONE / STORE)
    return Recipe(
        out=STORE,
        schema=SPECTRA,
        key="benchmark",
        shards=shards_of(range(n_hamiltonians), PER_SHARD),
        solve_shard=partial(repeat, path=CLONE / STORE),
        versions={},
        coordinates={"omega": original["omega"].values},
        attributes={key: str(value) for key, value in original.attrs.items() if key in ("solver", "settings", "seed")},
        unit="Hamiltonians",
    )


@cache
def columns_by_hamiltonian(path: Path) -> list[Arrays]:
    store = open_store(path).load()
    names = [variable.name for variable in SPECTRA.variables]
    store["failure"] = store["failure"].astype(str)
    starts = np.flatnonzero(np.diff(store["hamiltonian"].values, prepend=-1))
    ends = [*starts[1:], store.sizes["sample"]]
    return [{name: store[name].values[start:end] for name in names} for start, end in zip(starts, ends, strict=True)]


def repeat(numbers: Sequence[int], *, path: Path) -> Arrays:
    """Those held out once, then the others again and again: what a store that grows repeats."""
    blocks = columns_by_hamiltonian(path)
    n_held_out = sum(bool(block["held_out"][0]) for block in blocks)
    rows = []
    for number in numbers:
        block = blocks[
            number if number < n_held_out else n_held_out + (number - n_held_out) % (len(blocks) - n_held_out)
        ]
        rows.append(block | {"hamiltonian": np.full_like(block["hamiltonian"], number)})
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def step(name: str, n_hamiltonians: int) -> None:
    if name == "draw":
        os.chdir(CLONE)
        params = replace(load_params(SpectraParams, "spectra"), n_hamiltonians=n_hamiltonians)
        draw_hamiltonians(params)
    elif name == "shards":
        made = recipe(n_hamiltonians)
        kept = ResultFiles(made.scratch())
        for name, items in made.items.items():
            if not kept.exists(name):
                kept.write(name, made.solve_shard(items))
    elif name == "assemble":
        generate_store(recipe(n_hamiltonians), Execution(scheduler="serial"))
    elif name == "validate":
        require_valid(STORE, SPECTRA)
    elif name == "dvc add":
        dvc("add", "--quiet", str(STORE))
    elif name == "dvc push":
        dvc("push", "--quiet")
    elif name == "open one row":
        store = open_store(STORE, SPECTRA)
        store["spectrum"][store.sizes["sample"] // 2].values  # noqa: B018 - reading is what is measured
    elif name == "read one column":
        open_store(STORE, SPECTRA)["kondo_temperature"].values  # noqa: B018


def dvc(*words: str) -> None:
    from dvc.cli import main as dvc_main

    if dvc_main(list(words)):
        raise SystemExit(f"dvc {' '.join(words)} failed")


def measured(name: str, n_hamiltonians: int, folder: Path) -> tuple[float, float]:
    """CPU [s] without that of imports, largest memory [MB] of a step."""
    environment = os.environ | {"PYTHONPATH": str(CLONE), "LATENTLAW_SCRATCH": str(folder / "scratch")}
    command = [sys.executable, str(Path(__file__).resolve()), "--step", name, str(n_hamiltonians)]
    subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
    cpu_s, memory_kb = (folder / "figures").read_text().split()
    return float(cpu_s), float(memory_kb) / 1024


def largest_memory_kb() -> int:
    """Of this process; getrusage would also count what started it."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


def main() -> None:
    if sys.argv[1:2] == ["--step"]:
        folder, before = Path.cwd(), time.process_time()
        step(sys.argv[2], int(sys.argv[3]))
        (folder / "figures").write_text(f"{time.process_time() - before} {largest_memory_kb()}")
        return
    n_rows, n_blocks = open_store(CLONE / STORE).sizes["sample"], len(columns_by_hamiltonian(CLONE / STORE))
    print("| spectra | MB | " + " | ".join(f"{name}: CPU s, MB of memory" for name in STEPS) + " |")
    print("|---" * (len(STEPS) + 2) + "|", flush=True)
    for n_spectra in [int(word) for word in sys.argv[1:]] or SIZES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
                subprocess.run(command, cwd=folder, check=True)
            add = ["remote", "add", "--quiet", "--default", "here", str(folder / "remote")]
            subprocess.run([sys.executable, "-m", "dvc", *add], cwd=folder, check=True)
            figures = [measured(name, n_spectra * n_blocks // n_rows, folder) for name in STEPS]
            size = sum(file.stat().st_size for file in (folder / STORE).rglob("*") if file.is_file())
            rows = open_store(folder / STORE).sizes["sample"]
        cells = [f"{cpu_s:.1f}, {memory_mb:.0f}" for cpu_s, memory_mb in figures]
        print(f"| {rows} | {size / 1e6:.1f} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
