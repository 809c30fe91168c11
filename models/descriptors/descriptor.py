"""What a descriptor is: images -> one feature vector of unit length each.

    describe(images_BHW) -> (B, n_features), float32, every row of Euclidean length 1

Rows of unit length make Euclidean distances between them those between directions, 0 .. 2: that recovers parameters far
better than raw vectors, whose length follows the contrast. Images are grey, in [0, 1] (values outside are allowed), of
the one shape that the descriptor was made for; what they are samples of is no business of this package.

Suffix letters: B images, H rows, W columns, C channels, L layers, F features.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Descriptor", "FloatArray", "join_unit", "require_images", "unit_rows"]

FloatArray = NDArray[np.float32]
N_SHOWN = 8


class Descriptor(Protocol):
    """A pure function of one image at a time: neither batches nor their order change a row beyond rounding."""

    @property
    def name(self) -> str: ...

    @property
    def n_features(self) -> int: ...

    def describe(self, images_BHW: NDArray[Any]) -> FloatArray:
        """Features of unit length. Raises ValueError for images that `require_images` refuses."""
        ...


def require_images(images_BHW: NDArray[Any], shape: tuple[int, int], *, rows: Sequence[int] | None = None) -> None:
    """Raise ValueError that lists all that is wrong: shape, NaN or infinite pixels, images of one value only.

    `rows`: numbers of the images, for the message; counted from 0 where they are not given.
    """
    images = np.asarray(images_BHW)
    if images.ndim != 3 or images.shape[1:] != shape:
        expected = f"(images, {shape[0]}, {shape[1]})"
        raise ValueError(f"images: found an array of shape {images.shape}, expected {expected}; crop or tile them")
    flat = images.reshape(len(images), shape[0] * shape[1])
    broken = ~np.isfinite(flat).all(axis=1)
    constant = ~broken & (flat.max(axis=1, initial=-np.inf) == flat.min(axis=1, initial=np.inf))
    numbers = np.arange(len(images)) if rows is None else np.asarray(rows)
    problems = []
    if broken.any():
        problems.append(f"found NaN or infinite pixels in {_told(numbers[broken])}, expected finite; make these anew")
    if constant.any():
        problems.append(f"found one value only in {_told(numbers[constant])}, expected a texture; leave these out")
    if problems:
        raise ValueError("images: " + "; ".join(problems))


def unit_rows(features_BF: NDArray[Any]) -> FloatArray:
    """Each row divided by its length. Raises ValueError for rows without length."""
    wide = np.asarray(features_BF, dtype=np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    bad = ~(np.isfinite(length) & (length > 0))[:, 0]
    if bad.any():
        raise ValueError(
            f"features: found vectors of length 0 or NaN in {_told(np.flatnonzero(bad))}, expected some texture"
        )
    return np.asarray(wide / length, dtype=np.float32)


def join_unit(parts: Sequence[NDArray[Any]]) -> FloatArray:
    """Parts side by side, each of the same weight whatever its length."""
    return unit_rows(np.concatenate([unit_rows(part) for part in parts], axis=1))


def _told(rows: NDArray[Any]) -> str:
    shown = ", ".join(map(str, rows[:N_SHOWN]))
    return (
        f"image {shown}" if rows.size == 1 else f"{rows.size} images ({shown}{', ...' if rows.size > N_SHOWN else ''})"
    )
