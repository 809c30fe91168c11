"""Minkowski functionals of level sets: area, boundary length and Euler characteristic, over the grey level.

By Hadwiger's theorem these three are all additive, motion-invariant numbers of a body in the plane. Per pixel, of the
set above a level (models.descriptors.level_sets), pixels being closed unit squares,

    A = n_pixels / N                          area fraction
    P = n_faces / N                           boundary: faces between a pixel inside and one outside      [1 / px]
    X = (n_corners - n_edges + n_pixels) / N  Euler characteristic: parts less holes                      [1 / px^2]

n_corners, n_edges: corners and edges of pixels inside, each counted once. Pixels that touch at a corner are connected.
The features are A, length P and length^2 X at all levels, `length_px` bringing them to comparable sizes: A keeps the
size of the others when the row is brought to unit length. For a Gaussian field, at level v standard deviations,

    A = 1 - Phi(v),    P = (4 / pi) sqrt(l) exp(-v^2 / 2) / 2,    X = l v exp(-v^2 / 2) / (2 pi)^(3/2)

with l the mean square of a directional derivative, as far as the pixels resolve the field: 4 / pi because faces measure
the boundary along x and y (Adler, The Geometry of Random Fields, 1981; Mecke, Statistical Physics and Spatial
Statistics, 2000).

Not periodic: what lies beyond the border is outside of the set, but the border itself is not counted in P.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from models.descriptors.descriptor import DESCRIPTORS, FloatArray, describe_in_blocks
from models.descriptors.level_sets import Levels, level_sets
from models.settings import settings

__all__ = ["Minkowski", "MinkowskiSettings", "minkowski_functionals"]

BLOCK = 16  # images at once


@settings
class MinkowskiSettings:
    family: ClassVar[str] = "minkowski"
    levels_sigmas: Levels = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
    length_px: PositiveFloat = 8.0
    periodic: bool = True


@DESCRIPTORS.register("minkowski", settings=MinkowskiSettings)
def minkowski(chosen: MinkowskiSettings, name: str, shape: tuple[int, int], random_seed: int) -> "Minkowski":
    return Minkowski(
        name=name,
        shape=shape,
        levels_sigmas=chosen.levels_sigmas,
        length_px=chosen.length_px,
        periodic=chosen.periodic,
    )


@dataclass(frozen=True, kw_only=True)
class Minkowski:
    """Descriptor."""

    name: str
    shape: tuple[int, int]
    levels_sigmas: tuple[float, ...]
    length_px: float
    periodic: bool

    @property
    def n_features(self) -> int:
        return 3 * len(self.levels_sigmas)

    def describe(self, images_BHW: NDArray[Any]) -> FloatArray:
        return describe_in_blocks(self, images_BHW, BLOCK, self._features)

    def _features(self, images_BHW: NDArray[Any]) -> NDArray[Any]:
        units = np.array([1.0, self.length_px, self.length_px**2])
        sets_ABHW = level_sets(images_BHW, self.levels_sigmas)
        return np.concatenate([units * minkowski_functionals(s, periodic=self.periodic) for s in sets_ABHW], axis=1)


def minkowski_functionals(inside_BHW: NDArray[np.bool_], *, periodic: bool) -> NDArray[np.float64]:
    """A, P [1 / px] and X [1 / px^2] of each set: (B, 3)."""
    n = inside_BHW.shape[1] * inside_BHW.shape[2]
    if periodic:
        here = inside_BHW
        down, right = np.roll(here, -1, axis=1), np.roll(here, -1, axis=2)
        faces_B = (here ^ down).sum((1, 2)) + (here ^ right).sum((1, 2))
    else:
        faces_B = (inside_BHW[:, 1:] ^ inside_BHW[:, :-1]).sum((1, 2))
        faces_B = faces_B + (inside_BHW[:, :, 1:] ^ inside_BHW[:, :, :-1]).sum((1, 2))
        here = np.pad(inside_BHW, ((0, 0), (1, 1), (1, 1)))
        down, right = np.roll(here, -1, axis=1), np.roll(here, -1, axis=2)
    edges_B = (here | down).sum((1, 2)) + (here | right).sum((1, 2))
    corners_B = (here | down | right | np.roll(down, -1, axis=2)).sum((1, 2))
    pixels_B = here.sum((1, 2))
    return np.asarray(np.stack([pixels_B, faces_B, corners_B - edges_B + pixels_B], axis=1) / n)
