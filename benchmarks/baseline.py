"""What a baseline is worth: acetylacetone from 100 DFT frames, with GFN1-xTB beneath the network and without.

    python benchmarks/baseline.py --data FOLDER [--work .cache/baseline_benchmark] [--only hipnn ...]

FOLDER holds the extended XYZ files of github.com/davkovacs/BOTNet-datasets, as they are or gzipped: training frames
from dynamics at 300 K, tests from other trajectories at 300 K and 600 K. Both trainings have the same network, frames,
split, seed, settings and number of epochs, so the network costs the same; labels by xTB come on top, once. One seed
each. What WORK holds is not trained again; the table is written beside this file.
"""

import argparse
import datetime
import gzip
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

EPOCHS = {"hipnn": 150, "ani": 100}
TRAIN, TESTS = "acac_train_300K", ("acac_test_MD_300K", "acac_test_MD_600K")
N_TRAIN, N_ATOMS = 100, 15
BASELINE = ["--baseline", "tblite.ase:TBLite", "--baseline-args", '{"method": "GFN1-xTB"}']
COMMAND = [sys.executable, "-m", "pipeline.cli"]
HEAD = """# What a baseline is worth

`python benchmarks/baseline.py --data FOLDER`, {date}, one thread of a machine with other work. Acetylacetone, DFT
labels of github.com/davkovacs/BOTNet-datasets; {n} training frames of dynamics at 300 K, defaults of
`latentlaw train-potential` but for the epochs, **one seed each**: how far other seeds differ was not measured. E is the
total energy of a molecule [meV], F force components [meV/A], root mean squares on trajectories that no training saw.
CPU seconds of the whole command; the first with a baseline also computes xTB of all {all} frames, the next finds it.

| network | epochs | baseline | tested at | E RMSE | F RMSE | F RMSE of the baseline alone | CPU s |
|---|---|---|---|---|---|---|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Potentials with and without a baseline.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path(".cache/baseline_benchmark"))
    parser.add_argument("--only", nargs="*", default=list(EPOCHS), choices=list(EPOCHS))
    options = parser.parse_args()
    for name in (TRAIN, *TESTS):
        import_store(name, options.data, options.work)
    for model in options.only:
        for beneath in (False, True):
            train(model, beneath, options.work)
    write_table(options.work)


def import_store(name: str, data: Path, work: Path) -> None:
    store, plain = work / f"{name}.zarr", work / f"{name}.xyz"
    if store.exists():
        return
    work.mkdir(parents=True, exist_ok=True)
    packed = data / f"dataset_{name}.xyz.gz"
    plain.write_bytes(gzip.decompress(packed.read_bytes()) if packed.is_file() else packed.with_suffix("").read_bytes())
    keys = ["--energy-key", "energy", "--force-key", "forces", "--units", "eV", "--level", "acac DFT"]
    subprocess.run([*COMMAND, "import-dataset", "extxyz", str(plain), "--out", str(store), *keys], check=True)


def train(model: str, beneath: bool, work: Path) -> None:
    out = folder(model, beneath, work)
    if (out / "potential.json").is_file():
        return
    command = [*COMMAND, "train-potential", "--store", str(work / f"{TRAIN}.zarr"), "--model", model, "--out", str(out)]
    command += ["--epochs", str(EPOCHS[model]), "--n-train", str(N_TRAIN), "--test-fraction", "0"]
    command += [word for name in TESTS for word in ("--test-store", str(work / f"{name}.zarr"))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    environment = os.environ | {"OMP_NUM_THREADS": "1", "LATENTLAW_SCHEDULER": "serial"}
    subprocess.run([*command, *(BASELINE if beneath else [])], check=True, env=environment)
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    (work / f"{out.name}.cpu.json").write_text(json.dumps(seconds))


def folder(model: str, beneath: bool, work: Path) -> Path:
    return work / f"{model}_{'xtb' if beneath else 'alone'}"


def write_table(work: Path) -> None:
    rows, n_frames = [], 0
    for model in EPOCHS:
        for beneath in (False, True):
            out = folder(model, beneath, work)
            if not (out / "potential.json").is_file():
                continue
            about = json.loads((out / "potential.json").read_text())
            metrics = about["metrics"]
            n_frames = metrics["n_train"] + metrics["n_validation"]
            cpu = json.loads((work / f"{out.name}.cpu.json").read_text())
            for name in TESTS:
                found = metrics[name]
                alone = f"{1e3 * found['force_rms_eV_A']:.0f}" if beneath else ""
                rows.append(
                    f"| {model} | {about['settings']['max_epochs']} | {'GFN1-xTB' if beneath else 'none'} | "
                    f"{name.rpartition('_')[2]} | {N_ATOMS * found['energy_rmse_meV_atom']:.1f} | "
                    f"{1e3 * found['force_rmse_eV_A']:.1f} | {alone} | {cpu:.0f} |"
                )
    head = HEAD.format(date=datetime.datetime.now(tz=datetime.UTC).date(), n=N_TRAIN, all=n_frames + 1300)
    Path(__file__).with_suffix(".md").write_text(head + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
