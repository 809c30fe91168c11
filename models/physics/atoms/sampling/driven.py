"""Samplers that need an engine, run in a child process: pinned threads make their chaos repeat bit by bit."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from models.physics.atoms.child_process import ChildFailed, ChildLimits, run_in_child
from models.physics.atoms.engine import Engine
from models.physics.atoms.labelling import engine_from, engine_name
from models.physics.atoms.sampling.langevin import BlownUp, Langevin, sample_langevin
from models.physics.atoms.sampling.normal_modes import NormalModes, sample_normal_modes
from models.physics.atoms.sampling.torsions import Torsions, sample_torsions
from models.physics.atoms.structure import Structure

__all__ = ["Sampler", "SamplingFailed", "sample", "sample_in_child"]

Sampler = NormalModes | Langevin | Torsions
FUNCTION = "models.physics.atoms.sampling.driven:sample_here"
SAMPLERS: dict[str, tuple[Callable[..., Any], Callable[..., Iterable[Structure]]]] = {
    "NormalModes": (NormalModes, sample_normal_modes),
    "Langevin": (Langevin, sample_langevin),
    "Torsions": (Torsions, sample_torsions),
}


class SamplingFailed(RuntimeError):
    """No frames came: the driving engine failed, a trajectory blew up, or time ran out."""


def sample(structure: Structure, engine: Engine, sampler: Sampler, rng: np.random.Generator) -> list[Structure]:
    """Frames from `structure`, in this process; they inherit its source and group."""
    _, function = SAMPLERS[type(sampler).__name__]
    return list(function(structure, engine, sampler, rng))


def sample_in_child(
    structure: Structure,
    engine: Engine,
    sampler: Sampler,
    *,
    seed: int,
    spawn_key: tuple[int, ...],
    limits: ChildLimits,
) -> list[Structure]:
    """`sample` with the generator SeedSequence(seed, spawn_key). Raises SamplingFailed."""
    arguments = {
        "engine": engine_name(engine),
        "settings": asdict(engine),
        "sampler": type(sampler).__name__,
        "sampler_settings": asdict(sampler),
        "numbers": structure.numbers.tolist(),
        "positions_A": structure.positions_A.tolist(),
        "cell_A": None if structure.cell_A is None else structure.cell_A.tolist(),
        "seed": seed,
        "spawn_key": list(spawn_key),
        "source": structure.source,
    }
    frames = []
    try:
        for reply in run_in_child(FUNCTION, arguments, limits):
            if "error" in reply:
                raise SamplingFailed(reply["error"])
            if "positions_A" in reply:
                positions = np.array(reply["positions_A"], dtype=np.float64).reshape(-1, 3)
                frames.append(
                    Structure(
                        numbers=structure.numbers,
                        positions_A=positions,
                        cell_A=structure.cell_A,
                        source=structure.source,
                        group=structure.group,
                    )
                )
    except ChildFailed as error:
        raise SamplingFailed(str(error)) from None
    return frames


def sample_here(
    *,
    engine: str,
    settings: Mapping[str, Any],
    sampler: str,
    sampler_settings: Mapping[str, Any],
    numbers: list[int],
    positions_A: list[list[float]],
    cell_A: list[list[float]] | None,
    seed: int,
    spawn_key: list[int],
    source: str,
) -> Iterator[dict[str, Any]]:
    """What the child does."""
    yield {"begin": True}
    structure = Structure(
        numbers=np.array(numbers, dtype=np.int64),
        positions_A=np.array(positions_A, dtype=np.float64),
        cell_A=None if cell_A is None else np.array(cell_A, dtype=np.float64),
        source=source,
    )
    kind, function = SAMPLERS[sampler]
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(spawn_key)))
    try:
        for frame in function(structure, engine_from(engine, settings), kind(**sampler_settings), rng):
            yield {"positions_A": frame.positions_A.tolist()}
    except (BlownUp, ValueError, ArithmeticError, RuntimeError) as error:
        yield {"error": f"{type(error).__name__}: {error}"}
