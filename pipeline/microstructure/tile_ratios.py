"""Within- against between-image distance for several tile sizes, and the tile that they recommend.

Every size is described by the same layer of the same network, so that only the window changes. Tiles do not overlap and
are centred in their image; those of one value only have no texture and are left out. See models.descriptors.window.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.descriptors.descriptor import DescriptorSettings, make_descriptor
from models.descriptors.efficientnet import EfficientNetLayer, EfficientNetSettings
from models.descriptors.window import recommended_tile, window_ratio
from models.settings import Some, settings

__all__ = ["WindowParams", "tile_ratios", "tiles_of"]


@settings
class WindowParams:
    """`layer` of EfficientNet-Lite0; the receptive field must fit the smallest tile."""

    layer: EfficientNetLayer
    tiles: Some[Annotated[int, Field(ge=8)]]  # px
    threshold: Annotated[float, Field(gt=0, lt=1)]  # of W / B
    max_images: Annotated[int, Field(ge=2)]


def tile_ratios(
    images: Sequence[NDArray[np.floating]], owner_N: NDArray[np.integer], params: WindowParams
) -> dict[str, Any]:
    """{layer, ratios: {tile: W / B}, recommended_px}; images of one owner count as one.

    Sizes at which fewer than two owners have two tiles are left out. Raises ValueError where that is all of them.
    """
    ratios: dict[int, float] = {}
    reasons = []
    for size in sorted(set(params.tiles)):
        cut = [tiles_of(image, size) for image in images]
        tiles = np.concatenate(cut) if cut else np.zeros((0, size, size))
        owner = np.repeat(owner_N, [len(part) for part in cut])
        textured = np.ptp(tiles.reshape(len(tiles), -1), axis=1) > 0 if len(tiles) else np.zeros(0, dtype=bool)
        try:
            _require_tiles(owner[textured])
        except ValueError as error:
            reasons.append(f"{size} px: {error}")
            continue
        settings = DescriptorSettings(EfficientNetSettings(layers=(params.layer,)))
        features = make_descriptor("efficientnet", settings, (size, size)).describe(tiles[textured])
        ratios[size] = window_ratio(features, owner[textured]).ratio
    if not ratios:
        raise ValueError("window size: " + "; ".join(reasons))
    return {
        "layer": params.layer,
        "ratios": {str(size): ratio for size, ratio in ratios.items()},
        "recommended_px": recommended_tile(ratios, params.threshold),
    }


def tiles_of(image: NDArray[np.floating], size: int) -> NDArray[np.floating]:
    """Tiles (n, size, size) that do not overlap, centred in the image; none where it is smaller."""
    n_y, n_x = (length // size for length in image.shape)
    if n_y * n_x == 0:
        return np.zeros((0, size, size), dtype=image.dtype)
    top, left = ((length - n * size) // 2 for length, n in zip(image.shape, (n_y, n_x), strict=True))
    inner = image[top : top + n_y * size, left : left + n_x * size]
    return inner.reshape(n_y, size, n_x, size).swapaxes(1, 2).reshape(-1, size, size)


def _require_tiles(owner_N: NDArray[np.integer]) -> None:
    _, counts = np.unique(owner_N, return_counts=True)
    if (counts >= 2).sum() < 2:
        raise ValueError(f"found {int((counts >= 2).sum())} images with two tiles or more, expected at least 2")
