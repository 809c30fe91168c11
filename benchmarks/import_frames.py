"""Memory and speed of importing extended XYZ, by the number of frames.

    PYTHONPATH=. python benchmarks/import_frames.py [N_FRAMES ...]         prints a table, a process for each row
    PYTHONPATH=. python benchmarks/import_frames.py --row IMPORT FILE      one row, in this process

Frames are ethanol (9 atoms) with random displacements, energy and forces of springs between all atoms, from which the
file is written without ASE. A file is read by ASE alone first, the floor of the time: import parses by it too.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase.build import molecule

from stores.importers import label_store
from stores.importers.extxyz import FrameKeys, read_extxyz
from stores.importers.label_store import store_reading
from stores.importers.labelled import LabelSettings

SIZES = (10_000, 100_000, 1_000_000)
SPRING_EV_A2 = 5.0
TOTAL_EV = -4200.0
AT_ONCE = 1000
MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="*", default=SIZES, metavar="N_FRAMES")
    parser.add_argument("--row", nargs=2, metavar=("PART", "FILE"))
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(ROWS[arguments.row[0]](Path(arguments.row[1]))))
        return
    print("| frames | file MB | ASE alone s | import s | reading | survey | writing | frames/s | peak MiB | store MB |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for n_frames in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "frames.xyz"
            write_frames(file, n_frames)
            floor, row = (_in_a_process(part, file) for part in ("ase", "import"))
            parts = " | ".join(f"{row[name]:.0f}" for name in ("import", "read", "survey", "write"))
            store = sum(path.stat().st_size for path in file.with_suffix(".zarr").rglob("*") if path.is_file())
            print(
                f"| {n_frames:,} | {file.stat().st_size / 1e6:.0f} | {floor['ase']:.0f} | {parts} | "
                f"{n_frames / row['import']:.0f} | {row['peak'] / MIB:.0f} | {store / 1e6:.0f} |",
                flush=True,
            )


def write_frames(file: Path, n_frames: int) -> None:
    """Frames that the import takes: forces are the gradient of the energy, and add up to nothing."""
    ethanol = molecule("CH3CH2OH")
    rest, diagonal, n_atoms = ethanol.get_all_distances(), np.eye(len(ethanol)), len(ethanol)
    lines = [f"{n_atoms}", 'Properties=species:S:1:pos:R:3:REF_forces:R:3 REF_energy=%.8f pbc="F F F"']
    lines += [symbol + 6 * " %.8f" for symbol in ethanol.get_chemical_symbols()]
    template, rng = "\n".join([*lines, ""]), np.random.default_rng(0)
    with file.open("w") as stream:
        for start in range(0, n_frames, AT_ONCE):
            n = min(AT_ONCE, n_frames - start)
            positions = ethanol.positions + rng.normal(size=(n, n_atoms, 3)) * 0.05
            apart = positions[:, None] - positions[:, :, None]
            now = np.linalg.norm(apart, axis=3) + diagonal
            stretch = now - rest - diagonal
            forces = 2 * SPRING_EV_A2 * ((stretch / now)[..., None] * apart).sum(axis=2)
            energy = TOTAL_EV + SPRING_EV_A2 * (stretch**2).sum(axis=(1, 2)) / 2
            atoms = np.concatenate([positions, forces], axis=2).reshape(n, -1)
            for values in np.column_stack([energy, atoms]).tolist():
                stream.write(template % tuple(values))


def _in_a_process(part: str, file: Path) -> dict[str, float]:
    words = [sys.executable, __file__, "--row", part, str(file)]
    row: dict[str, float] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return row


def _ase_alone(file: Path) -> dict[str, float]:
    from ase.io import iread

    began = time.process_time()
    for _ in iread(file, index=":", format="extxyz"):
        pass
    return {"ase": time.process_time() - began}


def _import(file: Path) -> dict[str, float]:
    """CPU seconds: of reading into blocks, of the survey, of all, and the largest resident set [bytes]."""
    spent = dict.fromkeys(("survey", "write"), 0.0)
    label_store.survey_of = _timed(label_store.survey_of, spent, "survey")
    label_store.write_parts = _timed(label_store.write_parts, spent, "write")
    began = time.process_time()
    reading = read_extxyz([file], FrameKeys())
    read = time.process_time() - began
    store_reading(reading, file.with_suffix(".zarr"), LabelSettings(level="springs", units="eV"))
    whole = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"import": whole, "read": read, "peak": peak, **spent}


def _timed(function: Callable[..., Any], spent: dict[str, float], name: str) -> Callable[..., Any]:
    def timed(*arguments: object, **named: object) -> object:
        began = time.process_time()
        result = function(*arguments, **named)
        spent[name] += time.process_time() - began
        return result

    return timed


ROWS = {"ase": _ase_alone, "import": _import}

if __name__ == "__main__":
    main()
