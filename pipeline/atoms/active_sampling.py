"""Frames as tasks: drawn at random, moved by the ensemble until it is unsure, and labelled by the engine.

Whatever is drawn is a function of (seed, purpose, round, index) alone, so neither the number of workers nor what was
drawn before changes it. A trajectory of the random control has the same start, path and noise as its active twin.
"""

import contextlib
import json
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from models.networks.potentials.batched_dynamics import Ended, Spread, Start, Thresholds
from models.physics.atoms.child_process import ChildLimits
from models.physics.atoms.engine import ENGINES, Engine
from models.physics.atoms.labelling import LabelLimits
from models.physics.atoms.sampling.crystals import sample_crystals
from models.physics.atoms.sampling.defects import sample_defects
from models.physics.atoms.sampling.disordered import sample_random_packed
from models.physics.atoms.sampling.driven import SamplingFailed, sample_in_child
from models.physics.atoms.sampling.langevin import Langevin
from models.physics.atoms.structure import Structure
from pipeline.atoms.active_params import ActiveLearningParams
from pipeline.atoms.active_training import Member
from pipeline.atoms.labelling import failed_records, label_records
from pipeline.runtime.kept_results import Arrays
from stores.atoms import AtomsRecord, columns_of, dataset_of, records_of

__all__ = [
    "CPU_S",
    "Arm",
    "LabelTask",
    "SampleTask",
    "TestTask",
    "driven_frame",
    "ended_from",
    "label",
    "label_driven",
    "ordered_frames",
    "packed_frame",
    "records_from",
    "sample",
    "start_frame",
]

Arm = Literal["active", "random"]
BOOTSTRAP, TEST, TRAJECTORY, CRYSTAL, DEFECT = 0, 1, 2, 3, 4
DRAWS = 20
CPU_S = "cpu_s"  # beside the columns of labels: what a machine took, which no store may hold
FIELDS = ("energy_eV_atom", "force_mean_eV_A", "force_max_eV_A")


@dataclass(frozen=True, kw_only=True)
class SampleTask:
    """Trajectories first .. first + n of one round; `thresholds` None: each ends at a check drawn at random."""

    params: ActiveLearningParams
    members: Sequence[Member]
    seed: int
    round: int
    first: int
    n: int
    thresholds: Thresholds | None


@dataclass(frozen=True, kw_only=True)
class LabelTask:
    """Frames to label in one process, and what their provenance tells beside the label's own."""

    engine: Engine
    limits: LabelLimits
    structures: Sequence[Structure]
    told: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class TestTask:
    """One driven frame of the test set."""

    params: ActiveLearningParams
    index: int
    group: int


def packed_frame(params: ActiveLearningParams, seed: int, purpose: int, *indices: int) -> Structure:
    """A random-packed cell; drawn again where a distance came up that so few atoms cannot keep.

    Raises ValueError after DRAWS of them.
    """
    rng = _generator(seed, purpose, *indices)
    for _ in range(DRAWS - 1):
        with contextlib.suppress(ValueError):
            return sample_random_packed(params.number, replace(params.packed, n_frames=1), rng)[0]
    return sample_random_packed(params.number, replace(params.packed, n_frames=1), rng)[0]


def ordered_frames(params: ActiveLearningParams, seed: int) -> list[Structure]:
    """The crystals and defects among the first labels."""
    crystals, defects = params.ordered.crystals, params.ordered.defects
    frames = []
    for i in range(crystals.n_frames):
        frames += sample_crystals(params.number, replace(crystals, n_frames=1), _generator(seed, CRYSTAL, i), first=i)
    for i in range(defects.n_frames):
        frames += sample_defects(params.number, replace(defects, n_frames=1), _generator(seed, DEFECT, i), first=i)
    return frames


def start_frame(params: ActiveLearningParams, seed: int, number: int, index: int) -> Structure:
    """Where trajectory `index` of a round starts: a random-packed cell, or a crystal at evenly spaced indices."""
    n, n_crystals = params.rounds.n_trajectories, params.crystals.n_frames
    if (index + 1) * n_crystals // n == index * n_crystals // n:
        return packed_frame(params, seed, TRAJECTORY, number, index, 0)
    rng = _generator(seed, TRAJECTORY, number, index, 0)
    return sample_crystals(params.number, replace(params.crystals, n_frames=1), rng, first=int(rng.integers(1000)))[0]


def sample(task: SampleTask) -> Arrays:
    """Run the trajectories; their ends as arrays (`ended_from` reads them)."""
    import torch
    from ase.data import atomic_masses

    from models.networks.potentials.batched_dynamics import run_trajectories
    from models.networks.potentials.ensemble import Ensemble

    torch.set_num_threads(1)  # products of matrices depend on it in their last digits, and so would all that follows
    begun = time.process_time()
    params, starts = task.params, []
    n_checks = params.dynamics.n_steps // params.dynamics.check_every
    for index in range(task.first, task.first + task.n):
        frame = start_frame(params, task.seed, task.round, index)
        assert frame.cell_A is not None
        rng = _generator(task.seed, TRAJECTORY, task.round, index, 1)
        path = params.paths.draw(abs(float(np.linalg.det(frame.cell_A))) / len(frame.numbers), rng)
        end_at = int(rng.integers(1, n_checks + 1)) * params.dynamics.check_every
        starts.append(
            Start(
                numbers=frame.numbers,
                masses_u=np.asarray(atomic_masses[frame.numbers], dtype=np.float64),
                positions_A=frame.positions_A,
                cell_A=frame.cell_A,
                temperature_K=path.temperature_K,
                density_1_A3=path.density_1_A3,
                rng=rng,
                end_at=end_at if task.thresholds is None else None,
            )
        )
    ensemble = Ensemble([member.network() for member in task.members])
    device = _device()
    ended = run_trajectories(ensemble.to(device), starts, params.dynamics, task.thresholds, params.physical)
    n_atoms = np.array([len(start.numbers) for start in starts], dtype=np.int64)
    atom_steps = int(sum(e.step * n for e, n in zip(ended, n_atoms.tolist(), strict=True)))
    told = {"cpu_s": time.process_time() - begun, "atom_steps": atom_steps}
    return {
        "n_atoms": n_atoms,
        "number": np.concatenate([start.numbers for start in starts]),
        "position": np.concatenate([e.positions_A for e in ended]),
        "cell": np.stack([e.cell_A for e in ended]),
        "reason": np.array([e.reason for e in ended]),
        "why": np.array([e.why for e in ended]),
        "step": np.array([e.step for e in ended], dtype=np.int64),
        "spread": np.array([[getattr(e.spread, name) for name in FIELDS] for e in ended], dtype=np.float64),
        "temperature": np.array([[e.temperature_K, e.kinetic_temperature_K] for e in ended], dtype=np.float64),
        "checks": np.array([len(e.checks) for e in ended], dtype=np.int64),
        "check": np.array(
            [[step, *(getattr(s, name) for name in FIELDS)] for e in ended for step, s in e.checks], dtype=np.float64
        ).reshape(-1, 1 + len(FIELDS)),
        "told": np.array(json.dumps(told)),
    }


def ended_from(arrays: Arrays) -> list[tuple[np.ndarray, Ended]]:
    """Atomic numbers and end of each trajectory."""
    atoms, checks = np.cumsum(arrays["n_atoms"])[:-1], np.cumsum(arrays["checks"])[:-1]
    rows = zip(
        np.split(arrays["number"], atoms),
        np.split(arrays["position"], atoms),
        np.split(arrays["check"], checks),
        range(len(arrays["n_atoms"])),
        strict=True,
    )
    return [
        (
            numbers,
            Ended(
                reason=str(arrays["reason"][i]),  # type: ignore[arg-type]
                why=str(arrays["why"][i]),
                step=int(arrays["step"][i]),
                positions_A=positions,
                cell_A=arrays["cell"][i],
                spread=_spread(arrays["spread"][i]),
                temperature_K=float(arrays["temperature"][i, 0]),
                kinetic_temperature_K=float(arrays["temperature"][i, 1]),
                checks=[(int(row[0]), _spread(row[1:])) for row in own],
            ),
        )
        for numbers, positions, own, i in rows
    ]


def label(task: LabelTask) -> Arrays:
    """Rows of these frames, failures among them, and the CPU seconds they took, those of child processes among them."""
    begun = _cpu_s()
    columns = columns_of(label_records(task.engine, task.structures, task.limits, task.told))
    return columns | {CPU_S: np.array(_cpu_s() - begun)}


def label_driven(task: TestTask) -> Arrays:
    """One test frame: drawn, moved by the driving engine, labelled."""
    params, engine = task.params, ENGINES.make(task.params.engine)
    told = {"origin": "test", "kind": "driven", "index": task.index, "driver": ENGINES.make(params.driver).level}
    start = replace(packed_frame(params, params.seed, TEST, task.index), source="test driven", group=task.group)
    try:
        frame = driven_frame(params, start, task.index)
    except SamplingFailed as error:
        return columns_of(failed_records(engine, [start], f"no frame was drawn: {error}", [told]))
    return label(LabelTask(engine=engine, limits=params.limits, structures=[frame], told=[told]))


def driven_frame(params: ActiveLearningParams, start: Structure, index: int) -> Structure:
    """Raises SamplingFailed."""
    driven = params.test.driven
    temperature = float(_generator(params.seed, TEST, index, 1).uniform(*driven.temperature_K))
    dynamics = Langevin(
        n_frames=1,
        temperature_K=(temperature, temperature),
        time_step_fs=driven.time_step_fs,
        equilibration_steps=driven.n_steps,
        steps_per_frame=1,
        friction_1_fs=driven.friction_1_fs,
    )
    limits = ChildLimits(time_limit_s=params.limits.time_limit_s, n_threads=params.limits.n_threads)
    key = (TEST, index, 2)
    return sample_in_child(
        start, ENGINES.make(params.driver), dynamics, seed=params.seed, spawn_key=key, limits=limits
    )[0]


def records_from(columns: Arrays) -> list[AtomsRecord]:
    return records_of(dataset_of({name: column for name, column in columns.items() if name != CPU_S}, {}))


def _cpu_s() -> float:
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _spread(values: np.ndarray) -> Spread:
    return Spread(**{name: float(value) for name, value in zip(FIELDS, values, strict=True)})


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
