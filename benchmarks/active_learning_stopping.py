"""Which rule for thresholds lets a loop of active learning end: share of uncertain trajectories, round by round.

    PYTHONPATH=. python benchmarks/active_learning_stopping.py FOLDER [--seeds N] [--rounds N] [--rules ...] [--out F]

The active arm of the control (params.yaml: active_learning.control, labels by EMT) with each rule, and with the
`least_rate` of the loop itself, so that a seed may end. Beside the shares stand errors on a test set of the seed's own.
Interrupted, it goes on where it was; LATENTLAW_WORKERS says how many processes. About 12 CPU seconds a round and seed.
"""

import argparse
import datetime
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models.active_learning.rounds import Run
from models.active_learning.settings import ActiveLearningParams
from models.active_learning.threshold_rule import THRESHOLD_RULES
from models.registry import Chosen
from pipeline.atoms.active_loop import Loop, kept_tasks, run_loop
from pipeline.runtime.execution import kept_workers, load_execution
from pipeline.runtime.kept_results import SCRATCH_VARIABLE
from pipeline.runtime.params import load_params

RULES = ("quantile:0.5:2", "held_out:0.9:1")


def main() -> None:
    """Run all rules, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first-seed", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--rules", nargs="+", default=RULES, metavar="NAME:QUANTILE:FACTOR")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault(SCRATCH_VARIABLE, str(arguments.folder.resolve() / "scratch"))
    params = load_params(ActiveLearningParams, "active_learning")
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    rules = [chosen(words) for words in arguments.rules]
    runs = {in_words(rule): loops(params, rule, seeds, arguments.rounds) for rule in rules}
    text = report(runs, arguments)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


def loops(params: ActiveLearningParams, rule: Chosen, seeds: Sequence[int], n_rounds: int) -> list[Run]:
    """One active loop for each seed."""
    control = params.for_control()
    rounds = replace(control.rounds, n_rounds=n_rounds, least_rate=params.rounds.least_rate)
    execution = load_execution()
    with kept_workers(execution, execution.n_workers) as workers:
        params = replace(control, thresholds=rule, rounds=rounds)
        return run_loop(Loop(params=params, seeds=seeds, arms=("active",)), kept_tasks(params, workers))


def chosen(words: str) -> Chosen:
    name, quantile, factor = words.split(":")
    return THRESHOLD_RULES.choose(name, quantile=float(quantile), factor=float(factor))


def in_words(rule: Chosen) -> str:
    settings = THRESHOLD_RULES.make(rule)
    return f"{rule.name} {', '.join(f'{name} {value:g}' for name, value in vars(settings).items())}"


def report(runs: dict[str, list[Run]], arguments: argparse.Namespace) -> str:
    """Tables in Markdown."""
    options = f"--first-seed {arguments.first_seed} --seeds {arguments.seeds} --rounds {arguments.rounds}"
    options += f" --rules {' '.join(arguments.rules)}"
    lines = [
        "# Does the loop end? Rules for thresholds over rounds",
        "",
        f"`PYTHONPATH=. python benchmarks/active_learning_stopping.py FOLDER {options}`, {datetime.date.today()}, "
        f"torch {torch.__version__}. Labels by EMT (ASE), active arm of the control; rows are seeds, each with a test "
        "set of its own. Uncertain: of the trajectories of rounds 1, 2, ...; force RMSE [eV/A]: after rounds 0, 1, ...",
    ]
    for words, of_rule in runs.items():
        lines += [
            "",
            f"## {words}",
            "",
            "| seed | uncertain | ended | labels | force RMSE |",
            "|---|---|---|---|---|",
        ]
        for run in of_rule:
            made = [one for one in run.rounds if one.trajectories is not None]
            shares = [f"{int((one.trajectories.reasons == 'uncertain').sum())}/{one.tried}" for one in made]
            errors = [f"{one.errors.force_rmse_eV_A:.3f}" for one in run.rounds if one.errors]
            ended = f"after round {made[-1].number}" if run.done else "no"
            lines.append(f"| {run.seed} | {', '.join(shares)} | {ended} | {len(run.labelled)} | {', '.join(errors)} |")
        mean = [
            np.mean([np.mean(run.rounds[number].trajectories.reasons == "uncertain") for run in alive])
            for number in range(1, max(len(run.rounds) for run in of_rule))
            if (alive := [run for run in of_rule if len(run.rounds) > number])
        ]
        lines += ["", f"Mean share of the seeds that still ran: {', '.join(f'{100 * share:.0f} %' for share in mean)}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
