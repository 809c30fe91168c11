"""Samplers that need an engine, run in a child process: pinned threads make their chaos repeat bit by bit."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from models.frames import Frames
from models.physics.atoms.child_process import ChildFailed, ChildLimits, run_in_child
from models.physics.atoms.engine import Engine
from models.physics.atoms.sampling.langevin import BlownUp, Langevin, sample_langevin
from models.physics.atoms.sampling.normal_modes import NormalModes, sample_normal_modes
from models.physics.atoms.sampling.torsions import Torsions, sample_torsions

__all__ = ["Sampler", "SamplingFailed", "sample", "sample_each_in_child", "sample_in_child"]

Sampler = NormalModes | Langevin | Torsions
FUNCTION = "models.physics.atoms.sampling.driven:sample_here"
FUNCTION_OF_EACH = "models.physics.atoms.sampling.driven:sample_each_here"
SAMPLERS: dict[type[Any], Callable[..., Iterable[Frames]]] = {
    NormalModes: sample_normal_modes,
    Langevin: sample_langevin,
    Torsions: sample_torsions,
}


class SamplingFailed(RuntimeError):
    """No frames came: the driving engine failed, a trajectory blew up, or time ran out."""


def sample(start: Frames, engine: Engine, sampler: Sampler, rng: np.random.Generator) -> Frames:
    """Frames from `start`, in this process; they inherit its source and group."""
    return Frames.concatenate(SAMPLERS[type(sampler)](start, engine, sampler, rng))


def sample_in_child(
    start: Frames,
    engine: Engine,
    sampler: Sampler,
    *,
    seed: int,
    spawn_key: tuple[int, ...],
    limits: ChildLimits,
) -> Frames:
    """`sample` with the generator SeedSequence(seed, spawn_key). Raises SamplingFailed."""
    arguments = {"start": start, "engine": engine, "sampler": sampler, "seed": seed, "spawn_key": spawn_key}
    frames = []
    try:
        for reply in run_in_child(FUNCTION, arguments, limits):
            if isinstance(reply, str):
                raise SamplingFailed(reply)
            if isinstance(reply, Frames):
                frames.append(reply)
    except ChildFailed as error:
        raise SamplingFailed(str(error)) from None
    return Frames.concatenate(frames)


def sample_here(
    start: Frames, engine: Engine, sampler: Sampler, *, seed: int, spawn_key: tuple[int, ...]
) -> Iterator[Frames | str | None]:
    """What the child does: frames, or in words why there are none; None as soon as it begins."""
    yield None
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=spawn_key))
    try:
        yield from SAMPLERS[type(sampler)](start, engine, sampler, rng)
    except (BlownUp, ValueError, ArithmeticError, RuntimeError) as error:
        yield f"{type(error).__name__}: {error}"


def sample_each_in_child(
    starts: Sequence[Frames],
    engine: Engine,
    samplers: Sequence[Sampler],
    *,
    seed: int,
    spawn_keys: Sequence[tuple[int, ...]],
    limits: ChildLimits,
) -> list[Frames | SamplingFailed]:
    """`sample_in_child` of each start, in as few processes as it takes: the frames, or why there are none.

    When a child dies or falls silent, the start at work has failed and the rest goes on in a new child.
    """
    samples: dict[int, Frames | SamplingFailed] = {}
    while waiting := [i for i in range(len(starts)) if i not in samples]:
        begun = waiting[0]
        work = [(starts[i], samplers[i], spawn_keys[i]) for i in waiting]
        try:
            for position, reply in run_in_child(
                FUNCTION_OF_EACH, {"work": work, "engine": engine, "seed": seed}, limits
            ):
                begun = waiting[position]
                if reply is not None:
                    samples[begun] = SamplingFailed(reply) if isinstance(reply, str) else reply
        except ChildFailed as error:
            samples[begun] = SamplingFailed(str(error))
    return [samples[i] for i in range(len(starts))]


def sample_each_here(
    work: Sequence[tuple[Frames, Sampler, tuple[int, ...]]], engine: Engine, seed: int
) -> Iterator[tuple[int, Frames | str | None]]:
    """What the child does: says which start it begins, then its frames, or in words why there are none."""
    for position, (start, sampler, spawn_key) in enumerate(work):
        frames: list[Frames] = []
        failure = ""
        for reply in sample_here(start, engine, sampler, seed=seed, spawn_key=spawn_key):
            if reply is None:
                yield position, None
            elif isinstance(reply, str):
                failure = reply
            else:
                frames.append(reply)
        yield position, failure or Frames.concatenate(frames)
