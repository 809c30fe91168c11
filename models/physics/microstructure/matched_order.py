"""Images with one histogram and one Fourier modulus, and a hidden order: beyond grey levels and linear pair statistics.

Scrambled phases (models.physics.microstructure.phase_order) keep |F| but make grey levels Gaussian, so skewness and
kurtosis tell the order t. Here the histogram is taken away too: the field of order t is adjusted until its grey levels
are the quantiles of a normal distribution and its modulus is that of the unscrambled field,

    f_t = irfft2(|F| exp(i [phi + t psi]))                        t = 0: as drawn, 1: random phases
    u_t = adjust_amplitudes(f_t; levels g, modulus |F|)           g_k = Phi^-1((k + 1/2) / N) / its standard deviation
    image = (1 + u_t / max g) / 2

(models.physics.microstructure.amplitude_adjustment). Every image of one size has the same grey levels, bit for bit,
whatever its parameters. With one random generator state, t alone changes, and images of any t have the modulus |F| up
to the relative error that the iteration leaves, below 5e-4 at 40 steps and 128 px (tested).

Two sources of order: walls of Voronoi cells, `matched_order`, and bent lamellae, `matched_lamellae`, each with a random
direction of its own. The second lets choices be made away from the first.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt
from scipy.special import ndtri

from models.physics.microstructure.amplitude_adjustment import adjust_amplitudes
from models.physics.microstructure.generator import (
    GENERATORS,
    FloatArray,
    Generator,
    Shape,
    log_uniform,
    scale_problems,
    uniform,
)
from models.physics.microstructure.lamellae import Lamellae, lamellae
from models.physics.microstructure.phase_order import PhaseOrder, scramble_phases, unclipped_field
from models.physics.microstructure.voronoi import require_cells
from models.settings import Fraction, Range, settings

__all__ = [
    "MatchedLamellae",
    "MatchedLamellaeGenerator",
    "MatchedOrder",
    "MatchedOrderGenerator",
    "matched_lamellae",
    "matched_order",
]

PARAMETERS = {"scale_px": "px", "phase_order": "dimensionless"}


@settings
class MatchedOrder:
    """Parameters of one image of cells."""

    phase_order: Fraction  # t: 0 cells, 1 random phases
    scale_px: Annotated[float, Field(ge=2)]
    shape: Shape
    wall_width: Annotated[float, Field(gt=0, le=1)]  # in scales
    n_iterations: PositiveInt

    def __post_init__(self) -> None:
        require_cells(self.scale_px, self.shape)


@settings
class MatchedLamellae:
    """Parameters of one image of lamellae."""

    phase_order: Fraction
    scale_px: Annotated[float, Field(ge=2)]  # wavelength
    shape: Shape
    angle: float  # [rad]
    noise_strength: PositiveFloat  # [rad]
    n_iterations: PositiveInt


@GENERATORS.register("matched_order")
@settings
class MatchedOrderGenerator(Generator):
    """phase_order uniform in its range, scale_px log-uniform; always periodic."""

    parameters: ClassVar[Mapping[str, str]] = PARAMETERS
    phase_order: Range[Fraction]
    scale_px: Range[Annotated[float, Field(ge=2)]]
    wall_width: Annotated[float, Field(gt=0, le=1)]
    n_iterations: PositiveInt

    def draw(self, u: FloatArray, shape: tuple[int, int], *, periodic: bool) -> MatchedOrder:
        return MatchedOrder(
            phase_order=uniform(u[0], self.phase_order),
            scale_px=log_uniform(u[1], self.scale_px),
            shape=shape,
            wall_width=self.wall_width,
            n_iterations=self.n_iterations,
        )

    def make(self, point: MatchedOrder, rng: np.random.Generator) -> FloatArray:
        return matched_order(point, rng)

    def problems(self, shape: tuple[int, int]) -> list[str]:
        return scale_problems(self.scale_px, shape)


@GENERATORS.register("matched_lamellae")
@settings
class MatchedLamellaeGenerator(Generator):
    """As matched_order; the angle, uniform, is not stored."""

    parameters: ClassVar[Mapping[str, str]] = PARAMETERS
    phase_order: Range[Fraction]
    scale_px: Range[Annotated[float, Field(ge=2)]]
    noise_strength: PositiveFloat
    n_iterations: PositiveInt

    def draw(self, u: FloatArray, shape: tuple[int, int], *, periodic: bool) -> MatchedLamellae:
        return MatchedLamellae(
            phase_order=uniform(u[0], self.phase_order),
            scale_px=log_uniform(u[1], self.scale_px),
            shape=shape,
            angle=float(np.pi * u[2]),
            noise_strength=self.noise_strength,
            n_iterations=self.n_iterations,
        )

    def make(self, point: MatchedLamellae, rng: np.random.Generator) -> FloatArray:
        return matched_lamellae(point, rng)

    def problems(self, shape: tuple[int, int]) -> list[str]:
        return scale_problems(self.scale_px, shape)


def matched_order(params: MatchedOrder, rng: np.random.Generator) -> FloatArray:
    """Image in [0, 1], (n_y, n_x), periodic: walls of cells."""
    walls = PhaseOrder(phase_order=0.0, scale_px=params.scale_px, shape=params.shape, wall_width=params.wall_width)
    return _matched(unclipped_field(walls, rng), params.phase_order, params.n_iterations, rng)


def matched_lamellae(params: MatchedLamellae, rng: np.random.Generator) -> FloatArray:
    """Image in [0, 1], (n_y, n_x), periodic: lamellae."""
    waves = Lamellae(
        angle=params.angle,
        noise_strength=params.noise_strength,
        scale_px=params.scale_px,
        shape=params.shape,
        periodic=True,
    )
    image = lamellae(waves, rng)
    return _matched((image - image.mean()) / image.std(), params.phase_order, params.n_iterations, rng)


def _matched(ordered: FloatArray, strength: float, n_iterations: int, rng: np.random.Generator) -> FloatArray:
    """`ordered` (n_y, n_x) has mean 0 and variance 1, as the levels have, so that both can be met."""
    levels = normal_quantiles(ordered.size)
    scrambled = scramble_phases(ordered, strength, rng)
    adjusted = adjust_amplitudes(scrambled, levels, np.abs(np.fft.rfft2(ordered)), n_iterations)
    return np.asarray((1 + adjusted / levels[-1]) / 2)


@cache
def normal_quantiles(n: int) -> FloatArray:
    """n values, ascending, mean 0 and variance 1, spread as a normal distribution is."""
    values = np.asarray(ndtri((np.arange(n) + 0.5) / n), dtype=np.float64)
    values = (values - values[::-1]) / 2
    values /= values.std()
    values.setflags(write=False)
    return values
