"""Wavelet scattering (Bruna and Mallat, IEEE TPAMI 2013): texture beyond pair statistics, with nothing learned.

    S1(j, l)          = <|f * psi_jl|>                   scale 2^j, angle l
    S2(j, l, j', l')  = <||f * psi_jl| * psi_j'l'|>      j' > j

Means are taken over the whole image, f is the image of mean 0 and variance 1. `logarithmic`: log(1 + S / 0.001), so
that paths of little energy count too. Computed by kymatio, an optional package.

kymatio 0.3 imports a function that SciPy 1.17 has removed (sph_harm, for its three-dimensional part). While it is
imported, and no longer, that name stands for today's sph_harm_y with the order of arguments it had.
"""

import importlib
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import scipy.special
from numpy.typing import NDArray
from pydantic import PositiveInt

from models.descriptors.descriptor import DESCRIPTORS, FloatArray, describe_in_blocks
from models.settings import settings

__all__ = ["DescriptorUnavailable", "Scattering", "ScatteringSettings", "import_scattering2d"]

LOG_FLOOR = 1e-3
BATCH = 16


@settings
class ScatteringSettings:
    family: ClassVar[str] = "scattering"
    scales: PositiveInt = 4
    angles: PositiveInt = 8
    logarithmic: bool = True


@DESCRIPTORS.register("scattering", settings=ScatteringSettings)
def scattering(chosen: ScatteringSettings, name: str, shape: tuple[int, int], random_seed: int) -> "Scattering":
    return Scattering(
        name=name, shape=shape, scales=chosen.scales, angles=chosen.angles, logarithmic=chosen.logarithmic
    )


class DescriptorUnavailable(ValueError):
    """An optional package is missing; the message names the way to get it."""


@dataclass(frozen=True, kw_only=True)
class Scattering:
    """Descriptor. Raises DescriptorUnavailable without kymatio, ValueError for images smaller than its wavelets."""

    name: str
    shape: tuple[int, int]
    scales: int
    angles: int
    logarithmic: bool
    transform: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if 2**self.scales > min(self.shape):
            raise ValueError(
                f"{self.name}: found images of {self.shape[0]} x {self.shape[1]} pixels, smaller than the receptive "
                f"field of {self.scales} scales, expected at least {2**self.scales} each way; use fewer scales"
            )
        made = import_scattering2d()(J=self.scales, shape=self.shape, L=self.angles, max_order=2)
        object.__setattr__(self, "transform", made)

    @property
    def n_features(self) -> int:
        return self.scales * self.angles + self.angles**2 * self.scales * (self.scales - 1) // 2

    def describe(self, images_BHW: NDArray[Any]) -> FloatArray:
        return describe_in_blocks(self, images_BHW, BATCH, self._features)

    def _features(self, images_BHW: NDArray[Any]) -> NDArray[Any]:
        images = np.asarray(images_BHW, dtype=np.float64)
        images = (images - images.mean((1, 2), keepdims=True)) / images.std((1, 2), keepdims=True)
        paths_BP = self.transform(np.ascontiguousarray(images)).mean((-2, -1))[:, 1:]  # without the mean of the image
        return np.asarray(np.log1p(np.maximum(paths_BP, 0) / LOG_FLOOR) if self.logarithmic else paths_BP)


def import_scattering2d() -> Any:  # noqa: ANN401 - kymatio has no types
    """The class kymatio.numpy.Scattering2D. Raises DescriptorUnavailable."""
    borrowed = not hasattr(scipy.special, "sph_harm")
    if borrowed:
        scipy.special.sph_harm = lambda m, n, azimuth, polar: scipy.special.sph_harm_y(n, m, polar, azimuth)
    try:
        return importlib.import_module("kymatio.numpy").Scattering2D
    except ModuleNotFoundError as error:
        raise DescriptorUnavailable(
            f"scattering: found no package {error.name}; run `pip install -e '.[microstructures]'`, or take scattering "
            "out of the list of descriptors"
        ) from None
    finally:
        if borrowed:
            del scipy.special.sph_harm
