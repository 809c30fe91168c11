"""Accuracy on published DFT data: 3BPA, acetylacetone and ethanol, trained by the commands that users have.

    python benchmarks/potential_accuracy.py --data FOLDER [--work .cache/accuracy] [--only acac_ani ...]

FOLDER holds the extended XYZ files of github.com/davkovacs/BOTNet-datasets, as they are or gzipped. What WORK holds
already is not trained again, so the table grows run by run; it is written beside this file. Root mean square errors, of
total energies and of force components, as the papers of these data give them.
"""

import argparse
import gzip
import json
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One data set: what is trained on, what is tested, and how many atoms its molecule has."""

    train: str
    tests: tuple[str, ...]
    n_atoms: int
    epochs: dict[str, int]


CASES = {
    "acac": Case("acac_train_300K", ("acac_test_MD_300K", "acac_test_MD_600K"), 15, {"hipnn": 60, "ani": 40}),
    "3bpa": Case("3BPA_train_300K", ("3BPA_train_mixedT",), 27, {"hipnn": 40, "ani": 30}),
    "ethanol": Case("ethanol_train", ("ethanol_test_MD",), 9, {"hipnn": 40, "ani": 30}),
}
MODULE = [sys.executable, "-m"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy of potentials on published DFT data.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path(".cache/accuracy"))
    parser.add_argument("--only", nargs="*", help="such as acac_ani; nothing: only write the table")
    options = parser.parse_args()
    names = [f"{case}_{model}" for case in CASES for model in ("hipnn", "ani")]
    for name in names if options.only is None else options.only:
        if not (options.work / name / "potential.json").is_file():
            train(name, options.data, options.work)
    write_table(names, options.work)


def train(name: str, data: Path, work: Path) -> None:
    key, _, model = name.rpartition("_")
    case = CASES[key]
    for store in (case.train, *case.tests):
        import_store(store, data, work, level=f"{key} DFT")
    command = [
        *MODULE,
        "pipeline.cli",
        "train-potential",
        "--store",
        str(work / f"{case.train}.zarr"),
        "--model",
        model,
    ]
    command += ["--out", str(work / name), "--epochs", str(case.epochs[model]), "--test-fraction", "0"]
    command += ["--validation-fraction", "0.1", *(["--cutoff", "5"] if model == "hipnn" else [])]
    command += [word for store in case.tests for word in ("--test-store", str(work / f"{store}.zarr"))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(command, check=True)
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    (work / name / "run.json").write_text(json.dumps({"cpu_s": seconds, "command": " ".join(command[1:])}))


def import_store(name: str, data: Path, work: Path, level: str) -> None:
    store = work / f"{name}.zarr"
    if store.exists():
        return
    plain = work / f"dataset_{name}.xyz"
    plain.parent.mkdir(parents=True, exist_ok=True)
    packed = data / f"dataset_{name}.xyz.gz"
    if packed.is_file():
        with gzip.open(packed, "rb") as source, plain.open("wb") as target:
            shutil.copyfileobj(source, target)
    else:
        shutil.copy(data / plain.name, plain)
    keys = ["--energy-key", "energy", "--force-key", "forces", "--units", "eV", "--level", level]
    subprocess.run(
        [*MODULE, "pipeline.cli", "import-dataset", "extxyz", str(plain), "--out", str(store), *keys], check=True
    )


def write_table(names: list[str], work: Path) -> None:
    rows = []
    for name in names:
        if not (work / name / "potential.json").is_file():
            continue
        key, _, model = name.rpartition("_")
        about = json.loads((work / name / "potential.json").read_text())
        run = work / name / "run.json"
        cpu = f"{json.loads(run.read_text())['cpu_s']:.0f}" if run.is_file() else ""
        for test in CASES[key].tests:
            found = next(v for k, v in about["metrics"].items() if k.removeprefix("dataset_") == test)
            energy = found["energy_rmse_meV_atom"] * CASES[key].n_atoms
            rows.append(
                f"| {CASES[key].train} | {test} | {model} | {about['metrics']['n_train']} | "
                f"{about['settings']['max_epochs']} | {energy:.1f} | {1e3 * found['force_rmse_eV_A']:.1f} | "
                f"{1e3 * found['force_mae_eV_A']:.1f} | {1e3 * found['force_rms_eV_A']:.0f} | {cpu} |"
            )
    head = [
        "# Accuracy on published DFT data",
        "",
        "`python benchmarks/potential_accuracy.py --data FOLDER`; one network each, no ensemble, defaults of",
        "`latentlaw train-potential`. E is the total energy of a molecule [meV], F force components [meV/A].",
        "`force rms` is what predicting no forces at all would give. CPU seconds of one core, import included.",
        "",
        "| trained on | tested on | model | n train | epochs | E RMSE | F RMSE | F MAE | force rms | CPU s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    Path(__file__).with_suffix(".md").write_text("\n".join([*head, *rows]) + "\n")


if __name__ == "__main__":
    main()
