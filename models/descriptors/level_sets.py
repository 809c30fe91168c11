"""Level sets: the parts of an image that are brighter than a level, what a materials scientist calls local states.

    u = (f - <f>) / s        s standard deviation of the grey levels, so levels are in standard deviations from the mean
    I_a(x) = 1 where u(x) > level a, else 0

Two-point functions, lineal paths, chords and Minkowski functionals of grey images are those of their level sets.
Suffixes: A levels, B images, H rows, W columns.
"""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.settings import Ascending

__all__ = ["DIRECTIONS", "Levels", "level_sets", "n_of_length", "standardised"]

Levels = Annotated[tuple[float, ...], Ascending, Field(min_length=1, strict=False)]
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))  # steps (y, x) of straight lines through pixels


def standardised(images_BHW: NDArray[Any]) -> NDArray[np.float64]:
    """u of each image; constant images have none."""
    images = np.asarray(images_BHW, dtype=np.float64)
    images = images - images.mean((1, 2), keepdims=True)
    return np.asarray(images / images.std((1, 2), keepdims=True))


def level_sets(images_BHW: NDArray[Any], levels_sigmas: tuple[float, ...]) -> NDArray[np.bool_]:
    """I of each level: (A, B, H, W)."""
    u_BHW = standardised(images_BHW)
    return np.stack([u_BHW > level for level in levels_sigmas])


def n_of_length(
    inside_BHW: NDArray[np.bool_], step: tuple[int, int], maximum_length: int, *, periodic: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How many straight segments of 1 .. maximum_length pixels lie wholly inside: (B, maximum_length).

    A segment of z pixels begins anywhere and goes on by `step`; periodic: across the border. The second array
    (maximum_length,) is the number of all segments of each length, inside or not.
    """
    height, width = inside_BHW.shape[1:]
    dy, dx = step
    reach = maximum_length - 1
    pad = ((0, 0), (reach * max(-dy, 0), reach * max(dy, 0)), (reach * max(-dx, 0), reach * max(dx, 0)))
    padded = np.pad(inside_BHW, pad, mode="wrap") if periodic else np.pad(inside_BHW, pad)
    top, left = pad[1][0], pad[2][0]
    so_far_BHW = inside_BHW.copy()
    counts = [so_far_BHW.sum((1, 2))]
    for k in range(1, maximum_length):
        y, x = top + k * dy, left + k * dx
        so_far_BHW &= padded[:, y : y + height, x : x + width]
        counts.append(so_far_BHW.sum((1, 2)))
    k_Z = np.arange(maximum_length)
    inside = np.maximum(height - k_Z * abs(dy), 0) * np.maximum(width - k_Z * abs(dx), 0)
    total_Z = np.full(maximum_length, height * width) if periodic else np.maximum(inside, 1)
    return np.stack(counts, axis=1).astype(np.float64), total_Z.astype(np.float64)
