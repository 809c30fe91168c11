"""Frames of molecular dynamics in contact with a heat bath, driven by a cheap engine.

Langevin's equation m a = F - gamma m v + noise (models.physics.atoms.baoab). Temperature may change linearly along the
run. The engine that drives is not the one that labels, so only positions are kept. Units: A, fs, u, eV.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from models.frames import CONTACT_A, Frames
from models.physics.atoms.baoab import BOLTZMANN_EV_K, FORCE_TO_ACCELERATION, baoab_step
from models.physics.atoms.distances import minimum_distance
from models.physics.atoms.engine import Engine
from models.physics.atoms.sampling.normal_modes import masses_of
from models.physics.atoms.sampling.ranges import number_problems, refuse_if

__all__ = ["BlownUp", "Langevin", "sample_langevin"]

FloatArray = NDArray[np.float64]


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
    kept = np.exp(-settings.friction_1_fs * settings.time_step_fs)
    positions = structure.positions_A.copy()
    velocities = rng.standard_normal(positions.shape) * _speed(temperatures[0], masses)

    def accelerate(positions: FloatArray) -> FloatArray:
        forces = engine.label(structure.numbers, positions, structure.cell_A).forces_eV_A
        return FORCE_TO_ACCELERATION * forces / masses

    acceleration = accelerate(positions)
    for step, temperature in enumerate(temperatures):
        positions, velocities, acceleration = baoab_step(
            positions,
            velocities,
            acceleration,
            half_step=settings.time_step_fs / 2,
            bath=partial(_bath, kept=kept, speed=_speed(temperature, masses), rng=rng),
            accelerate=accelerate,
        )
        if (
            step >= settings.equilibration_steps
            and (step - settings.equilibration_steps) % settings.steps_per_frame == 0
        ):
            yield _frame(structure, positions, masses, step)


def _bath(velocities: FloatArray, *, kept: float, speed: FloatArray, rng: np.random.Generator) -> FloatArray:
    noise = rng.standard_normal(velocities.shape) * speed
    return np.asarray(kept * velocities + np.sqrt(1 - kept**2) * noise)


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
