"""Two-point correlation of an image: how alike are two pixels a given lag apart, by FFT.

    S(r) = <f(x) f(x + r)>    f = image, or image - its mean

centred     the mean is subtracted first. Otherwise S tends to <f>^2 at large lags, which at unit length hides much of
            the rest; the centred function at unit length, free of brightness and contrast, is the stronger descriptor
periodic    mean over all x with wrap-around; unchanged when the image is shifted
otherwise   zero-padded: sum over the pairs inside the image, divided by their number
full        all lags with |r_y|, |r_x| <= maximum_lag; S(r) = S(-r), so half of them, times sqrt(2) but for r = 0:
            distances are those of the whole function
radial      mean over the lags of the full function whose |r| rounds to 0 .. maximum_lag

The Fourier transform of the periodic S is |F|^2 / N (Wiener-Khinchin): pair statistics know the modulus of the Fourier
transform and nothing of its phases.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt
from scipy import fft

from models.descriptors.descriptor import DESCRIPTORS, FloatArray, describe_in_blocks
from models.settings import settings

__all__ = ["TwoPoint", "TwoPointSettings", "autocorrelation", "half_plane", "radial_mean"]

BLOCK = 64  # images transformed at once


@settings
class TwoPointSettings:
    family: ClassVar[str] = "two_point"
    maximum_lag: PositiveInt = 32
    periodic: bool = True


@DESCRIPTORS.register("two_point", settings=TwoPointSettings)
@DESCRIPTORS.register("two_point_centred", settings=TwoPointSettings)
@DESCRIPTORS.register("two_point_radial", settings=TwoPointSettings)
def two_point(chosen: TwoPointSettings, name: str, shape: tuple[int, int], random_seed: int) -> "TwoPoint":
    return TwoPoint(
        name=name,
        shape=shape,
        maximum_lag=chosen.maximum_lag,
        periodic=chosen.periodic,
        centred=name != "two_point",
        radial=name.endswith("radial"),
    )


@dataclass(frozen=True, kw_only=True)
class TwoPoint:
    """Descriptor. Raises ValueError where the lags do not fit into the images."""

    name: str
    shape: tuple[int, int]
    maximum_lag: int
    periodic: bool
    centred: bool
    radial: bool = False

    def __post_init__(self) -> None:
        largest = (min(self.shape) - 1) // 2 if self.periodic else min(self.shape) - 1
        if not 0 < self.maximum_lag <= largest:
            kind = "periodic images" if self.periodic else "images"
            size = f"{self.shape[0]} x {self.shape[1]} pixels"
            raise ValueError(
                f"{self.name}: found maximum_lag {self.maximum_lag}, expected 1 .. {largest} for {kind} of {size}; "
                "choose a smaller lag or larger images"
            )

    @property
    def n_features(self) -> int:
        lag = self.maximum_lag
        return lag + 1 if self.radial else lag * (2 * lag + 1) + lag + 1

    def describe(self, images_BHW: NDArray[Any]) -> FloatArray:
        return describe_in_blocks(self, images_BHW, BLOCK, self._features)

    def _features(self, images_BHW: NDArray[Any]) -> NDArray[Any]:
        full_BYX = autocorrelation(images_BHW, self.maximum_lag, periodic=self.periodic, centred=self.centred)
        return radial_mean(full_BYX) if self.radial else half_plane(full_BYX)


def autocorrelation(
    images_BHW: NDArray[Any], maximum_lag: int, *, periodic: bool, centred: bool = True
) -> NDArray[np.float64]:
    """S(r) at lags -maximum_lag .. maximum_lag in y and x: (B, 2 maximum_lag + 1, 2 maximum_lag + 1)."""
    images = np.asarray(images_BHW, dtype=np.float64)
    images = images - images.mean((1, 2), keepdims=True) if centred else images
    height, width = images.shape[1:]
    lags = np.arange(-maximum_lag, maximum_lag + 1)
    size = (
        (height, width) if periodic else tuple(fft.next_fast_len(n + maximum_lag, real=True) for n in (height, width))
    )
    modulus = fft.rfft2(images, s=size)
    sums = fft.irfft2(modulus.real**2 + modulus.imag**2, s=size)
    kept = sums[:, lags[:, None] % size[0], lags[None, :] % size[1]]
    pairs = (height - abs(lags[:, None])) * (width - abs(lags[None, :])) if not periodic else height * width
    return np.asarray(kept / pairs)


def half_plane(full_BYX: NDArray[np.float64]) -> NDArray[np.float64]:
    """The half of an even function with r_y > 0, or r_y = 0 and r_x >= 0, at the weight of the whole."""
    n = full_BYX.shape[1] * full_BYX.shape[2]
    half = full_BYX.reshape(len(full_BYX), n)[:, n // 2 :].copy()
    half[:, 1:] *= np.sqrt(2)
    return half


def radial_mean(full_BYX: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over lags of equal rounded length 0 .. maximum_lag: (B, maximum_lag + 1)."""
    lag = full_BYX.shape[1] // 2
    steps = np.arange(-lag, lag + 1)
    ring = np.rint(np.hypot(steps[:, None], steps[None, :])).astype(np.intp).ravel()
    inside = ring <= lag
    members = np.zeros((ring.size, lag + 1))
    members[np.flatnonzero(inside), ring[inside]] = 1
    return np.asarray(full_BYX.reshape(len(full_BYX), -1) @ (members / members.sum(0)))
