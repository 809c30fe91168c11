"""Voronoi grains: every pixel belongs to the nearest of uniformly scattered seeds (the Poisson-Voronoi mosaic).

    image = grey[nearest seed] (1 - depth exp(-((d2 - d1) / wall)^2)),      wall = wall_width * scale

d1 and d2 are the distances to the nearest and the second nearest seed, so d2 - d1 vanishes on grain boundaries. There
is one seed per scale^2. Greys are uniform in [0.3, 1], boundaries darker by `depth`.

Nearest seeds are found block by block: a seed that is first or second for some pixel of a block lies within d2(centre)
plus two half diagonals of its centre, which leaves a dozen candidates, and their distances are taken for all pixels of
all blocks at once. With periodic edges the seeds get their images in the neighbouring boxes.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.physics.microstructure.checks import number_problems, shape_problems

__all__ = ["NearestSeeds", "Voronoi", "draw_seeds", "nearest_seeds", "voronoi", "wall_profile"]

FloatArray = NDArray[np.float64]
BLOCK_PX = 8
DARKEST, BRIGHTEST = 0.3, 1.0
FEWEST_SEEDS = 4


@dataclass(frozen=True, kw_only=True)
class Voronoi:
    """Parameters; raises ValueError that lists every one out of range."""

    scale_px: float
    shape: tuple[int, int]
    wall_width: float = 0.15  # in scales
    wall_depth: float = 0.6
    periodic: bool = True

    def __post_init__(self) -> None:
        problems = shape_problems(self.shape)
        problems += number_problems("wall_width", self.wall_width, above=0, high=1)
        problems += number_problems("wall_depth", self.wall_depth, low=0, high=1)
        problems += cell_scale_problems(self.scale_px, None if problems else self.shape)
        if problems:
            raise ValueError("Voronoi: " + "; ".join(problems))


class NearestSeeds(NamedTuple):
    """Per pixel: index of the nearest seed, and the distances [px] to it and to the second nearest."""

    index: NDArray[np.intp]  # (n_y, n_x)
    first: NDArray[np.float32]  # (n_y, n_x)
    second: NDArray[np.float32]  # (n_y, n_x)


def cell_scale_problems(scale_px: float, shape: tuple[int, int] | None) -> list[str]:
    """A cell is at least two pixels wide, and an image holds at least FEWEST_SEEDS of them."""
    widest = np.inf if shape is None else float(np.sqrt(shape[0] * shape[1] / FEWEST_SEEDS))
    return number_problems("scale_px", scale_px, low=2, high=widest)


def voronoi(params: Voronoi, rng: np.random.Generator) -> FloatArray:
    """Image in [0, 1], (n_y, n_x)."""
    seeds = draw_seeds(params.scale_px, params.shape, rng)
    grey = rng.uniform(DARKEST, BRIGHTEST, len(seeds))
    nearest = nearest_seeds(seeds, params.shape, periodic=params.periodic)
    walls = wall_profile(nearest, params.wall_width * params.scale_px)
    return np.asarray(grey[nearest.index] * (1 - params.wall_depth * walls))


def draw_seeds(scale_px: float, shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """Uniform positions (n_seeds, 2) as (y, x) [px], one per scale^2."""
    n_seeds = max(FEWEST_SEEDS, round(shape[0] * shape[1] / scale_px**2))
    return rng.random((n_seeds, 2)) * np.array(shape)


def wall_profile(nearest: NearestSeeds, width_px: float) -> FloatArray:
    """exp(-((d2 - d1) / width)^2): 1 on boundaries, 0 inside cells, (n_y, n_x)."""
    gap = (nearest.second - nearest.first) / np.float32(width_px)
    return np.exp(-gap * gap).astype(np.float64)


def nearest_seeds(seeds: FloatArray, shape: tuple[int, int], *, periodic: bool) -> NearestSeeds:
    """The two nearest of `seeds` (n_seeds, 2) of every pixel, pixel (i, j) at the point (i, j)."""
    n_y, n_x = shape
    blocks_y, blocks_x = -(-n_y // BLOCK_PX), -(-n_x // BLOCK_PX)
    middle = (BLOCK_PX - 1) / 2
    centres = np.stack(
        np.meshgrid(np.arange(blocks_y) * BLOCK_PX + middle, np.arange(blocks_x) * BLOCK_PX + middle, indexing="ij"),
        axis=-1,
    ).reshape(-1, 2)  # (n_blocks, 2)
    points, owner = _with_images(seeds, shape) if periodic else (seeds, np.arange(len(seeds)))
    candidates = _candidates(points, centres)  # (n_blocks, n_candidates)
    offsets = (points[candidates] - centres[:, None, :]).astype(np.float32)
    squares = np.sum(offsets**2, axis=2)
    inside = np.arange(BLOCK_PX, dtype=np.float32) - np.float32(middle)
    pixels = np.stack(np.meshgrid(inside, inside, indexing="ij"), axis=-1).reshape(-1, 2)  # (n_inside, 2)
    first = np.full((len(centres), len(pixels)), np.inf, dtype=np.float32)
    second, which = first.copy(), np.zeros(first.shape, dtype=np.intp)
    for k in range(candidates.shape[1]):  # |p - s|^2 without |p|^2, the same for all seeds
        distance = squares[:, k, None] - offsets[:, k] @ (2 * pixels.T)
        np.minimum(second, np.maximum(first, distance), out=second)
        which[distance < first] = k
        np.minimum(first, distance, out=first)
    own = np.sum(pixels**2, axis=1)
    index = owner[np.take_along_axis(candidates, which, axis=1)]
    first, second = (np.sqrt(np.maximum(d + own, 0)) for d in (first, second))

    def image(values: NDArray[np.generic]) -> NDArray[np.generic]:
        tiled = values.reshape(blocks_y, blocks_x, BLOCK_PX, BLOCK_PX).swapaxes(1, 2)
        return tiled.reshape(blocks_y * BLOCK_PX, blocks_x * BLOCK_PX)[:n_y, :n_x]

    return NearestSeeds(image(index), image(first), image(second))  # type: ignore[arg-type]


def _with_images(seeds: FloatArray, shape: tuple[int, int]) -> tuple[FloatArray, NDArray[np.intp]]:
    """Seeds and their images in the eight neighbouring boxes, and the seed that each is an image of."""
    shifts = np.array([(i, j) for i in (0, -1, 1) for j in (0, -1, 1)]) * np.array(shape)
    return (seeds[None] + shifts[:, None]).reshape(-1, 2), np.tile(np.arange(len(seeds)), len(shifts))


def _candidates(points: FloatArray, centres: FloatArray) -> NDArray[np.intp]:
    """Per block the points that can be first or second for one of its pixels, and some more to fill the row."""
    near, far = centres.min(axis=0), centres.max(axis=0)
    gaps = np.maximum(0, np.maximum(near - points, points - far))
    half_diagonal = (BLOCK_PX - 1) / np.sqrt(2)
    distances = _distances(points, centres)
    second = np.partition(distances, 1, axis=1)[:, 1]
    n_candidates = int((distances <= (second + 2 * half_diagonal)[:, None]).sum(axis=1).max())
    return np.argpartition(distances, n_candidates - 1, axis=1)[:, :n_candidates]


def _distances(points: FloatArray, centres: FloatArray) -> FloatArray:
    return np.sqrt(np.sum((centres[:, None] - points[None]) ** 2, axis=2))
