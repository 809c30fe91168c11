"""Which micrographs a seed stands for: parameter points that fill the ranges of each generator, and their realisations.

Points are scrambled Sobol points, one sequence per generator. Realisation r of point p of generator g is made with
SeedSequence(seed, spawn_key=(g, p, r)), g the position of the generator, so that neither more points nor a further
generator at the end change an image that was there before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from models.physics.microstructure.generator import N_DRAWN, Generator

__all__ = ["Micrograph", "draw_images", "make_image"]

FloatArray = NDArray[np.float64]
SOBOL_KEY = 2**31  # spawn key of the sampling, away from those of the points


@dataclass(frozen=True, kw_only=True)
class Micrograph:
    """One image to make: its generator and its number, the point, its group and the key of its random numbers."""

    generator: Generator
    code: int
    point: Any
    group: int
    spawn_key: tuple[int, int, int]


def draw_images(
    generators: Mapping[str, Generator], shape: tuple[int, int], *, periodic: bool, seed: int
) -> list[Micrograph]:
    """All images of all generators, realisations of one point in a row."""
    drawn: list[Micrograph] = []
    n_groups = 0
    for code, generator in enumerate(generators.values()):
        for number, u in enumerate(_even_points(generator.n_points, seed=seed, code=code)):
            point = generator.draw(u, shape, periodic=periodic)
            drawn += [
                Micrograph(
                    generator=generator,
                    code=code,
                    point=point,
                    group=n_groups + number,
                    spawn_key=(code, number, realisation),
                )
                for realisation in range(generator.n_realisations)
            ]
        n_groups += generator.n_points
    return drawn


def _even_points(n_points: int, *, seed: int, code: int) -> FloatArray:
    """Scrambled Sobol points in the unit cube, (n_points, N_DRAWN): more points begin with the same."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SOBOL_KEY, code)))
    power = max(0, n_points - 1).bit_length()
    return np.asarray(qmc.Sobol(N_DRAWN, rng=rng).random_base2(power))[:n_points]


def make_image(micrograph: Micrograph, *, seed: int) -> tuple[NDArray[np.float32], str]:
    """The image and why it could not be made: one that could not is all zeros, one that could has no reason."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=micrograph.spawn_key))
    try:
        image = micrograph.generator.make(micrograph.point, rng).astype(np.float32)
        if not np.ptp(image) > 0:
            raise ArithmeticError("the image has no contrast")
    except ArithmeticError as error:
        return np.zeros(micrograph.point.shape, dtype=np.float32), f"{type(error).__name__}: {error}"
    return image, ""
