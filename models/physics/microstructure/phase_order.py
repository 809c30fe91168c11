"""Images that pair statistics cannot tell apart: one Fourier modulus, phases from ordered to random.

The walls of Voronoi cells (models.physics.microstructure.voronoi) have the Fourier transform |F| exp(i phi). Adding a
random psi, odd in k and uniform in [-pi, pi], to the phases,

    F_t(k) = |F(k)| exp(i [phi(k) + t psi(k)]),     psi(-k) = -psi(k), so the field stays real

dissolves the walls as t goes from 0 to 1, where nothing is left but a field of random phases. The periodic two-point
correlation is the inverse transform of |F|^2, the same for all t. With one random generator state, t alone changes.

    image = clip(1/2 + (f - mean) / (2 n s)),       n = clip_sigmas, s = standard deviation

s depends on |F| alone, so every t gets the same affine map and only values beyond n standard deviations are clipped.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from models.physics.microstructure.generator import (
    GENERATORS,
    FloatArray,
    Generator,
    Shape,
    log_uniform,
    scale_problems,
    uniform,
)
from models.physics.microstructure.voronoi import draw_seeds, nearest_seeds, require_cells, wall_profile
from models.settings import Fraction, Range, settings

__all__ = ["PhaseOrder", "PhaseOrderGenerator", "phase_order", "scramble_phases", "unclipped_field"]


@settings
class PhaseOrder:
    """Parameters of one image."""

    phase_order: Fraction  # t: 0 cells, 1 random phases
    scale_px: Annotated[float, Field(ge=2)]
    shape: Shape
    wall_width: Annotated[float, Field(gt=0, le=1)] = 0.15  # in scales
    clip_sigmas: Annotated[float, Field(ge=1, le=10)] = 4.0

    def __post_init__(self) -> None:
        require_cells(self.scale_px, self.shape)


@GENERATORS.register("phase_order")
@settings
class PhaseOrderGenerator(Generator):
    """phase_order uniform in its range, scale_px log-uniform; always periodic."""

    parameters: ClassVar[Mapping[str, str]] = {"scale_px": "px", "phase_order": "dimensionless"}
    phase_order: Range[Fraction]
    scale_px: Range[Annotated[float, Field(ge=2)]]
    wall_width: Annotated[float, Field(gt=0, le=1)]
    clip_sigmas: Annotated[float, Field(ge=1, le=10)]

    def draw(self, u: FloatArray, shape: tuple[int, int], *, periodic: bool) -> PhaseOrder:
        return PhaseOrder(
            phase_order=uniform(u[0], self.phase_order),
            scale_px=log_uniform(u[1], self.scale_px),
            shape=shape,
            wall_width=self.wall_width,
            clip_sigmas=self.clip_sigmas,
        )

    def make(self, point: PhaseOrder, rng: np.random.Generator) -> FloatArray:
        return phase_order(point, rng)

    def problems(self, shape: tuple[int, int]) -> list[str]:
        return scale_problems(self.scale_px, shape)


def phase_order(params: PhaseOrder, rng: np.random.Generator) -> FloatArray:
    """Image in [0, 1], (n_y, n_x), periodic."""
    field = unclipped_field(params, rng)
    return np.asarray(np.clip(0.5 + field / (2 * params.clip_sigmas), 0, 1))


def unclipped_field(params: PhaseOrder, rng: np.random.Generator) -> FloatArray:
    """Walls of cells with partly scrambled phases, mean 0 and standard deviation 1, (n_y, n_x)."""
    seeds = draw_seeds(params.scale_px, params.shape, rng)
    nearest = nearest_seeds(seeds, params.shape, periodic=True)
    walls = wall_profile(nearest, params.wall_width * params.scale_px)
    return scramble_phases((walls - walls.mean()) / walls.std(), params.phase_order, rng)


def scramble_phases(field: FloatArray, strength: float, rng: np.random.Generator) -> FloatArray:
    """Real field (n_y, n_x) of the same Fourier modulus; `strength` 0 keeps the phases, 1 makes them random."""
    n_y, n_x = field.shape
    psi = rng.uniform(-np.pi, np.pi, (n_y, n_x // 2 + 1))
    for column in (0, n_x // 2) if n_x % 2 == 0 else (0,):  # columns that hold k and -k both
        psi[n_y // 2 + 1 :, column] = -psi[1 : (n_y + 1) // 2, column][::-1]
        psi[:: n_y // 2 if n_y % 2 == 0 else n_y, column] = 0  # k = -k: the transform is real there and stays so
    angle = strength * psi
    turn = np.empty(psi.shape, dtype=np.complex128)
    np.cos(angle, out=turn.real)
    np.sin(angle, out=turn.imag)
    return np.fft.irfft2(np.fft.rfft2(field) * turn, s=field.shape)
