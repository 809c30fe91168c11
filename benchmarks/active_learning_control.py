"""Active against random selection over many seeds: the control of stage `active_learning` and nothing else.

    PYTHONPATH=. python benchmarks/active_learning_control.py FOLDER [--seeds 16] [--out FILE.md]

The default's control has five seeds, on which its settings were chosen; the others here are new. About 40 CPU seconds
a seed. Interrupted, it goes on where it was; LATENTLAW_WORKERS says how many processes.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ruamel.yaml import YAML
from scipy.stats import t as student

ROOT = Path(__file__).resolve().parents[1]
CHOSEN_ON = 5  # seeds of the default control


def main() -> None:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    write_params(arguments.folder, arguments.seeds)
    environment = {"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-m", "pipeline.atoms.active_learning"], cwd=arguments.folder, env=environment, check=True
    )
    text = report(arguments.folder, arguments.seeds)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


def write_params(folder: Path, n_seeds: int) -> None:
    """The default section, its own loop as short as can be and with the control's oracle."""
    yaml = YAML()
    section = yaml.load((ROOT / "params.yaml").read_text())["active_learning"]
    section["control"]["n_seeds"] = n_seeds
    section["engine"] = section["driver"] = section["control"]["engine"]
    section["random_control"] = False
    section["rounds"]["n_rounds"] = 1
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "params.yaml").open("w") as stream:
        yaml.dump({"active_learning": section}, stream)


def report(folder: Path, n_seeds: int) -> str:
    """Tables in Markdown."""
    lanes = json.loads((folder / "reports/details/active_learning.json").read_text())["oracle_control"]

    def rounds(arm: str, name: str) -> Any:  # noqa: ANN401 - (seeds, rounds)
        return np.array([[r[name] for r in lanes[f"{arm}_{seed}"]["rounds"]] for seed in range(n_seeds)])

    labels = rounds("active", "n_labels").mean(axis=0)
    lines = [
        f"# Active against random selection, {n_seeds} seeds",
        "",
        f"`PYTHONPATH=. python benchmarks/active_learning_control.py FOLDER --seeds {n_seeds}`, "
        f"{datetime.date.today()}, torch {torch.__version__}. Labels by EMT (ASE); geometric means over seeds of the "
        "errors on the frozen test set.",
        "",
        "| labels | force RMSE, active, eV/A | random | energy RMSE, active, meV/atom | random |",
        "|---|---|---|---|---|",
    ]
    means = {
        (arm, name): np.exp(np.log(rounds(arm, name)).mean(axis=0))
        for arm in ("active", "random")
        for name in ("force_rmse", "energy_rmse")
    }
    for i, n in enumerate(labels):
        lines.append(
            f"| {n:.1f} | {means['active', 'force_rmse'][i]:.4f} | {means['random', 'force_rmse'][i]:.4f} | "
            f"{1e3 * means['active', 'energy_rmse'][i]:.1f} | {1e3 * means['random', 'energy_rmse'][i]:.1f} |"
        )
    curve = means["active", "force_rmse"]
    enough = np.interp(-np.log(means["random", "force_rmse"][-1]), -np.log(curve), labels)
    lines += [
        "",
        f"Active selection has the last force error of the random one after {enough:.0f} labels of {labels[-1]:.0f}.",
        "",
        "Gain, 1 - active / random after the last round, paired by seed, with Student's 95 % interval of the "
        "logarithms:",
        "",
        "| seeds | number | force | energy | seeds where active is better (force) |",
        "|---|---|---|---|---|",
    ]
    force, energy = (
        np.log(rounds("active", name)[:, -1] / rounds("random", name)[:, -1]) for name in ("force_rmse", "energy_rmse")
    )
    sets = {
        "of the default, on which its settings were chosen": slice(0, CHOSEN_ON),
        "new": slice(CHOSEN_ON, None),
        "all": slice(None),
    }
    for words, entry in sets.items():
        better = int((force[entry] < 0).sum())
        lines.append(f"| {words} | {len(force[entry])} | {gain(force[entry])} | {gain(energy[entry])} | {better} |")
    return "\n".join(lines) + "\n"


def gain(log_ratio: Any) -> str:  # noqa: ANN401
    """Mean and interval in words."""
    mean, n = float(np.mean(log_ratio)), len(log_ratio)
    half = float(student.ppf(0.975, n - 1) * np.std(log_ratio, ddof=1) / np.sqrt(n))
    low, high = 1 - np.exp(mean + half), 1 - np.exp(mean - half)
    return f"{100 * (1 - np.exp(mean)):.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


if __name__ == "__main__":
    main()
