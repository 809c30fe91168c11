"""Gradient noise on pixels (K. Perlin, SIGGRAPH 1985 and 2002) and its sum over octaves (fBm).

Random unit vectors g sit on a square lattice of `cell_px`; with u, v in [0, 1) the position of a pixel inside its cell,

    n(v, u) = sum_ij f_i(v) f_j(u) [gx_ij (u - j) + gy_ij (v - i)],    f_0 = 1 - s, f_1 = s, s(u) = 6u^5 - 15u^4 + 10u^3

i, j in {0, 1}. A lattice function of the row times one of the column stands at every corner, so on an image the sum is

    n = A gx B'^T + A' gy B^T,    A[y, i] = f_i(v_y), A'[y, i] = f_i(v_y) (v_y - i), and B, B' the same of columns

with two entries per row in each matrix: one interpolation along y, one along x. The mean square over a cell is known,
4 int f_0^2 du int f_0^2 u^2 du, and octaves are independent, so the sum is scaled to unit rms exactly in expectation.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["fractal_noise"]

FloatArray = NDArray[np.float64]

_FADE = np.polynomial.Polynomial([1, 0, 0, -10, 15, -6])  # f_0
_U = np.polynomial.Polynomial([0, 1])
MEAN_SQUARE = float(4 * (_FADE**2).integ()(1.0) * (_FADE**2 * _U**2).integ()(1.0))


class Weights(NamedTuple):
    """Interpolation along one axis: the matrices A and A' of the docstring; `n_nodes` of the lattice."""

    value: FloatArray  # (n_px, n_nodes)
    slope: FloatArray  # (n_px, n_nodes)
    n_nodes: int


def fractal_noise(
    shape: tuple[int, int],
    cell_px: float,
    n_octaves: int,
    rng: np.random.Generator,
    *,
    periodic: bool = False,
) -> FloatArray:
    """Octaves k = 0, 1, ... of cells `cell_px` / 2^k and amplitude 2^-k, unit rms in expectation, (n_y, n_x).

    With `periodic` the number of cells along each axis is rounded to a whole one, and opposite edges fit together.
    """
    total = np.zeros(shape)
    for octave in range(n_octaves):
        offset = rng.random(2)
        rows, columns = (
            interpolation(n_px, cell_px / 2**octave, shift, periodic=periodic)
            for n_px, shift in zip(shape, offset, strict=True)
        )
        direction = rng.uniform(0, 2 * np.pi, (rows.n_nodes, columns.n_nodes))
        along_x = (rows.value @ np.cos(direction)) @ columns.slope.T
        along_y = (rows.slope @ np.sin(direction)) @ columns.value.T
        total += 0.5**octave * (along_x + along_y)
    return np.asarray(total / np.sqrt(MEAN_SQUARE * np.sum(0.25 ** np.arange(n_octaves))))


def interpolation(n_px: int, cell_px: float, shift: float, *, periodic: bool) -> Weights:
    """Weights of the lattice nodes at each pixel, where pixel 0 lies `shift` cells behind node 0."""
    n_cells = max(1, round(n_px / cell_px)) if periodic else n_px / cell_px
    position = shift + np.arange(n_px) * (n_cells / n_px)
    node = position.astype(np.intp)
    u = position - node
    n_nodes = int(n_cells) if periodic else int(node[-1]) + 2
    left, right = node % n_nodes, (node + 1) % n_nodes
    fade = _FADE(u)
    value, slope = np.zeros((n_px, n_nodes)), np.zeros((n_px, n_nodes))
    pixel = np.arange(n_px)
    for nodes, weight, distance in ((left, fade, u), (right, 1 - fade, u - 1)):
        value[pixel, nodes] += weight
        slope[pixel, nodes] += weight * distance
    return Weights(value, slope, n_nodes)
