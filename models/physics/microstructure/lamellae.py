"""Lamellae: plane waves bent and torn by multi-scale noise.

    phase = 2 pi x . n(angle) / scale + noise_strength * N(x) + origin,    image = (1 + tanh(2 cos phase)) / 2

with n = (cos angle, sin angle) in (x, y), N a Perlin noise of unit rms (models.physics.microstructure.perlin) whose
largest cells are two scales wide, and a random origin. noise_strength 0 gives straight stripes, a few radians
labyrinths without direction. n and -n give the same stripes: the angle has the period pi.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.physics.microstructure.checks import number_problems, shape_problems
from models.physics.microstructure.perlin import fractal_noise

__all__ = ["Lamellae", "lamellae", "wave_vector"]

FloatArray = NDArray[np.float64]
CELLS_PER_SCALE = 2.0
SHARPNESS = 2.0  # of the walls: the factor inside tanh
N_OCTAVES = 4


@dataclass(frozen=True, kw_only=True)
class Lamellae:
    """Parameters; raises ValueError that lists every one out of range. `angle` is taken modulo pi."""

    angle: float  # [rad]
    noise_strength: float  # [rad]
    scale_px: float
    shape: tuple[int, int]
    periodic: bool = False

    def __post_init__(self) -> None:
        problems = (
            number_problems("angle", self.angle)
            + number_problems("noise_strength", self.noise_strength, low=0)
            + number_problems("scale_px", self.scale_px, low=2)
            + shape_problems(self.shape)
        )
        if problems:
            raise ValueError("Lamellae: " + "; ".join(problems))


def lamellae(params: Lamellae, rng: np.random.Generator) -> FloatArray:
    """Image in [0, 1], (n_y, n_x); with `periodic` the wave vector is rounded to one that fits the box."""
    n_y, n_x = params.shape
    k_y, k_x = wave_vector(params)
    origin = rng.uniform(0, 2 * np.pi)
    noise = fractal_noise(params.shape, CELLS_PER_SCALE * params.scale_px, N_OCTAVES, rng, periodic=params.periodic)
    noise *= params.noise_strength
    noise += (2 * np.pi * k_y * np.arange(n_y) + origin)[:, None]
    noise += 2 * np.pi * k_x * np.arange(n_x)
    return np.asarray(0.5 + 0.5 * np.tanh(SHARPNESS * np.cos(noise)))


def wave_vector(params: Lamellae) -> tuple[float, float]:
    """(k_y, k_x) [cycles per px], k_y >= 0 in the half plane of angles [0, pi)."""
    angle = params.angle % np.pi
    k_y, k_x = float(np.sin(angle) / params.scale_px), float(np.cos(angle) / params.scale_px)
    if not params.periodic:
        return k_y, k_x
    n_y, n_x = params.shape
    return round(k_y * n_y) / n_y, round(k_x * n_x) / n_x
