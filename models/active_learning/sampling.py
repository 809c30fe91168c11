"""Frames as tasks: drawn at random, moved by the ensemble until it is uncertain, and labelled by the engine.

Whatever is drawn is a function of (seed, purpose, round, index) alone, so neither the number of workers nor what was
drawn before changes it. A trajectory of a control has the same start, path and noise as its active twin.
"""

import contextlib
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.active_learning.settings import ActiveLearningParams
from models.frames import Frames
from models.networks.potentials.batched_dynamics import Drive, Thresholds, Trajectories, run_trajectories
from models.networks.potentials.ensemble import Ensemble
from models.networks.potentials.potential import PotentialConfig, PotentialNetwork
from models.physics.atoms.child_process import ChildLimits
from models.physics.atoms.engine import ENGINES, Engine
from models.physics.atoms.labelling import LabelLimits, failed_frames, label_frames
from models.physics.atoms.sampling.crystals import sample_crystals
from models.physics.atoms.sampling.defects import sample_defects
from models.physics.atoms.sampling.disordered import sample_random_packed
from models.physics.atoms.sampling.driven import SamplingFailed, sample_each_in_child
from models.physics.atoms.sampling.langevin import Langevin
from models.training.potentials.ensembles import network_of

__all__ = [
    "BOOTSTRAP",
    "TEST",
    "LabelTask",
    "Labels",
    "SampleTask",
    "Sampled",
    "TestTask",
    "fixed_check",
    "label",
    "label_driven",
    "ordered_frames",
    "packed_frame",
    "sample",
    "start_frame",
]

BOOTSTRAP, TEST, TRAJECTORY, CRYSTAL, DEFECT = 0, 1, 2, 3, 4
DRAWS = 20


@dataclass(frozen=True, kw_only=True)
class SampleTask:
    """Trajectories first .. first + n of one round.

    With `thresholds` they end where they are uncertain, without at a check: drawn at random, or at fixed times, which
    divide the length of a trajectory evenly and come in turn.
    """

    params: ActiveLearningParams
    network: Callable[[Any], PotentialNetwork]
    config: PotentialConfig
    weights: Sequence[Mapping[str, NDArray[Any]]]  # of each member
    seed: int
    round: int
    first: int
    n: int
    thresholds: Thresholds | None
    fixed_times: bool = False


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """How they ended."""

    trajectories: Trajectories
    atom_steps: int
    cpu_s: float


@dataclass(frozen=True, kw_only=True)
class LabelTask:
    """Frames to label in one process, and what their provenance says beside the label's own."""

    engine: Engine
    limits: LabelLimits
    frames: Frames
    provenances: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class TestTask:
    """Driven frames of the test set, by their numbers in it, which are their groups."""

    params: ActiveLearningParams
    indices: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Frames with labels, failures among them, and the CPU seconds they took, those of child processes among them."""

    frames: Frames
    cpu_s: float


def packed_frame(params: ActiveLearningParams, seed: int, purpose: int, *indices: int) -> Frames:
    """A random-packed cell; drawn again where a distance came up that so few atoms cannot keep.

    Raises ValueError after DRAWS of them.
    """
    rng = _generator(seed, purpose, *indices)
    for _ in range(DRAWS - 1):
        with contextlib.suppress(ValueError):
            return sample_random_packed(params.number, replace(params.packed, n_frames=1), rng)[0]
    return sample_random_packed(params.number, replace(params.packed, n_frames=1), rng)[0]


def ordered_frames(params: ActiveLearningParams, seed: int) -> list[Frames]:
    """The crystals and defects among the first labels."""
    crystals, defects = params.ordered.crystals, params.ordered.defects
    frames = []
    for i in range(crystals.n_frames):
        frames += sample_crystals(params.number, replace(crystals, n_frames=1), _generator(seed, CRYSTAL, i), first=i)
    for i in range(defects.n_frames):
        frames += sample_defects(params.number, replace(defects, n_frames=1), _generator(seed, DEFECT, i), first=i)
    return frames


def start_frame(params: ActiveLearningParams, seed: int, number: int, index: int) -> Frames:
    """Where trajectory `index` of a round starts: a random-packed cell, or a crystal at evenly spaced indices."""
    n, n_crystals = params.rounds.n_trajectories, params.crystals.n_frames
    if (index + 1) * n_crystals // n == index * n_crystals // n:
        return packed_frame(params, seed, TRAJECTORY, number, index, 0)
    rng = _generator(seed, TRAJECTORY, number, index, 0)
    return sample_crystals(params.number, replace(params.crystals, n_frames=1), rng, first=int(rng.integers(1000)))[0]


def sample(task: SampleTask) -> Sampled:
    """Run the trajectories to their ends."""
    torch.set_num_threads(1)  # products of matrices depend on it in their last digits, and so would all that follows
    begun = time.process_time()
    indices = range(task.first, task.first + task.n)
    starts = Frames.concatenate(start_frame(task.params, task.seed, task.round, index) for index in indices)
    drives = [_drive(task, index, start) for index, start in zip(indices, starts, strict=True)]
    ensemble = Ensemble([network_of(task.network, task.config, weights) for weights in task.weights])
    ensemble.to("cuda" if torch.cuda.is_available() else "cpu")
    trajectories = run_trajectories(
        ensemble, starts, drives, task.params.dynamics, task.thresholds, task.params.physical
    )
    return Sampled(
        trajectories=trajectories,
        atom_steps=int((trajectories.steps * starts.n_atoms).sum()),
        cpu_s=time.process_time() - begun,
    )


def _drive(task: SampleTask, index: int, start: Frames) -> Drive:
    params = task.params
    rng = _generator(task.seed, TRAJECTORY, task.round, index, 1)
    path = params.paths.draw(abs(float(np.linalg.det(start.cells_A[0]))) / len(start.numbers), rng)
    n_checks, quota = params.dynamics.n_steps // params.dynamics.check_every, params.rounds.quota
    check = int(rng.integers(1, n_checks + 1))  # drawn in any case: the noise comes from the same numbers
    if task.fixed_times:
        check = fixed_check(index, quota, n_checks)
    return Drive(
        temperature_K=path.temperature_K,
        density_1_A3=path.density_1_A3,
        rng=rng,
        end_at=check * params.dynamics.check_every if task.thresholds is None else None,
    )


def fixed_check(index: int, quota: int, n_checks: int) -> int:
    """At which of the checks 1 .. n_checks a plain trajectory ends: `quota` times in turn, evenly spaced."""
    return -(-(1 + index % quota) * n_checks // quota)


def label(task: LabelTask) -> Labels:
    """Label these frames in child processes."""
    begun = _cpu_s()
    frames = label_frames(task.engine, task.frames, task.limits, task.provenances)
    return Labels(frames=frames, cpu_s=_cpu_s() - begun)


def label_driven(task: TestTask) -> Labels:
    """Test frames: drawn, moved by the driving engine, labelled."""
    begun = _cpu_s()
    params, engine, level = task.params, ENGINES.make(task.params.engine), ENGINES.make(task.params.driver).level
    starts = [
        packed_frame(params, params.seed, TEST, index).changed(source="test driven", group=index)
        for index in task.indices
    ]
    known = [{"origin": "test", "kind": "driven", "index": index, "driver": level} for index in task.indices]
    moved = _driven(params, starts, task.indices)
    there = [row for row, frames in enumerate(moved) if isinstance(frames, Frames)]
    labelled = dict(
        zip(
            there,
            label_frames(
                engine,
                Frames.concatenate(frames for frames in moved if isinstance(frames, Frames)),
                params.limits,
                [known[row] for row in there],
            ),
            strict=True,
        )
    )
    for row, why in enumerate(moved):
        if isinstance(why, SamplingFailed):
            labelled[row] = failed_frames(engine, starts[row], f"no frame was drawn: {why}", [known[row]])
    return Labels(frames=Frames.concatenate(labelled[row] for row in range(len(starts))), cpu_s=_cpu_s() - begun)


def _driven(
    params: ActiveLearningParams, starts: Sequence[Frames], indices: Sequence[int]
) -> list[Frames | SamplingFailed]:
    driven = params.test.driven
    temperatures = [float(_generator(params.seed, TEST, index, 1).uniform(*driven.temperature_K)) for index in indices]
    dynamics = [
        Langevin(
            n_frames=1,
            temperature_K=(temperature, temperature),
            time_step_fs=driven.time_step_fs,
            equilibration_steps=driven.n_steps,
            steps_per_frame=1,
            friction_1_fs=driven.friction_1_fs,
        )
        for temperature in temperatures
    ]
    return sample_each_in_child(
        starts,
        ENGINES.make(params.driver),
        dynamics,
        seed=params.seed,
        spawn_keys=[(TEST, index, 2) for index in indices],
        limits=ChildLimits(time_limit_s=params.limits.time_limit_s, n_threads=params.limits.n_threads),
    )


def _cpu_s() -> float:
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
