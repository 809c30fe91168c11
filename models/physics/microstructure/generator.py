"""The contract of generators of micrographs: ranges of parameters -> points in them -> images with grey in [0, 1].

A new generator is one file here: its settings, a class that derives from `Generator` and is registered under a name.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from models.registry import Registry
from models.settings import settings

__all__ = ["GENERATORS", "FloatArray", "Generator", "Point", "Shape", "log_uniform", "scale_problems", "uniform"]

FloatArray = NDArray[np.float64]
SMALLEST_PX = 8
Shape = tuple[Annotated[int, Field(ge=SMALLEST_PX)], Annotated[int, Field(ge=SMALLEST_PX)]]  # n_y, n_x [px]
N_DRAWN = 3  # coordinates of a point in the unit cube


class Point(Protocol):
    """Parameters of one image, as attributes; those named in `Generator.parameters` are stored."""

    @property
    def shape(self) -> tuple[int, int]: ...


@settings
class Generator(ABC):
    """Settings: how many points, how many images of each, and, of a derived class, ranges [low, high]."""

    parameters: ClassVar[Mapping[str, str]]  # stored parameter -> its units
    n_points: NonNegativeInt
    n_realisations: PositiveInt

    @abstractmethod
    def draw(self, u: FloatArray, shape: tuple[int, int], *, periodic: bool) -> Any:  # noqa: ANN401 - a Point
        """The point at `u` (N_DRAWN,) of the unit cube."""

    @abstractmethod
    def make(self, point: Any, rng: np.random.Generator) -> FloatArray:  # noqa: ANN401 - what `draw` returns
        """One image (n_y, n_x). Raises ArithmeticError where it cannot be made."""

    def problems(self, shape: tuple[int, int]) -> list[str]:
        """What does not fit images of this shape."""
        return []


GENERATORS: Registry[Generator] = Registry("generator of micrographs", package="models.physics.microstructure")


def uniform(u: float, bounds: tuple[float, float]) -> float:
    return float(bounds[0] + u * (bounds[1] - bounds[0]))


def log_uniform(u: float, bounds: tuple[float, float]) -> float:
    return float(np.exp(uniform(u, (np.log(bounds[0]), np.log(bounds[1])))))


def scale_problems(scale_px: tuple[float, float], shape: tuple[int, int]) -> list[str]:
    """A cell or wave wider than half the image is no texture."""
    if scale_px[1] <= min(shape) / 2:
        return []
    return [f"scale_px: found {scale_px[1]:g}, expected at most half the image, {min(shape) / 2:g} px"]
