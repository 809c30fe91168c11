"""Grey levels of an image, positions forgotten: their histogram, and its moments. One-point statistics.

With u = (f - <f>) / s, s the standard deviation, so that brightness and contrast drop out,

    histogram   h_b = sqrt(share of pixels with u in bin b)      of equal width from -range to range; what lies beyond
                                                                 counts in the first and last. Length 1 as it stands:
                                                                 distances are Hellinger's
    moments     a_n = <He_n(u)> / sqrt(n!)                       n = 0, 3, 4, ..., highest

a_n are the coefficients of the Gram-Charlier series of the histogram: a_0 = 1, sqrt(6) a_3 is the skewness,
sqrt(24) a_4 the excess kurtosis, and all but a_0 vanish for Gaussian grey levels; a_1 = a_2 = 0 by the choice of u.
The constant a_0 keeps their size when the row is brought to unit length.
"""

from dataclasses import dataclass
from math import factorial, sqrt
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.polynomial.hermite_e import hermeval
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from models.descriptors.descriptor import DESCRIPTORS, FloatArray, describe_in_blocks
from models.descriptors.level_sets import standardised
from models.settings import settings

__all__ = ["GreyHistogram", "GreyLevelSettings", "GreyMoments", "gram_charlier"]

BLOCK = 64  # images at once


@settings
class GreyLevelSettings:
    family: ClassVar[str] = "grey_levels"
    n_bins: Annotated[int, Field(ge=2)] = 32
    range_sigmas: PositiveFloat = 4.0
    highest_moment: Annotated[int, Field(ge=3, le=12)] = 6


@DESCRIPTORS.register("grey_histogram", settings=GreyLevelSettings)
def grey_histogram(chosen: GreyLevelSettings, name: str, shape: tuple[int, int], random_seed: int) -> "GreyHistogram":
    return GreyHistogram(name=name, shape=shape, n_bins=chosen.n_bins, range_sigmas=chosen.range_sigmas)


@DESCRIPTORS.register("grey_moments", settings=GreyLevelSettings)
def grey_moments(chosen: GreyLevelSettings, name: str, shape: tuple[int, int], random_seed: int) -> "GreyMoments":
    return GreyMoments(name=name, shape=shape, highest=chosen.highest_moment)


@dataclass(frozen=True, kw_only=True)
class GreyHistogram:
    """Descriptor."""

    name: str
    shape: tuple[int, int]
    n_bins: int
    range_sigmas: float

    @property
    def n_features(self) -> int:
        return self.n_bins

    def describe(self, images_BHW: NDArray[Any]) -> FloatArray:
        return describe_in_blocks(self, images_BHW, BLOCK, self._features)

    def _features(self, images_BHW: NDArray[Any]) -> NDArray[Any]:
        u_BP = standardised(images_BHW).reshape(len(images_BHW), -1)
        bin_BP = np.floor((u_BP / self.range_sigmas + 1) / 2 * self.n_bins)
        bin_BP = np.clip(bin_BP, 0, self.n_bins - 1).astype(np.intp)
        counts = np.stack([np.bincount(row, minlength=self.n_bins) for row in bin_BP])
        return np.sqrt(counts / u_BP.shape[1])


@dataclass(frozen=True, kw_only=True)
class GreyMoments:
    """Descriptor."""

    name: str
    shape: tuple[int, int]
    highest: int

    @property
    def n_features(self) -> int:
        return self.highest - 1

    def describe(self, images_BHW: NDArray[Any]) -> FloatArray:
        return describe_in_blocks(self, images_BHW, BLOCK, self._features)

    def _features(self, images_BHW: NDArray[Any]) -> NDArray[Any]:
        return gram_charlier(images_BHW, self.highest)


def gram_charlier(images_BHW: NDArray[Any], highest: int) -> NDArray[np.float64]:
    """a_0, a_3, a_4, ..., a_highest of each image: (B, highest - 1)."""
    u_BHW = standardised(images_BHW)
    orders = [0, *range(3, highest + 1)]
    columns = [hermeval(u_BHW, np.eye(highest + 1)[n]).mean((1, 2)) / sqrt(factorial(n)) for n in orders]
    return np.stack(columns, axis=1)
