"""Lineal path: with which probability does a segment thrown at random lie wholly in one phase (Lu and Torquato 1992)?

    L(z) = number of segments of z pixels inside the phase / number of all segments of z pixels         z = 1, 2, ...

for each level (models.descriptors.level_sets), the phases above and below it, and four directions: along x, y and the
two diagonals, where z pixels are sqrt(2) z long. L(1) is the area fraction. Unlike a two-point function, L knows
whether two points are connected along the line between them (Phys. Rev. A 45, 922).

radial   mean over the four directions at equal z
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.descriptors.descriptor import DESCRIPTORS, FloatArray, describe_in_blocks
from models.descriptors.level_sets import DIRECTIONS, Levels, level_sets, n_of_length
from models.settings import settings

__all__ = ["LinealPath", "LinealPathSettings", "lineal_path_function"]

BLOCK = 16  # images at once


@settings
class LinealPathSettings:
    family: ClassVar[str] = "lineal_path"
    levels_sigmas: Levels = (-1.0, 0.0, 1.0)
    maximum_length: Annotated[int, Field(ge=2)] = 32  # pixels
    periodic: bool = True


@DESCRIPTORS.register("lineal_path", settings=LinealPathSettings)
@DESCRIPTORS.register("lineal_path_radial", settings=LinealPathSettings)
def lineal_path(chosen: LinealPathSettings, name: str, shape: tuple[int, int], random_seed: int) -> "LinealPath":
    return LinealPath(
        name=name,
        shape=shape,
        levels_sigmas=chosen.levels_sigmas,
        maximum_length=chosen.maximum_length,
        periodic=chosen.periodic,
        radial=name.endswith("radial"),
    )


@dataclass(frozen=True, kw_only=True)
class LinealPath:
    """Descriptor. Raises ValueError for segments longer than the images."""

    name: str
    shape: tuple[int, int]
    levels_sigmas: tuple[float, ...]
    maximum_length: int
    periodic: bool
    radial: bool

    def __post_init__(self) -> None:
        require_length(self.name, self.maximum_length, self.shape)

    @property
    def n_features(self) -> int:
        return 2 * len(self.levels_sigmas) * self.maximum_length * (1 if self.radial else len(DIRECTIONS))

    def describe(self, images_BHW: NDArray[Any]) -> FloatArray:
        return describe_in_blocks(self, images_BHW, BLOCK, self._features)

    def _features(self, images_BHW: NDArray[Any]) -> NDArray[Any]:
        parts = []
        for above_BHW in level_sets(images_BHW, self.levels_sigmas):
            for phase_BHW in (above_BHW, ~above_BHW):
                path_BDZ = lineal_path_function(phase_BHW, self.maximum_length, periodic=self.periodic)
                parts.append(path_BDZ.mean(1) if self.radial else path_BDZ.reshape(len(path_BDZ), -1))
        return np.concatenate(parts, axis=1)


def lineal_path_function(phase_BHW: NDArray[np.bool_], maximum_length: int, *, periodic: bool) -> NDArray[np.float64]:
    """L(1), ..., L(maximum_length) in each of DIRECTIONS: (B, 4, maximum_length)."""
    shares = []
    for step in DIRECTIONS:
        counts_BZ, total_Z = n_of_length(phase_BHW, step, maximum_length, periodic=periodic)
        shares.append(counts_BZ / total_Z)
    return np.stack(shares, axis=1)


def require_length(name: str, maximum_length: int, shape: tuple[int, int]) -> None:
    """Raise ValueError where a segment would not fit into the image."""
    if maximum_length > min(shape):
        raise ValueError(
            f"{name}: found maximum_length {maximum_length}, expected at most {min(shape)} for images of "
            f"{shape[0]} x {shape[1]} pixels; choose a shorter length or larger images"
        )
