"""Smoothed power spectrum of an image, and its logarithm: the two-point function seen in Fourier space.

    P(k) = |F(k)|^2 / N,  F the Fourier transform of image - mean        sum_k P(k) = sum_x (f(x) - <f>)^2   (Parseval)
    smoothed   convolved with a Gaussian of `smoothing` Fourier bins: one image is one noisy draw of P, and neighbouring
               bins are as good as further draws. The same as a Gaussian window on the two-point function
    log        log(1 + P / (floor <P>)), <P> the mean over all k: contrast drops out, and what lies far below the mean
               fades to 0 instead of to minus infinity

Features: all k with |k_y|, |k_x| <= maximum_frequency (cycles per pixel) of one half-plane, sqrt(2) for all but k = 0
as for the two-point function.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat
from scipy import fft

from models.descriptors.descriptor import DESCRIPTORS, FloatArray, describe_in_blocks
from models.settings import settings

__all__ = ["PowerSpectrum", "PowerSpectrumSettings", "power_spectrum"]

BLOCK = 64  # images transformed at once


@settings
class PowerSpectrumSettings:
    family: ClassVar[str] = "power_spectrum"
    smoothing: NonNegativeFloat = 3.0  # Fourier bins
    maximum_frequency: Annotated[float, Field(gt=0, le=0.5)] = 0.25  # cycles per pixel
    floor: PositiveFloat = 10.0  # of the logarithm, in units of the mean power


@DESCRIPTORS.register("power_spectrum", settings=PowerSpectrumSettings)
@DESCRIPTORS.register("log_power_spectrum", settings=PowerSpectrumSettings)
def smoothed_power(
    chosen: PowerSpectrumSettings, name: str, shape: tuple[int, int], random_seed: int
) -> "PowerSpectrum":
    return PowerSpectrum(
        name=name,
        shape=shape,
        smoothing=chosen.smoothing,
        maximum_frequency=chosen.maximum_frequency,
        logarithmic=name.startswith("log"),
        floor=chosen.floor,
    )


@dataclass(frozen=True, kw_only=True)
class PowerSpectrum:
    """Descriptor."""

    name: str
    shape: tuple[int, int]
    smoothing: float
    maximum_frequency: float
    logarithmic: bool
    floor: float

    def __post_init__(self) -> None:
        if min(self.bins) < 1:
            raise ValueError(
                f"{self.name}: found maximum_frequency {self.maximum_frequency:g}, less than one Fourier bin of images "
                f"of {self.shape[0]} x {self.shape[1]} pixels, expected at least {1 / min(self.shape):g}"
            )

    @property
    def bins(self) -> tuple[int, int]:
        """Fourier bins kept on each side of 0, in y and x."""
        kept = [min(int(self.maximum_frequency * size), (size - 1) // 2) for size in self.shape]
        return kept[0], kept[1]

    @property
    def n_features(self) -> int:
        y, x = self.bins
        return ((2 * y + 1) * (2 * x + 1) + 1) // 2

    def describe(self, images_BHW: NDArray[Any]) -> FloatArray:
        return describe_in_blocks(self, images_BHW, BLOCK, self._features)

    def _features(self, images_BHW: NDArray[Any]) -> NDArray[Any]:
        power_BHK = power_spectrum(images_BHW, self.smoothing)
        if self.logarithmic:
            mean_B = np.var(np.asarray(images_BHW, dtype=np.float64), axis=(1, 2))  # of P over all k, by Parseval
            power_BHK = np.log1p(power_BHK / (self.floor * mean_B[:, None, None]))
        y, x = self.bins
        half_BXY = power_BHK[:, np.arange(-y, y + 1), : x + 1].transpose(0, 2, 1)
        features = half_BXY.reshape(len(half_BXY), -1)[:, y:]  # without k_x = 0, k_y < 0
        return np.concatenate([features[:, :1], np.sqrt(2) * features[:, 1:]], axis=1)


def power_spectrum(images_BHW: NDArray[Any], smoothing: float) -> NDArray[np.float64]:
    """P(k) for k_x >= 0, in the order of the FFT: (B, H, W // 2 + 1). `smoothing` 0: none."""
    images = np.asarray(images_BHW, dtype=np.float64)
    images = images - images.mean((1, 2), keepdims=True)
    height, width = images.shape[1:]
    transform = fft.rfft2(images)
    power = np.asarray((transform.real**2 + transform.imag**2) / (height * width))
    if smoothing == 0:
        return power
    y, x = fft.fftfreq(height)[:, None], fft.fftfreq(width)[None, :]  # lags over the size of the image
    window = np.exp(-2 * (np.pi * smoothing) ** 2 * (y**2 + x**2))
    smooth = fft.rfft2(fft.irfft2(power, s=(height, width)) * window).real
    return np.asarray(np.maximum(smooth, 0))  # what rounding leaves below 0
