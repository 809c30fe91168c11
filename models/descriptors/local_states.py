"""Two-point functions of local states: with which probability are two pixels a given lag apart both above their levels?

    S_ab(r) = <I_a(x) I_b(x + r)> - <I_a> <I_b>        I_a the level set of level a (models.descriptors.level_sets)

for all pairs of levels a <= b: they are all that is known of two grey levels at two points, binned by the levels (the
local states of Adams, Gao and Kalidindi, Acta Mater. 53, 3563, 2005). Non-linear pair statistics: unlike the two-point
function of the grey levels themselves, they are not given by the Fourier modulus of the image.

full     all lags with |r_y|, |r_x| <= maximum_lag. S_aa is even: half of it, times sqrt(2) but for r = 0. a < b: all
radial   mean over the lags whose |r| rounds to 0 .. maximum_lag
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt
from scipy import fft

from models.descriptors.descriptor import DESCRIPTORS, FloatArray, describe_in_blocks
from models.descriptors.level_sets import Levels, level_sets
from models.descriptors.two_point import half_plane, radial_mean
from models.settings import settings

__all__ = ["LocalStateSettings", "LocalStates", "state_correlations"]

BLOCK = 16  # images at once


@settings
class LocalStateSettings:
    family: ClassVar[str] = "local_states"
    levels_sigmas: Levels = (-1.0, 0.0, 1.0)
    maximum_lag: PositiveInt = 16
    periodic: bool = True


@DESCRIPTORS.register("local_states", settings=LocalStateSettings)
@DESCRIPTORS.register("local_states_radial", settings=LocalStateSettings)
def local_states(chosen: LocalStateSettings, name: str, shape: tuple[int, int], random_seed: int) -> "LocalStates":
    return LocalStates(
        name=name,
        shape=shape,
        levels_sigmas=chosen.levels_sigmas,
        maximum_lag=chosen.maximum_lag,
        periodic=chosen.periodic,
        radial=name.endswith("radial"),
    )


@dataclass(frozen=True, kw_only=True)
class LocalStates:
    """Descriptor. Raises ValueError where the lags do not fit into the images."""

    name: str
    shape: tuple[int, int]
    levels_sigmas: tuple[float, ...]
    maximum_lag: int
    periodic: bool
    radial: bool

    def __post_init__(self) -> None:
        largest = (min(self.shape) - 1) // 2 if self.periodic else min(self.shape) - 1
        if self.maximum_lag > largest:
            raise ValueError(
                f"{self.name}: found maximum_lag {self.maximum_lag}, expected 1 .. {largest} for images of "
                f"{self.shape[0]} x {self.shape[1]} pixels; choose a smaller lag or larger images"
            )

    @property
    def n_features(self) -> int:
        n_levels, lag = len(self.levels_sigmas), self.maximum_lag
        n_mixed = n_levels * (n_levels - 1) // 2
        whole = (2 * lag + 1) ** 2
        return (n_levels + n_mixed) * (lag + 1) if self.radial else n_levels * (whole + 1) // 2 + n_mixed * whole

    def describe(self, images_BHW: NDArray[Any]) -> FloatArray:
        return describe_in_blocks(self, images_BHW, BLOCK, self._features)

    def _features(self, images_BHW: NDArray[Any]) -> NDArray[Any]:
        functions = state_correlations(images_BHW, self.levels_sigmas, self.maximum_lag, periodic=self.periodic)
        return np.concatenate([self._of_pair(full_BYX, same) for full_BYX, same in functions], axis=1)

    def _of_pair(self, full_BYX: NDArray[np.float64], same: bool) -> NDArray[np.float64]:
        if self.radial:
            return radial_mean(full_BYX)
        return half_plane(full_BYX) if same else full_BYX.reshape(len(full_BYX), -1)


def state_correlations(
    images_BHW: NDArray[Any], levels_sigmas: tuple[float, ...], maximum_lag: int, *, periodic: bool
) -> Iterator[tuple[NDArray[np.float64], bool]]:
    """S_ab at lags -maximum_lag .. maximum_lag in y and x, (B, Y, X), for a <= b; and whether a = b."""
    states_ABHW = level_sets(images_BHW, levels_sigmas).astype(np.float64)
    height, width = states_ABHW.shape[2:]
    lags = np.arange(-maximum_lag, maximum_lag + 1)
    size = (
        (height, width) if periodic else tuple(fft.next_fast_len(n + maximum_lag, real=True) for n in (height, width))
    )
    pairs = (height - abs(lags[:, None])) * (width - abs(lags[None, :])) if not periodic else height * width
    share_AB = states_ABHW.mean((2, 3))
    modes = [fft.rfft2(state_BHW, s=size) for state_BHW in states_ABHW]
    for a, b in combinations_with_replacement(range(len(modes)), 2):
        sums = fft.irfft2(np.conj(modes[a]) * modes[b], s=size)
        joint_BYX = sums[:, lags[:, None] % size[0], lags[None, :] % size[1]] / pairs
        yield joint_BYX - (share_AB[a] * share_AB[b])[:, None, None], a == b
