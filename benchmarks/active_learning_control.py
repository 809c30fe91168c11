"""Active selection against random frames of the same trajectories and against plain dynamics, over fresh seeds.

    PYTHONPATH=. python benchmarks/active_learning_control.py FOLDER [--first-seed 100] [--seeds 12] [--out FILE.md]

The control of stage `active_learning` and nothing else, with params.yaml as it is. Every seed has its own first labels,
trajectories and test set; all arms of a seed spend the same number of labels in each round, or the loop raises
UnequalBudgets. Settings were chosen on seeds 0 to 15: the script refuses them. Interrupted, it goes on where it was;
LATENTLAW_WORKERS says how many processes. About a minute of CPU time a seed.
"""

import argparse
import datetime
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student

from models.active_learning.rounds import ARMS, Arm, Run
from models.active_learning.settings import ActiveLearningParams
from pipeline.atoms.active_loop import Loop, kept_tasks, run_loop
from pipeline.runtime.execution import kept_workers, load_execution
from pipeline.runtime.kept_results import SCRATCH_VARIABLE
from pipeline.runtime.params import load_params

DEVELOPMENT = range(16)  # seeds on which settings were chosen, or that an earlier table reported
QUANTITIES = {"force": "force_rmse_eV_A", "energy": "energy_rmse_eV_atom"}
AGAINST: dict[Arm, str] = {"random": "random frames of the same trajectories", "plain": "plain dynamics"}
Errors = NDArray[np.float64]  # of one seed, (n_rounds,)


def main() -> None:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    if used := sorted(set(seeds) & set(DEVELOPMENT)):
        parser.error(f"seeds: found {used}, on which settings were chosen; expected others, such as --first-seed 100")
    if len(seeds) < 2:
        parser.error(f"--seeds: found {len(seeds)}, expected at least 2 for an interval")
    os.environ.setdefault(SCRATCH_VARIABLE, str(arguments.folder.resolve() / "scratch"))
    control = load_params(ActiveLearningParams, "active_learning").for_control()
    execution = load_execution()
    with kept_workers(execution, execution.n_workers) as workers:
        runs = run_loop(Loop(params=control, seeds=seeds, arms=ARMS), kept_tasks(control, workers))
    text = report(runs, seeds)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


def report(runs: Sequence[Run], seeds: Sequence[int]) -> str:
    """Tables in Markdown."""
    arms = {arm: [run for run in runs if run.arm == arm] for arm in ARMS}
    n_rounds = min(sum(one.errors is not None for one in run.rounds) for run in runs)
    lines = [
        f"# Active selection against two controls, seeds {seeds[0]} to {seeds[-1]}",
        "",
        f"`PYTHONPATH=. python benchmarks/active_learning_control.py FOLDER --first-seed {seeds[0]} --seeds "
        f"{len(seeds)}`, {datetime.date.today()}, torch {torch.__version__}. Labels by EMT (ASE). Every seed has "
        "its own test set; all arms of a seed spend the same number of labels in each round (checked). Random: frames "
        "at random times of trajectories by the active ensemble; plain: frames at fixed times of trajectories by its "
        "own ensemble.",
        "",
        "Geometric means over seeds, for the rounds that all of them have made:",
        "",
        "| labels | force RMSE, active, eV/A | random | plain | energy RMSE, active, meV/atom | random | plain "
        "| uncertain |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for number in range(n_rounds):
        n_labels = np.mean([run.rounds[number].n_labels for run in runs])
        cells = [f"{mean(arms[arm], 'force', number):.4f}" for arm in ARMS]
        cells += [f"{1e3 * mean(arms[arm], 'energy', number):.1f}" for arm in ARMS]
        tried = [run.rounds[number].trajectories for run in arms["active"]]
        reasons = [one.reasons for one in tried if one is not None]
        share = f"{100 * np.mean(np.concatenate(reasons) == 'uncertain'):.0f} %" if reasons else "-"
        lines.append(f"| {n_labels:.1f} | {' | '.join(cells)} | {share} |")
    lines += [
        "",
        "Gain, 1 - active / control after the last round of each seed, paired by seed, with Student's 95 % interval of "
        "the logarithms:",
        "",
        "| against | seeds | labels | force | seeds where active is better | energy | seeds where active is better |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm, words in AGAINST.items():
        cells = []
        for quantity in QUANTITIES:
            log_ratio_S = np.array(
                [
                    np.log(errors_of(one)[quantity][-1] / errors_of(other)[quantity][-1])
                    for one, other in zip(arms["active"], arms[arm], strict=True)
                ]
            )
            cells.append(f"{gain(log_ratio_S)} | {int((log_ratio_S < 0).sum())}")
        spent = [len(run.labelled) for run in arms["active"]]
        lines.append(f"| {words} | {len(seeds)} | {min(spent)} to {max(spent)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def errors_of(run: Run) -> dict[str, Errors]:
    """On the test set, by quantity, after each round that trained."""
    return {
        quantity: np.array([getattr(one.errors, key) for one in run.rounds if one.errors is not None])
        for quantity, key in QUANTITIES.items()
    }


def mean(runs: Sequence[Run], quantity: str, number: int) -> float:
    """Geometric, over seeds, after one round."""
    return float(np.exp(np.mean([np.log(errors_of(run)[quantity][number]) for run in runs])))


def gain(log_ratio_S: Errors) -> str:
    """Mean and interval in words."""
    centre, n = float(np.mean(log_ratio_S)), len(log_ratio_S)
    half = float(student.ppf(0.975, n - 1) * np.std(log_ratio_S, ddof=1) / np.sqrt(n))
    low, high = 1 - np.exp(centre + half), 1 - np.exp(centre - half)
    return f"{100 * (1 - np.exp(centre)):.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


if __name__ == "__main__":
    main()
