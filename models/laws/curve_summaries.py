"""What a curve tells without any learning: where its weight lies, how wide its peak is, how uneven its two sides are.

The bar that learned coordinates have to clear. For a curve x >= 0 on an axis w that is symmetric about zero and
logarithmic in |w| (as spectra of impurities are), w = 0 apart:

    centroid    sum_k x_k log|w_k| / sum_k x_k          where the weight lies along log|w|
    log_width   log of the width at half maximum of the highest peak, edges interpolated linearly
    imbalance   (R - L) / (R + L), R and L the sums of x at w > 0 and w < 0; the mirror turns its sign
    height      x at w = 0

Suffixes: B curves, W points of the axis.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CurveSummaries", "curve_summaries"]

Array = NDArray[np.float64]


class CurveSummaries(NamedTuple):
    """All (B,)."""

    centroid: Array
    log_width: Array
    imbalance: Array
    height: Array


def curve_summaries(x_BW: Array, axis_W: Array) -> CurveSummaries:
    """Raises ValueError for an axis that is not symmetric about its middle point 0, or for negative or empty curves."""
    middle = len(axis_W) // 2
    if len(axis_W) % 2 == 0 or not np.allclose(axis_W, -axis_W[::-1]) or axis_W[middle] != 0:
        raise ValueError("curve summaries: found an axis that is not symmetric about 0, expected -w .. -v, 0, v .. w")
    x_BW = np.asarray(x_BW, dtype=np.float64)
    left_BK, right_BK = x_BW[:, :middle], x_BW[:, middle + 1 :]
    left_B, right_B = left_BK.sum(1), right_BK.sum(1)
    if (x_BW < 0).any() or (left_B + right_B <= 0).any():
        raise ValueError("curve summaries: found negative or empty curves, expected x >= 0 with some weight")
    log_K = np.log(axis_W[middle + 1 :])
    return CurveSummaries(
        centroid=(left_BK @ log_K[::-1] + right_BK @ log_K) / (left_B + right_B),
        log_width=np.log(_width_at_half_maximum(x_BW, axis_W)),
        imbalance=(right_B - left_B) / (right_B + left_B),
        height=x_BW[:, middle],
    )


def _width_at_half_maximum(x_BW: Array, axis_W: Array) -> Array:
    """(B,); a peak that is still above half at an end of the axis ends there."""
    top_B = x_BW.argmax(1)
    edges = []
    for x_W, top in zip(x_BW, top_B, strict=True):
        half = x_W[top] / 2
        edges.append(_edge(axis_W[top:], x_W[top:], half) - _edge(axis_W[top::-1], x_W[top::-1], half))
    return np.array(edges)


def _edge(axis_K: Array, x_K: Array, half: float) -> float:
    """Where x first falls to `half`, going along."""
    below = np.flatnonzero(x_K < half)
    if not len(below):
        return float(axis_K[-1])
    k = below[0]
    share = (x_K[k - 1] - half) / (x_K[k - 1] - x_K[k])
    return float(axis_K[k - 1] + share * (axis_K[k] - axis_K[k - 1]))
