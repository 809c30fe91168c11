"""Loops of active learning on workers that keep the results of tasks: the one of the stage, and its control.

A killed loop is gone through again from its beginning and takes what is kept. The rounds themselves lie in
models.active_learning.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from models.active_learning.rounds import ARMS, Arm, Results, Run, Tasks, bootstrap, finish, run_rounds, test_set
from models.active_learning.settings import ActiveLearningParams
from models.frames import Frames
from models.physics.atoms.engine import ENGINES
from models.training.potentials.ensembles import train_member
from pipeline.atoms.labelling import CODE, engine_problems, engine_versions
from pipeline.atoms.potential_training import KIND
from pipeline.runtime.content_key import content_key
from pipeline.runtime.execution import TaskRunner
from pipeline.runtime.kept_results import KeptResults, scratch_folder
from pipeline.runtime.progress import print_training_progress
from stores.atoms import ATOMS
from stores.building import refusal, store_kind

__all__ = ["OUT", "RUNS", "SHAPES_NOTHING", "Loop", "kept_tasks", "loops_of", "refuse", "run_loop"]

OUT = Path("data/aluminium_active.zarr")
RUNS = Path("runs/aluminium")
SHAPES_NOTHING = ("frames_per_task",)


@dataclass(frozen=True, kw_only=True)
class Loop:
    """What `run_loop` runs: params, seeds, and the arms of each seed, active first."""

    params: ActiveLearningParams
    seeds: Sequence[int]
    arms: Sequence[Arm]


def loops_of(params: ActiveLearningParams) -> dict[str, Loop]:
    """The loop of the stage, and its control where there is one, by name."""
    arms: tuple[Arm, ...] = ("active", "random") if params.random_control else ("active",)
    loops = {"main": Loop(params=params, seeds=[params.seed], arms=arms)}
    if params.control.n_seeds:
        seeds = range(params.control.first_seed, params.control.first_seed + params.control.n_seeds)
        loops["control"] = Loop(params=params.for_control(), seeds=seeds, arms=ARMS)
    return loops


def run_loop(loop: Loop, tasks: Tasks) -> list[Run]:
    """The runs at their end: all arms of each seed, active first, with a test set of the seed's own."""
    params, runs = loop.params, []
    tests = [test_set(replace(params, seed=seed), tasks) for seed in loop.seeds]
    for seed, test in zip(loop.seeds, tests, strict=True):
        frames, cpu_s = bootstrap(params, seed, tasks)
        runs += [Run(seed=seed, arm=arm, frames=frames, test=test, bootstrap_cpu_s=cpu_s) for arm in loop.arms]
    run_rounds(params, runs, tasks)
    finish(params, runs[0], tasks)
    return runs


def kept_tasks(
    params: ActiveLearningParams,
    run: TaskRunner,
    *,
    taken: Callable[[KeptResults], Results] = lambda kept: kept.results,
) -> Tasks:
    """Workers that keep results; what shapes these is in the names of their folders.

    `taken`: how results of a folder are come by, when not all that is missing is to be made.
    """
    labels = content_key("active_learning", asdict(params.limits), engine_versions(), only=CODE)
    shaping = {k: v for k, v in asdict(params).items() if k not in (*SHAPES_NOTHING, "control")}
    work = content_key("active_learning", shaping, engine_versions())
    return Tasks(
        labels=taken(KeptResults(scratch_folder(f"labels_{labels}"), run)),
        work=taken(KeptResults(scratch_folder(f"rounds_{work}"), run)),
        train=partial(train_member, report=print_training_progress),
        report=partial(print, flush=True),
    )


def refuse(params: ActiveLearningParams) -> None:
    """Raises ValueError with all that hinders: engines that cannot label such frames, folders that are not ours."""
    fewest = params.packed.n_atoms[0]
    numbers, positions = np.full(fewest, params.number), np.zeros((fewest, 3))
    example = Frames.one(numbers=numbers, positions_A=positions, cell_A=np.eye(3))
    problems = engine_problems(ENGINES.make(params.engine), example, "engine")
    if params.test.driven.n_frames:
        problems += engine_problems(ENGINES.make(params.driver), example, "driver")
    if params.control.n_seeds:
        problems += engine_problems(ENGINES.make(params.control.engine), example, "control.engine")
    for path, kind in ((OUT, store_kind(ATOMS)), (RUNS, KIND)):
        problems += [f"{path}: {reason}"] if (reason := refusal(path, kind)) else []
    if problems:
        raise ValueError("\n".join(["active learning cannot begin:", *(f"  {problem}" for problem in problems)]))
