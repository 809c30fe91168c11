"""Active learning against an oracle at larger scale: errors per round, and the properties of the result.

    PYTHONPATH=. python benchmarks/active_learning.py FOLDER [--oracle second_moment|emt] [--out FILE.md]

Runs the stage `active_learning` in FOLDER with the section below changed in params.yaml's own, labelled by a many-body
potential, and then the property suite of the ensemble beside that potential. Interrupted, it goes on where it was.
About twelve minutes of CPU time, three processes at most (LATENTLAW_SCHEDULER=local; one by default).
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
ORACLES = {"second_moment": "models.physics.atoms.second_moment:SecondMoment", "emt": "ase.calculators.emt:EMT"}
PROPERTIES = ("equation_of_state", "elastic", "vacancy", "surfaces")
SHOWN = (
    *("a0", "bulk_modulus", "c11", "c12", "c44", "vacancy_formation", "vacancy_migration"),
    *("surface_111", "surface_100", "surface_110"),
)
CHANGES = ROOT / "benchmarks" / "active_learning.yaml"


def main() -> None:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--oracle", choices=sorted(ORACLES), default="second_moment")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    write_params(arguments.folder, ORACLES[arguments.oracle])
    run(arguments.folder, "pipeline.atoms.active_learning")
    run(
        arguments.folder,
        "pipeline.cli",
        "benchmark-potential",
        *("--calculator", "models.networks.potentials.calculator:PotentialCalculator"),
        *("--calculator-args", json.dumps({"potential": "runs/aluminium"})),
        *(
            "--oracle",
            ORACLES[arguments.oracle],
            "--out",
            "properties.json",
            "--overwrite",
            "--properties",
            *PROPERTIES,
        ),
    )
    text = report(arguments.folder, arguments.oracle)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


def write_params(folder: Path, oracle: str) -> None:
    """params.yaml in `folder`: the default section with the changes and this oracle."""
    yaml = YAML()
    section = yaml.load((ROOT / "params.yaml").read_text())["active_learning"]
    merge(section, yaml.load(CHANGES.read_text()))
    for name in ("engine", "driver"):
        section[name] = {"name": "ase", "ase": {"factory": oracle, "keywords": "{}", "level_name": oracle}}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "params.yaml").open("w") as stream:
        yaml.dump({"active_learning": section}, stream)


def merge(into: dict[str, Any], changes: dict[str, Any]) -> None:
    """Values of `changes` replace those of the same key, mappings being gone into."""
    for key, value in changes.items():
        if isinstance(value, dict):
            merge(into[key], value)
        else:
            into[key] = value


def run(folder: Path, module: str, *options: str) -> None:
    """One command of the project in `folder`."""
    environment = {"LATENTLAW_SCHEDULER": "serial", "OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", module, *options], cwd=folder, env=environment, check=True)


def report(folder: Path, oracle: str) -> str:
    """Two tables in Markdown."""
    metrics = json.loads((folder / "reports/metrics/active_learning.json").read_text())
    rounds, final = metrics["rounds"], metrics["final"]
    details = json.loads((folder / "reports/details/active_learning.json").read_text())["rounds"]
    properties = json.loads((folder / "properties.json").read_text())
    lines = [
        f"# Active learning against {ORACLES[oracle]}",
        "",
        f"`PYTHONPATH=. python benchmarks/active_learning.py FOLDER --oracle {oracle}`, {datetime.date.today()}, torch "
        f"{torch.__version__}. Errors on the frozen test set of disordered cells.",
        "",
        "| labels | force RMSE, eV/A | energy RMSE, meV/atom | trajectories tried | stopped as uncertain | CPU s |",
        "|---|---|---|---|---|---|",
    ]
    for done, detail in zip(rounds, details, strict=False):
        lines.append(
            f"| {done['n_labels']} | {done['force_rmse']:.4f} | {1e3 * done['energy_rmse']:.2f} | {done['tried']} | "
            f"{detail['ended'].get('uncertain', 0)} | {sum(detail['cpu_s'].values()):.0f} |"
        )
    lines += [
        "",
        f"Trained anew and long on all of them (`final_steps`): force RMSE {final['force_rmse']:.4f} eV/A, energy RMSE "
        f"{1e3 * final['energy_rmse']:.2f} meV/atom. Properties of that potential:",
    ]
    lines += ["", "| property | unit | potential | oracle | deviation |", "|---|---|---|---|---|"]
    for name in SHOWN:
        record = properties[name]
        deviation = record["relative_deviation"]["oracle"]
        shown = "-" if deviation is None else f"{100 * deviation:+.1f} %"
        lines.append(f"| {name} | {record['unit']} | {record['value']:.5g} | {record['oracle']:.5g} | {shown} |")
    lines += [
        "",
        "The settings (`benchmarks/active_learning.yaml`: crystals and defects among the first labels, length and "
        "weights of the final training) were chosen while looking at these properties with the oracle second_moment.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
