"""What directions are worth: HIP-NN, HIP-NN-TS with vectors and with quadrupoles, and ANI on the same few frames.

    python benchmarks/tensor_sensitivity.py --data FOLDER [--work .cache/tensor_sensitivity] [--seed 0]

Acetylacetone at 300 K: FOLDER holds dataset_acac_train_300K.xyz and dataset_acac_test_MD_300K.xyz, gzipped or not, of
github.com/davkovacs/BOTNet-datasets. Defaults of `latentlaw train-potential` but for the epochs, more of them for what
is cheaper; the CPU time that each took is in the table. What WORK holds is not trained again.
"""

import argparse
import json
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

from potential_accuracy import MODULE, import_store

TRAIN, TEST = "acac_train_300K", "acac_test_MD_300K"


@dataclass(frozen=True)
class Network:
    words: tuple[str, ...]
    epochs: int


NETWORKS = {
    "HIP-NN": Network(("hipnn",), 90),
    "HIP-NN-TS, l = 1": Network(("hipnn_ts", "--setting", "l_max=1"), 62),
    "HIP-NN-TS, l = 2": Network(("hipnn_ts", "--setting", "l_max=2"), 55),
    "ANI": Network(("ani",), 60),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy with and without tensor sensitivities.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path(".cache/tensor_sensitivity"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for store in (TRAIN, TEST):
        import_store(store, options.data, options.work, level="acac DFT")
    print("| network | epochs | F RMSE, meV/A | F MAE, meV/A | E RMSE, meV/atom | CPU s |\n|---|---|---|---|---|---|")
    for name, network in NETWORKS.items():
        folder = options.work / f"{'_'.join(network.words).replace('--', '')}_{network.epochs}_{options.seed}"
        if not (folder / "run.json").is_file():
            train(network, options.work, folder, options.seed)
        about, run = (json.loads((folder / file).read_text()) for file in ("potential.json", "run.json"))
        found = about["metrics"][TEST]
        forces = f"{1e3 * found['force_rmse_eV_A']:.1f} | {1e3 * found['force_mae_eV_A']:.1f}"
        print(
            f"| {name} | {network.epochs} | {forces} | {found['energy_rmse_meV_atom']:.2f} | {run['cpu_s']:.0f} |",
            flush=True,
        )


def train(network: Network, work: Path, folder: Path, seed: int) -> None:
    command = [
        *MODULE,
        "pipeline.cli",
        "train-potential",
        "--model",
        *network.words,
        "--store",
        str(work / f"{TRAIN}.zarr"),
    ]
    command += ["--out", str(folder), "--epochs", str(network.epochs), "--seed", str(seed), "--test-fraction", "0"]
    command += ["--test-store", str(work / f"{TEST}.zarr")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    (folder / "run.json").write_text(json.dumps({"cpu_s": seconds, "command": " ".join(command[1:])}))


if __name__ == "__main__":
    main()
