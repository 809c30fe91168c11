"""Voronoi grains: every pixel belongs to the nearest of uniformly scattered seeds (the Poisson-Voronoi mosaic).

    image = grey[nearest seed] (1 - depth exp(-((d2 - d1) / wall)^2)),      wall = wall_width * scale

d1 and d2 are the distances to the nearest and the second nearest seed, so d2 - d1 vanishes on grain boundaries. There
is one seed per scale^2. Greys are uniform in [0.3, 1], boundaries darker by `depth`.

Nearest seeds are found block by block: a seed that is first or second for some pixel of a block lies within d2(centre)
plus two half diagonals of its centre, which leaves one or two dozen candidates, and their distances are taken for all
pixels of all blocks of a tile at once. With periodic edges the seeds get their images in the neighbouring boxes.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.physics.microstructure.checks import number_problems, shape_problems

__all__ = ["NearestSeeds", "Voronoi", "draw_seeds", "nearest_seeds", "voronoi", "wall_profile"]

FloatArray = NDArray[np.float64]
Indices = NDArray[np.intp]
BLOCK_PX = 8
TILE_PX = 128
REACH = 2.5  # in mean distances of seeds: how far around a tile seeds are looked for at first
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

    seed: NDArray[np.intp]  # (n_y, n_x)
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
    return np.asarray(grey[nearest.seed] * (1 - params.wall_depth * walls))


def draw_seeds(scale_px: float, shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """Uniform positions (n_seeds, 2) as (y, x) [px], one per scale^2."""
    n_seeds = max(FEWEST_SEEDS, round(shape[0] * shape[1] / scale_px**2))
    return np.asarray(rng.random((n_seeds, 2)) * np.array(shape))


def wall_profile(nearest: NearestSeeds, width_px: float) -> FloatArray:
    """exp(-((d2 - d1) / width)^2): 1 on boundaries, 0 inside cells, (n_y, n_x)."""
    gap = (nearest.second - nearest.first) / np.float32(width_px)
    return np.asarray(np.exp(-gap * gap), dtype=np.float64)


def nearest_seeds(seeds: FloatArray, shape: tuple[int, int], *, periodic: bool) -> NearestSeeds:
    """The two nearest of `seeds` (n_seeds, 2) of every pixel, pixel (i, j) at the point (i, j)."""
    points, owner = _with_images(seeds, shape) if periodic else (seeds, np.arange(len(seeds)))
    reach = REACH * float(np.sqrt(shape[0] * shape[1] / len(seeds)))
    found = NearestSeeds(
        np.empty(shape, dtype=np.intp), np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
    )
    for top in range(0, shape[0], TILE_PX):
        for left in range(0, shape[1], TILE_PX):
            corner, size = np.array([top, left]), np.minimum(TILE_PX, np.array(shape) - [top, left])
            tile = _nearest_in_tile(points, corner, size, reach)
            window = np.s_[top : top + size[0], left : left + size[1]]
            found.seed[window] = owner[tile.seed]
            found.first[window], found.second[window] = tile.first, tile.second
    return found


def _with_images(seeds: FloatArray, shape: tuple[int, int]) -> tuple[FloatArray, Indices]:
    """Seeds and their images in the eight neighbouring boxes, and the seed that each is an image of."""
    shifts = np.array([(i, j) for i in (0, -1, 1) for j in (0, -1, 1)]) * np.array(shape)
    return (seeds[None] + shifts[:, None]).reshape(-1, 2), np.tile(np.arange(len(seeds)), len(shifts))


def _nearest_in_tile(points: FloatArray, corner: Indices, size: Indices, reach: float) -> NearestSeeds:
    """Blocks of the tile stand on the last axis of all arrays: (row in block, column in block, block)."""
    n_blocks = -(-size // BLOCK_PX)
    middle = (BLOCK_PX - 1) / 2
    centre_y, centre_x = (np.arange(n, dtype=np.float32) * np.float32(BLOCK_PX) + np.float32(middle) for n in n_blocks)
    near, positions, candidates = _candidates(points, corner, size, reach, centre_y, centre_x)
    inside = np.arange(BLOCK_PX, dtype=np.float32) - np.float32(middle)
    pixel_y = (np.repeat(centre_y, n_blocks[1]) + inside[:, None])[:, None]  # (block row, 1, block)
    pixel_x = (np.tile(centre_x, n_blocks[0]) + inside[:, None])[None]
    shape = (BLOCK_PX, BLOCK_PX, candidates.shape[1])
    first, second = np.full(shape, np.inf, dtype=np.float32), np.full(shape, np.inf, dtype=np.float32)
    which = np.zeros(shape, dtype=np.int16)
    distance, nearer, closer = np.empty_like(first), np.empty_like(first), np.empty(shape, dtype=bool)
    for k, chosen in enumerate(candidates):  # one seed for each block
        np.add((pixel_y - positions[chosen, 0]) ** 2, (pixel_x - positions[chosen, 1]) ** 2, out=distance)
        np.less(distance, first, out=closer)
        np.copyto(which, np.int16(k), where=closer)
        np.minimum(first, distance, out=nearer)
        np.maximum(first, distance, out=distance)
        np.minimum(second, distance, out=second)
        first, nearer = nearer, first
    chosen = candidates[which, np.arange(shape[2])]

    def image(values: NDArray[Any]) -> NDArray[Any]:
        tiled = values.reshape(BLOCK_PX, BLOCK_PX, *n_blocks).transpose(2, 0, 3, 1)
        return tiled.reshape(*(n_blocks * BLOCK_PX))[: size[0], : size[1]]

    return NearestSeeds(near[image(chosen)], np.sqrt(image(first)), np.sqrt(image(second)))


def _candidates(
    points: FloatArray,
    corner: Indices,
    size: Indices,
    reach: float,
    centre_y: NDArray[np.float32],
    centre_x: NDArray[np.float32],
) -> tuple[Indices, NDArray[np.float32], Indices]:
    """Points near the tile: their indices, their positions from its corner, and which of them each block needs.

    The last, (n_candidates, n_blocks), is filled up with a point at infinity. A point left out lies farther than
    `reach` from every pixel; where that is nearer than some second seed may be, more points are taken.
    """
    half_diagonal = (BLOCK_PX - 1) / np.sqrt(2)
    while True:
        near = np.flatnonzero(np.all((points > corner - reach) & (points < corner + size + reach), axis=1))
        positions = np.vstack([points[near] - corner, [np.inf, np.inf]]).astype(np.float32)
        y, x = positions[:-1, 0], positions[:-1, 1]
        distance = ((centre_y[:, None] - y) ** 2)[:, None] + ((centre_x[:, None] - x) ** 2)[None]
        distance = np.sqrt(distance.reshape(len(centre_y) * len(centre_x), len(near)))
        everything = len(near) == len(points)
        if len(near) > 1:
            second = _second_smallest(distance)
            if everything or second.max() + half_diagonal < reach:
                break
        reach *= 2
    block, point = np.nonzero(distance <= (second + np.float32(2 * half_diagonal + 1e-3))[:, None])
    n_candidates = np.bincount(block, minlength=len(distance))
    place = np.arange(len(block)) - np.repeat(np.cumsum(n_candidates) - n_candidates, n_candidates)
    table = np.full((int(n_candidates.max()), len(distance)), len(near))
    table[place, block] = point
    return near, positions, table


def _second_smallest(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    smallest = rows.argmin(axis=1)[:, None]
    kept = np.take_along_axis(rows, smallest, axis=1)
    np.put_along_axis(rows, smallest, np.float32(np.inf), axis=1)
    second = rows.min(axis=1)
    np.put_along_axis(rows, smallest, kept, axis=1)
    return np.asarray(second)
