"""Within- against between-image distance."""

import numpy as np
import pytest

from models.descriptors.window import recommended_tile, window_ratio


def tiles(spread: float, n_images: int = 6, n_tiles: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(n_images, 40)), n_tiles, axis=0)
    return centres + spread * rng.normal(size=centres.shape), np.repeat(np.arange(n_images), n_tiles)


def test_the_sums_are_the_averages_over_pairs():
    features, image = tiles(0.7)
    squared = ((features[:, None] - features[None]) ** 2).sum(-1)
    same, itself = image[:, None] == image[None], np.eye(len(image), dtype=bool)
    found = window_ratio(features + 100, image)
    assert found.within**2 == pytest.approx(squared[same & ~itself].mean())
    assert found.between**2 == pytest.approx(squared[~same].mean())
    assert found.ratio == pytest.approx(found.within**2 / found.between**2)


def test_equal_tiles_give_zero_and_unrelated_tiles_one():
    assert window_ratio(*tiles(0.0)).ratio == pytest.approx(0, abs=1e-12)
    _, image = tiles(0.0, 30, 8)
    unrelated = np.random.default_rng(1).normal(size=(len(image), 40))
    assert window_ratio(unrelated, image).ratio == pytest.approx(1, abs=0.02)


def test_the_variance_model_gives_the_closed_form():
    """Centres of variance 1, tiles scattering by s^2 around them: ratio = s^2 / (1 + s^2)."""
    features, image = tiles(1.0, 400, 4)
    assert window_ratio(features, image).ratio == pytest.approx(0.5, abs=0.02)


def test_images_with_one_tile_are_left_out_and_two_images_are_needed():
    features, image = tiles(0.5)
    more = window_ratio(np.vstack([features, 50 + features[:1]]), np.append(image, 99))
    assert (more.n_images, more.n_tiles) == (6, 30)
    with pytest.raises(ValueError, match="found 1 of 1 images with two tiles"):
        window_ratio(features[:5], image[:5])
    with pytest.raises(ValueError, match="not finite"):
        window_ratio(features * np.nan, image)


def test_the_recommended_tile_is_the_smallest_from_which_on_all_pass():
    assert recommended_tile({32: 0.8, 64: 0.2, 128: 0.1}, 0.25) == 64
    assert recommended_tile({32: 0.2, 64: 0.4, 128: 0.1}, 0.25) == 128
    assert recommended_tile({32: 0.8, 64: 0.6}, 0.25) is None
