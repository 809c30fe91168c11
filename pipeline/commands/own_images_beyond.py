"""How much of a folder of images is beyond two-point statistics? Surrogates of whole images, judged tile by tile.

Images that are cut out of something larger do not wrap around, and phase surrogates do. Three things keep that from
being taken for structure:

    periodic component   the jump across the border is taken out of the image first (models.descriptors.surrogates)
    whole images         surrogates are made of whole images, then both are cut into the same tiles: few of them lie
                         at a border
    null                 what is left is measured: windows of three quarters of the surrogates, Gaussian fields cut
                         out of something larger, go through the same procedure. Read the AUC against that of the
                         null, not against 0.5
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.descriptors.descriptor import Descriptor
from models.descriptors.separability import separability
from models.descriptors.surrogates import periodic_component, phase_surrogate
from pipeline.microstructure.tile_ratios import tiles_of

__all__ = ["beyond_two_point"]

N_FOLDS = 5
MATCHING_STEPS = 20
KINDS = {"phases": False, "phases_and_grey_levels": True}
Tiles = NDArray[np.floating]


def beyond_two_point(
    images: Iterable[NDArray[np.floating]],
    owner_N: NDArray[np.integer],
    descriptor: Descriptor,
    tile_px: int,
    seed: int,
) -> dict[str, Any]:
    """{n_tiles, held_out, and phases, phases_and_grey_levels, null: {auc, low, high}}; null is None for small images.

    Images of one owner (slices of a stack) are held out together. With fewer than five owners, tiles are. Raises
    ValueError for fewer than five tiles.
    """
    real: list[Tiles] = []
    made: dict[str, list[Tiles]] = {kind: [] for kind in KINDS}
    null_real, null_made = [], []
    for number, image in enumerate(images):
        u = periodic_component(image)
        tiles = tiles_of(u, tile_px)
        kept = np.ptp(tiles.reshape(len(tiles), -1), axis=1) > 0
        real.append(tiles[kept])
        for kind, match_histogram in KINDS.items():
            surrogate = phase_surrogate(
                u, _rng(seed, number, 0), match_histogram=match_histogram, n_iterations=MATCHING_STEPS
            )
            made[kind].append(tiles_of(surrogate, tile_px)[kept])
            if kind == "phases":
                cut = periodic_component(surrogate[tuple(slice(3 * length // 4) for length in surrogate.shape)])
                null_real.append(tiles_of(cut, tile_px))
                null_made.append(tiles_of(phase_surrogate(cut, _rng(seed, number, 1)), tile_px))
    n_tiles = sum(len(tiles) for tiles in real)
    if n_tiles < N_FOLDS:
        raise ValueError(f"beyond two-point: found {n_tiles} tiles, expected at least {N_FOLDS}; add images")
    scores = {kind: _judged(real, tiles, owner_N, descriptor, seed) for kind, tiles in made.items()}
    enough = sum(len(tiles) for tiles in null_real) >= N_FOLDS
    null = _judged(null_real, null_made, owner_N, descriptor, seed) if enough else None
    held_out = "image" if len(np.unique(_owners(real, owner_N))) >= N_FOLDS else "tile"
    return {"n_tiles": n_tiles, "held_out": held_out, "null": null, **scores}


def _judged(
    real: Sequence[Tiles], made: Sequence[Tiles], owner_N: NDArray[np.integer], descriptor: Descriptor, seed: int
) -> dict[str, float]:
    owner = _owners(real, owner_N)
    groups = owner if len(np.unique(owner)) >= N_FOLDS else np.arange(len(owner))
    features = [np.concatenate([descriptor.describe(t) for t in tiles if len(t)]) for tiles in (real, made)]
    separated = separability(features[0], features[1], groups, n_folds=N_FOLDS, seed=seed)
    return {"auc": separated.auc, "low": separated.low, "high": separated.high}


def _owners(tiles: Sequence[Tiles], owner_N: NDArray[np.integer]) -> NDArray[np.integer]:
    """The owner of each tile."""
    return np.repeat(owner_N, [len(part) for part in tiles])


def _rng(seed: int, number: int, use: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number, use)))
