"""How large must a window be to stand for its image? Within- against between-image distance, per tile size.

Tiles of one image differ because each shows only a part of it; tiles of different images differ also because the
materials do. With mean squared distances of the features x over pairs of tiles,

    W = <|x_a - x_b|^2>  a, b of one image        B = <|x_a - x_b|^2>  a, b of different images

    ratio = W / B

is near 1 where a tile says nothing about its image, and falls towards 0 as tiles become representative. Each image has
the same weight however many tiles it gives. Both averages come from sums, so the cost is linear in the number of tiles:

    W_i = 2 n_i / (n_i - 1) (m_i - |c_i|^2)       m_i = mean |x|^2,  c_i = mean x  of image i
    B_ij = m_i + m_j - 2 c_i.c_j                  averaged over i != j

The recommended tile is the smallest size from which on the ratio stays at or below a threshold.
Suffixes: N tiles, F features, I images.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["WindowRatio", "recommended_tile", "window_ratio"]

FloatArray = NDArray[np.float64]


class WindowRatio(NamedTuple):
    """Root-mean-square distances within and between images, and W / B (of the squares)."""

    ratio: float
    within: float
    between: float
    n_images: int
    n_tiles: int


def window_ratio(features_NF: NDArray[np.floating], image_N: NDArray[np.integer]) -> WindowRatio:
    """Ratio for the tiles of one size; `image_N` names the image of each tile.

    Images with a single tile are left out. Raises ValueError unless two images have two tiles each.
    """
    features_NF, image_N = np.asarray(features_NF, dtype=np.float64), np.asarray(image_N)
    names, inverse, counts = np.unique(image_N, return_inverse=True, return_counts=True)
    usable = np.flatnonzero(counts >= 2)
    if len(usable) < 2:
        raise ValueError(
            f"window size: found {len(usable)} of {len(names)} images with two tiles or more, expected at least 2; "
            "choose smaller tiles or add images"
        )
    if not np.isfinite(features_NF).all():
        raise ValueError("window size: found features that are not finite; leave these tiles out")
    features_NF = features_NF - features_NF.mean(0)  # distances do not change, rounding does
    square_I, centre_IF, within_I = [], [], []
    for index in usable:
        rows_NF = features_NF[inverse == index]
        square, centre_F, n = float((rows_NF**2).sum(1).mean()), rows_NF.mean(0), len(rows_NF)
        within_I.append(2 * n / (n - 1) * max(square - float(centre_F @ centre_F), 0.0))
        square_I.append(square)
        centre_IF.append(centre_F)
    n_images, sum_F = len(usable), np.sum(centre_IF, axis=0)
    cross = (float(sum_F @ sum_F) - sum(float(c @ c) for c in centre_IF)) / (n_images * (n_images - 1))
    within, between = float(np.mean(within_I)), max(2 * float(np.mean(square_I)) - 2 * cross, 0.0)
    ratio = within / between if between > 0 else 1.0
    return WindowRatio(ratio, within**0.5, between**0.5, n_images, int(counts[usable].sum()))


def recommended_tile(ratios: Mapping[int, float], threshold: float) -> int | None:
    """The smallest tile size [px] from which on every ratio is <= `threshold`; None where the largest is above."""
    chosen = None
    for size in sorted(ratios, reverse=True):
        if ratios[size] > threshold:
            break
        chosen = size
    return chosen
