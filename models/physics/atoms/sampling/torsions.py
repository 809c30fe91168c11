"""Turns about single bonds: what neither small displacements nor a short trajectory reaches.

Each frame turns every rotatable bond by an angle of an even grid (shifted at random as a whole, so that many frames
cover the circle) and shakes the atoms as normal modes of the minimum would at a temperature.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.frames import Frames
from models.physics.atoms.distances import minimum_distance
from models.physics.atoms.engine import Engine
from models.physics.atoms.sampling.molecules import rotatable_bonds
from models.physics.atoms.sampling.normal_modes import NormalModes, sample_normal_modes
from models.physics.atoms.sampling.ranges import number_problems, range_problems, refuse_if

__all__ = ["Torsions", "sample_torsions", "turned"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Torsions:
    """Frames in which atoms come nearer than `closest_A` are drawn anew, up to `max_draws` times each."""

    n_frames: int
    temperature_K: tuple[float, float]
    closest_A: float = 0.8
    max_draws: int = 50

    def __post_init__(self) -> None:
        object.__setattr__(self, "temperature_K", tuple(self.temperature_K))
        refuse_if(
            range_problems("temperature_K", self.temperature_K)
            + number_problems(n_frames=self.n_frames, closest_A=self.closest_A)
            + number_problems(1, max_draws=self.max_draws)
        )


def sample_torsions(structure: Frames, engine: Engine, settings: Torsions, rng: np.random.Generator) -> list[Frames]:
    """Raises ValueError where no bond of the molecule turns, or turning always brings atoms together."""
    bonds = rotatable_bonds(structure)
    if not bonds:
        raise ValueError(f"{structure.source}: found no bond that turns, expected one; ask for no torsions of it")
    shaken = sample_normal_modes(
        structure, engine, NormalModes(n_frames=settings.n_frames, temperature_K=settings.temperature_K), rng
    )
    shifts = rng.uniform(0, 2 * np.pi, size=len(bonds))
    frames = []
    for index, frame in enumerate(shaken):
        angles = shifts + 2 * np.pi * index / settings.n_frames
        for _ in range(settings.max_draws):
            candidate = frame
            for bond, angle in zip(bonds, angles, strict=True):
                candidate = turned(candidate, bond, float(angle))
            if minimum_distance(candidate) >= settings.closest_A:
                break
            angles = rng.uniform(0, 2 * np.pi, size=len(bonds))
        else:
            raise ValueError(f"{structure.source}: every turn brings atoms nearer than {settings.closest_A:g} A")
        frames.append(candidate)
    return frames


def turned(structure: Frames, bond: tuple[int, int, list[int]], angle: float) -> Frames:
    """The atoms behind `bond` (a, b, atoms) turned about the line from a to b by `angle` (Rodrigues' formula)."""
    a, b, moving = bond
    origin = structure.positions_A[b]
    axis = origin - structure.positions_A[a]
    axis = axis / np.linalg.norm(axis)
    arms = structure.positions_A[moving] - origin  # (n, 3)
    along = np.outer(arms @ axis, axis)
    positions = structure.positions_A.copy()
    positions[moving] = origin + along + np.cos(angle) * (arms - along) + np.sin(angle) * np.cross(axis, arms)
    return structure.changed(positions_A=positions)
