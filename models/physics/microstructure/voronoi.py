"""Voronoi grains: every pixel belongs to the nearest of uniformly scattered seeds (the Poisson-Voronoi mosaic).

    image = grey[nearest seed] (1 - depth exp(-((d2 - d1) / wall)^2)),      wall = wall_width * scale

d1 and d2 are the distances to the nearest and the second nearest seed, so d2 - d1 vanishes on grain boundaries. There
is one seed per scale^2. Greys are uniform in [0.3, 1], boundaries darker by `depth`.

Nearest seeds are found block by block: a seed that is first or second for some pixel of a block lies within d2(centre)
plus half a diagonal of it, which leaves about a dozen candidates, and their distances are taken for all pixels of all
blocks of a tile at once. With periodic edges the seeds get their images in the neighbouring boxes.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.physics.microstructure.generator import (
    GENERATORS,
    FloatArray,
    Generator,
    Shape,
    log_uniform,
    scale_problems,
)
from models.settings import Fraction, Range, settings

__all__ = [
    "NearestSeeds",
    "Voronoi",
    "VoronoiGenerator",
    "draw_seeds",
    "nearest_seeds",
    "require_cells",
    "voronoi",
    "wall_profile",
]

Indices = NDArray[np.intp]
BLOCK_PX = 8
TILE_PX = 128
ROUNDING_PX = 1e-3
REACH = 2.5  # in mean distances of seeds: how far around a tile seeds are looked for at first
DARKEST, BRIGHTEST = 0.3, 1.0
FEWEST_SEEDS = 4


@settings
class Voronoi:
    """Parameters of one image."""

    scale_px: Annotated[float, Field(ge=2)]
    shape: Shape
    wall_width: Annotated[float, Field(gt=0, le=1)] = 0.15  # in scales
    wall_depth: Fraction = 0.6
    periodic: bool = True

    def __post_init__(self) -> None:
        require_cells(self.scale_px, self.shape)


@GENERATORS.register("voronoi")
@settings
class VoronoiGenerator(Generator):
    """scale_px log-uniform."""

    parameters: ClassVar[Mapping[str, str]] = {"scale_px": "px"}
    scale_px: Range[Annotated[float, Field(ge=2)]]
    wall_width: Annotated[float, Field(gt=0, le=1)]
    wall_depth: Fraction

    def draw(self, u: FloatArray, shape: tuple[int, int], *, periodic: bool) -> Voronoi:
        return Voronoi(
            scale_px=log_uniform(u[0], self.scale_px),
            shape=shape,
            wall_width=self.wall_width,
            wall_depth=self.wall_depth,
            periodic=periodic,
        )

    def make(self, point: Voronoi, rng: np.random.Generator) -> FloatArray:
        return voronoi(point, rng)

    def problems(self, shape: tuple[int, int]) -> list[str]:
        return scale_problems(self.scale_px, shape)


class NearestSeeds(NamedTuple):
    """Per pixel: index of the nearest seed, and the distances [px] to it and to the second nearest."""

    seed: NDArray[np.intp]  # (n_y, n_x)
    first: NDArray[np.float32]  # (n_y, n_x)
    second: NDArray[np.float32]  # (n_y, n_x)


def require_cells(scale_px: float, shape: tuple[int, int]) -> None:
    """An image holds at least FEWEST_SEEDS cells."""
    if scale_px > (widest := float(np.sqrt(shape[0] * shape[1] / FEWEST_SEEDS))):
        raise ValueError(f"scale_px = {scale_px!r}: expected at most {widest:g}, of which {FEWEST_SEEDS} cells fit")


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
    nearest = NearestSeeds(
        np.empty(shape, dtype=np.intp), np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
    )
    for top in range(0, shape[0], TILE_PX):
        for left in range(0, shape[1], TILE_PX):
            corner, size = np.array([top, left]), np.minimum(TILE_PX, np.array(shape) - [top, left])
            tile = _nearest_in_tile(points, corner, size, reach)
            window = np.s_[top : top + size[0], left : left + size[1]]
            nearest.seed[window] = owner[tile.seed]
            nearest.first[window], nearest.second[window] = tile.first, tile.second
    return nearest


def _with_images(seeds: FloatArray, shape: tuple[int, int]) -> tuple[FloatArray, Indices]:
    """Seeds and their images in the eight neighbouring boxes, and the seed that each is an image of."""
    shifts = np.array([(i, j) for i in (0, -1, 1) for j in (0, -1, 1)]) * np.array(shape)
    return (seeds[None] + shifts[:, None]).reshape(-1, 2), np.tile(np.arange(len(seeds)), len(shifts))


def _nearest_in_tile(points: FloatArray, corner: Indices, size: Indices, reach: float) -> NearestSeeds:
    """Of a pixel p and a seed s, both from the centre of the block, |p - s|^2 = |p|^2 + (|s|^2 - 2 p . s)."""
    n_blocks = -(-size // BLOCK_PX)
    middle = (BLOCK_PX - 1) / 2
    centre_y, centre_x = (np.arange(n, dtype=np.float32) * np.float32(BLOCK_PX) + np.float32(middle) for n in n_blocks)
    near, positions, candidates, order = _candidates(points, corner, size, reach, centre_y, centre_x)
    inside = np.arange(BLOCK_PX, dtype=np.float32) - np.float32(middle)
    pixel_y, pixel_x = np.repeat(inside, BLOCK_PX), np.tile(inside, BLOCK_PX)
    pixels = np.stack([np.ones_like(pixel_y), -2 * pixel_y, -2 * pixel_x])  # (3, n_inside)
    shape = (len(order), BLOCK_PX**2)
    first, second = np.full(shape, np.inf, dtype=np.float32), np.full(shape, np.inf, dtype=np.float32)
    which = np.zeros(shape, dtype=np.int32)
    centres = np.stack([centre_y[order // n_blocks[1]], centre_x[order % n_blocks[1]]], axis=1)
    for chosen in candidates:  # the k-th seed of each of the first blocks, which have so many
        n = len(chosen)
        seed = positions[chosen] - centres[:n]
        distance = np.column_stack([np.sum(seed * seed, axis=1), seed]) @ pixels  # (n, n_inside)
        np.copyto(which[:n], chosen[:, None], where=distance < first[:n])
        farther = np.maximum(distance, first[:n])
        np.minimum(distance, first[:n], out=first[:n])
        np.minimum(farther, second[:n], out=second[:n])
    pixel_square = pixel_y**2 + pixel_x**2
    inverse = np.argsort(order)

    def image(values: NDArray[Any]) -> NDArray[Any]:
        tiled = values[inverse].reshape(*n_blocks, BLOCK_PX, BLOCK_PX).swapaxes(1, 2)
        return tiled.reshape(*(n_blocks * BLOCK_PX))[: size[0], : size[1]]

    first, second = (np.sqrt(np.maximum(squares + pixel_square, 0)) for squares in (first, second))
    return NearestSeeds(image(near[which]), image(first), image(second))


def _candidates(
    points: FloatArray,
    corner: Indices,
    size: Indices,
    reach: float,
    centre_y: NDArray[np.float32],
    centre_x: NDArray[np.float32],
) -> tuple[Indices, NDArray[np.float32], list[NDArray[np.int32]], Indices]:
    """Points near the tile, by index and by position from its corner; which of them each block needs; its blocks.

    Blocks are ordered by how many points they need; list k holds the k-th point of the blocks that need more than k. A
    point left out lies farther than `reach` from every pixel; where a second seed may lie beyond, more are taken.
    """
    middle, half_diagonal = (BLOCK_PX - 1) / 2, (BLOCK_PX - 1) / np.sqrt(2)
    while True:
        near = np.flatnonzero(np.all((points > corner - reach) & (points < corner + size + reach), axis=1))
        positions = (points[near] - corner).astype(np.float32)
        offset_y, offset_x = centre_y[:, None] - positions[:, 0], centre_x[:, None] - positions[:, 1]
        distance = _squares(offset_y, offset_x)
        distance = np.sqrt(distance.reshape(len(centre_y) * len(centre_x), len(near)))
        everything = len(near) == len(points)
        if len(near) > 1:
            second = _second_smallest(distance)
            if everything or second.max() + half_diagonal < reach:
                break
        reach *= 2
    to_edge = [np.maximum(np.abs(offset) - middle, 0) for offset in (offset_y, offset_x)]
    needed = _squares(*to_edge).reshape(distance.shape) <= np.square(second + half_diagonal + ROUNDING_PX)[:, None]
    block, point = np.nonzero(needed)
    point = point.astype(np.int32)
    n_needed = np.bincount(block, minlength=len(needed))
    order = np.argsort(-n_needed, kind="stable")
    start = (np.cumsum(n_needed) - n_needed)[order]
    n_blocks = np.searchsorted(-n_needed[order], -np.arange(1, n_needed.max() + 1), side="right")
    return near, positions, [point[start[:n] + k] for k, n in enumerate(n_blocks)], order


def _squares(y: NDArray[np.float32], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """y^2 + x^2 of every row of y with every row of x, (n_y, n_x, n_points)."""
    return np.asarray((y * y)[:, None] + (x * x)[None])


def _second_smallest(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    smallest = rows.argmin(axis=1)[:, None]
    kept = np.take_along_axis(rows, smallest, axis=1)
    np.put_along_axis(rows, smallest, np.float32(np.inf), axis=1)
    second = rows.min(axis=1)
    np.put_along_axis(rows, smallest, kept, axis=1)
    return np.asarray(second)
