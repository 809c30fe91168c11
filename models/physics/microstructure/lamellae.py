"""Lamellae: plane waves bent and torn by multi-scale noise.

    phase = 2 pi x . n(angle) / scale + noise_strength * N(x) + origin,    image = (1 + tanh(2 cos phase)) / 2

with n = (cos angle, sin angle) in (x, y), N a Perlin noise of unit rms (models.physics.microstructure.perlin) whose
largest cells are two scales wide, and a random origin. noise_strength 0 gives straight stripes, a few radians
labyrinths without direction. n and -n give the same stripes: the angle has the period pi.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat

from models.physics.microstructure.generator import (
    GENERATORS,
    FloatArray,
    Generator,
    Shape,
    log_uniform,
    scale_problems,
)
from models.physics.microstructure.perlin import fractal_noise
from models.settings import Range, settings

__all__ = ["Lamellae", "LamellaeGenerator", "lamellae", "wave_vector"]

CELLS_PER_SCALE = 2.0
SHARPNESS = 2.0  # of the walls: the factor inside tanh
N_OCTAVES = 4


@settings
class Lamellae:
    """Parameters of one image. `angle` is taken modulo pi."""

    angle: float  # [rad]
    noise_strength: NonNegativeFloat  # [rad]
    scale_px: Annotated[float, Field(ge=2)]
    shape: Shape
    periodic: bool = False


@GENERATORS.register("lamellae")
@settings
class LamellaeGenerator(Generator):
    """angle uniform in [0, pi), noise_strength and scale_px log-uniform."""

    parameters: ClassVar[Mapping[str, str]] = {"angle": "rad", "noise_strength": "rad", "scale_px": "px"}
    noise_strength: Range[PositiveFloat]
    scale_px: Range[Annotated[float, Field(ge=2)]]

    def draw(self, u: FloatArray, shape: tuple[int, int], *, periodic: bool) -> Lamellae:
        return Lamellae(
            angle=float(np.pi * u[0]),
            noise_strength=log_uniform(u[1], self.noise_strength),
            scale_px=log_uniform(u[2], self.scale_px),
            shape=shape,
            periodic=periodic,
        )

    def make(self, point: Lamellae, rng: np.random.Generator) -> FloatArray:
        return lamellae(point, rng)

    def problems(self, shape: tuple[int, int]) -> list[str]:
        return scale_problems(self.scale_px, shape)


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
