"""Spinodal decomposition by the Cahn-Hilliard equation (J. Chem. Phys. 28, 258, 1958), semi-implicit and spectral.

    dc/dt = laplace mu,    mu = c^3 - c - kappa laplace c,    energy E = int (c^2 - 1)^2 / 4 + kappa |grad c|^2 / 2

in pixels, kappa = interface_px^2 / 2, so that a flat wall is tanh(x / interface_px). With D. Eyre's splitting (MRS
Proc. 529, 39, 1998) in the linearly stabilised form, S = 2 bounding the curvature of the well for |c| <= 1,

    c'(k) = [c(k) - dt k^2 FT(c^3 - (1 + S) c)(k)] / [1 + dt (S k^2 + kappa k^4)]

conserves the mean exactly (k = 0) and lowers E at any time step.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from models.physics.microstructure.generator import GENERATORS, FloatArray, Generator, Shape, uniform
from models.settings import Range, settings

__all__ = ["CahnHilliard", "CahnHilliardGenerator", "cahn_hilliard", "concentrations", "free_energy"]

STABILISATION = 2.0
FIRST_NOISE = 0.05  # standard deviation of c at the start


@settings
class CahnHilliard:
    """Parameters of one image."""

    composition: Annotated[float, Field(gt=-1, lt=1)]  # mean of c, between the phases -1 and 1
    n_steps: PositiveInt
    shape: Shape
    time_step: PositiveFloat = 2.0
    interface_px: Annotated[float, Field(ge=1)] = 1.5


@GENERATORS.register("cahn_hilliard")
@settings
class CahnHilliardGenerator(Generator):
    """composition uniform; always periodic."""

    parameters: ClassVar[Mapping[str, str]] = {}  # the composition is not stored
    composition: Range[Annotated[float, Field(gt=-1, lt=1)]]
    n_steps: PositiveInt
    time_step: PositiveFloat
    interface_px: Annotated[float, Field(ge=1)]

    def draw(self, u: FloatArray, shape: tuple[int, int], *, periodic: bool) -> CahnHilliard:
        return CahnHilliard(
            composition=uniform(u[0], self.composition),
            n_steps=self.n_steps,
            shape=shape,
            time_step=self.time_step,
            interface_px=self.interface_px,
        )

    def make(self, point: CahnHilliard, rng: np.random.Generator) -> FloatArray:
        return cahn_hilliard(point, rng)


def cahn_hilliard(params: CahnHilliard, rng: np.random.Generator) -> FloatArray:
    """Image (1 + c) / 2 clipped to [0, 1], (n_y, n_x), periodic."""
    return np.asarray(np.clip((1 + concentrations(params, rng)) / 2, 0, 1))


def concentrations(params: CahnHilliard, rng: np.random.Generator) -> FloatArray:
    """c after `n_steps`, (n_y, n_x). Raises FloatingPointError where it does not stay finite."""
    noise = FIRST_NOISE * rng.standard_normal(params.shape)
    c = params.composition + noise - noise.mean()
    square = _wave_number_squared(params.shape)
    drive = params.time_step * square
    damping = 1 / (1 + drive * (STABILISATION + kappa(params) * square))
    transform = np.fft.rfft2(c)
    for _ in range(params.n_steps):
        explicit = np.fft.rfft2(c * c * c - (1 + STABILISATION) * c)  # of c as it is: rounding must not feed on itself
        transform = (transform - drive * explicit) * damping
        c = np.fft.irfft2(transform, s=params.shape)
    if not np.isfinite(c).all():
        raise FloatingPointError("the concentration did not stay finite; choose a smaller time_step")
    return np.asarray(c)


def free_energy(c: FloatArray, params: CahnHilliard) -> float:
    """E of the docstring, summed over pixels; the gradient is taken in Fourier space."""
    square = _wave_number_squared(params.shape)
    gradient_term = -c * np.fft.irfft2(-square * np.fft.rfft2(c), s=params.shape)
    return float(np.sum((c**2 - 1) ** 2 / 4 + kappa(params) / 2 * gradient_term))


def kappa(params: CahnHilliard) -> float:
    return params.interface_px**2 / 2


def _wave_number_squared(shape: tuple[int, int]) -> FloatArray:
    k_y, k_x = 2 * np.pi * np.fft.fftfreq(shape[0]), 2 * np.pi * np.fft.rfftfreq(shape[1])
    return np.asarray(k_y[:, None] ** 2 + k_x**2)
