"""Frames of molecular dynamics in contact with a heat bath, driven by a cheap engine.

Langevin's equation m a = F - gamma m v + noise, integrated by BAOAB (B. Leimkuhler and C. Matthews, Appl. Math. Res.
Express 2013, 34): half kick, half drift, exact Ornstein-Uhlenbeck step, half drift, half kick. Temperature may change
linearly along the run. The engine that drives is not the one that labels, so only positions are kept.

Units: A, fs, u, eV; 1 eV / (A u) = FORCE_TO_ACCELERATION A/fs^2.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.frames import CONTACT_A, Frames
from models.physics.atoms.engine import Engine
from models.physics.atoms.sampling.normal_modes import BOLTZMANN_EV_K, masses_of
from models.physics.atoms.sampling.ranges import number_problems, refuse_if
from models.physics.atoms.distances import minimum_distance

__all__ = ["BlownUp", "Langevin", "sample_langevin"]

FloatArray = NDArray[np.float64]
FORCE_TO_ACCELERATION = 9.64853322e-3


class BlownUp(RuntimeError):
    """The trajectory left the realm of physics: fused or lost atoms."""


@dataclass(frozen=True, kw_only=True)
class Langevin:
    """`equilibration_steps` before the first frame, `steps_per_frame` between frames; T goes from first to last."""

    n_frames: int
    temperature_K: tuple[float, float]
    time_step_fs: float = 0.5
    equilibration_steps: int = 200
    steps_per_frame: int = 40
    friction_1_fs: float = 0.02

    def __post_init__(self) -> None:
        object.__setattr__(self, "temperature_K", tuple(self.temperature_K))
        first, last = self.temperature_K
        refuse_if(
            number_problems(first_temperature_K=first, last_temperature_K=last, friction_1_fs=self.friction_1_fs)
            + number_problems(n_frames=self.n_frames, equilibration_steps=self.equilibration_steps)
            + number_problems(1, steps_per_frame=self.steps_per_frame)
            + number_problems(1e-3, time_step_fs=self.time_step_fs)
        )


def sample_langevin(
    structure: Frames, engine: Engine, settings: Langevin, rng: np.random.Generator
) -> Iterator[Frames]:
    """One trajectory from `structure`, velocities drawn at the first temperature. Raises BlownUp."""
    masses = masses_of(structure)[:, None]  # (n_atoms, 1)
    n_steps = settings.equilibration_steps + settings.steps_per_frame * (settings.n_frames - 1) + 1
    temperatures = np.linspace(*settings.temperature_K, n_steps)
    half = settings.time_step_fs / 2
    kept = np.exp(-settings.friction_1_fs * settings.time_step_fs)
    positions = structure.positions_A.copy()
    velocities = rng.standard_normal(positions.shape) * _speed(temperatures[0], masses)
    acceleration = _acceleration(structure, engine, positions, masses)
    for step, temperature in enumerate(temperatures):
        velocities += half * acceleration
        positions += half * velocities
        noise = rng.standard_normal(positions.shape) * _speed(temperature, masses)
        velocities = kept * velocities + np.sqrt(1 - kept**2) * noise
        positions += half * velocities
        acceleration = _acceleration(structure, engine, positions, masses)
        velocities += half * acceleration
        if (
            step >= settings.equilibration_steps
            and (step - settings.equilibration_steps) % settings.steps_per_frame == 0
        ):
            yield _frame(structure, positions, masses, step)


def _acceleration(structure: Frames, engine: Engine, positions: FloatArray, masses: FloatArray) -> FloatArray:
    forces = engine.label(structure.numbers, positions, structure.cell_A).forces_eV_A
    return FORCE_TO_ACCELERATION * forces / masses


def _speed(temperature_K: float, masses: FloatArray) -> FloatArray:
    return np.sqrt(BOLTZMANN_EV_K * temperature_K * FORCE_TO_ACCELERATION / masses)


def _frame(structure: Frames, positions: FloatArray, masses: FloatArray, step: int) -> Frames:
    frame = structure.changed(positions_A=positions.copy())
    if not np.isfinite(positions).all() or minimum_distance(frame) < CONTACT_A:
        raise BlownUp(f"the trajectory blew up before step {step}: atoms fused or lost; take a smaller time step")
    if structure.cell_A is None:
        return frame.changed(positions_A=positions - np.average(positions, axis=0, weights=masses[:, 0]))
    fractional = positions @ np.linalg.inv(structure.cell_A)
    return frame.changed(positions_A=(fractional - np.floor(fractional)) @ structure.cell_A)
