"""Descriptors of grey levels and level sets against closed forms: stripes, drawings, Gaussian fields, counting."""

from itertools import groupby
from math import factorial, sqrt

import numpy as np
import pytest
from scipy.special import ndtr

from models.descriptors.chord_lengths import chord_counts
from models.descriptors.descriptor import DescriptorSettings, make_descriptor
from models.descriptors.grey_levels import GreyLevelSettings, gram_charlier
from models.descriptors.level_sets import level_sets
from models.descriptors.lineal_path import LinealPathSettings, lineal_path_function
from models.descriptors.local_states import LocalStateSettings, state_correlations
from models.descriptors.minkowski import minkowski_functionals
from models.physics.microstructure.matched_order import normal_quantiles

RNG = np.random.default_rng(5)
SHAPE = (36, 40)
NAMES = [
    "grey_histogram",
    "grey_moments",
    "local_states",
    "local_states_radial",
    "lineal_path",
    "lineal_path_radial",
    "chord_lengths",
    "chord_lengths_radial",
    "minkowski",
]


def blobs(n: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Smooth skewed fields, periodic."""
    noise = np.fft.rfft2(RNG.standard_normal((n, *shape)))
    k = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    return np.exp(2 * np.fft.irfft2(noise * np.exp(-0.5 * (k / 0.08) ** 2), s=shape))


def made(name: str, *families: object):
    return make_descriptor(name, DescriptorSettings(*families), SHAPE)


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_of_unit_length_and_see_neither_batch_shift_brightness_nor_contrast(name: str):
    images = blobs(18)  # more than one block
    descriptor = made(name)
    features = descriptor.describe(images)
    assert features.shape == (18, descriptor.n_features)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(features, np.concatenate([descriptor.describe(image[None]) for image in images]))
    np.testing.assert_allclose(descriptor.describe(np.roll(images, (7, -11), axis=(1, 2))), features, atol=1e-6)
    np.testing.assert_allclose(descriptor.describe(4 * images - 8), features, atol=1e-6)
    assert np.linalg.norm(features[0] - features[1]) > 1e-3


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_moments_of_two_grey_levels_are_those_of_bernoulli(share: float):
    image = np.zeros((1, 20, 20))
    image.flat[: round(400 * share)] = 3.0
    found = gram_charlier(image, 4)[0]
    variance = share * (1 - share)
    expected = [1, (1 - 2 * share) / sqrt(variance) / sqrt(6), (1 - 6 * variance) / variance / sqrt(24)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_gaussian_grey_levels_have_the_first_coefficient_alone():
    image = RNG.permutation(normal_quantiles(160**2)).reshape(1, 160, 160)
    found = gram_charlier(image, 6)[0] * np.sqrt([1, *(factorial(n) for n in range(3, 7))])
    np.testing.assert_allclose(found, [1, 0, 0, 0, 0], atol=0.06)  # what quantiles lack of the tails
    np.testing.assert_allclose(found[[1, 3]], 0, atol=1e-12)


def test_the_histogram_of_gaussian_grey_levels_is_that_of_the_normal_distribution():
    n = SHAPE[0] * SHAPE[1]
    image = RNG.permutation(normal_quantiles(n)).reshape(1, *SHAPE)
    found = made("grey_histogram", GreyLevelSettings(n_bins=8, range_sigmas=4.0)).describe(image)[0]
    edges = [-np.inf, -3, -2, -1, 0, 1, 2, 3, np.inf]
    np.testing.assert_allclose(found**2, np.diff(ndtr(edges)), atol=2 / n)


@pytest.mark.parametrize("periodic", [True, False])
def test_correlations_of_local_states_are_counted_pairs(periodic: bool):
    images, levels, lag = blobs(2, (9, 11)), (-0.4, 0.6), 3
    states = level_sets(images, levels)
    found = state_correlations(images, levels, lag, periodic=periodic)
    for (a, b), (function_BYX, same) in zip([(0, 0), (0, 1), (1, 1)], found, strict=True):
        assert same == (a == b)
        for image in range(2):
            first, second = states[a, image], states[b, image]
            for dy, dx in [(0, 0), (1, -3), (-2, 2), (3, 1)]:
                pairs = [
                    first[y, x] and second[(y + dy) % 9, (x + dx) % 11]
                    for y in range(9)
                    for x in range(11)
                    if periodic or (0 <= y + dy < 9 and 0 <= x + dx < 11)
                ]
                expected = np.mean(pairs) - first.mean() * second.mean()
                assert function_BYX[image, lag + dy, lag + dx] == pytest.approx(expected, abs=1e-12)


def gaussian_field(n_px: int, k_0: float) -> tuple[np.ndarray, np.ndarray]:
    """A field of unit variance, and its correlation at lags (0, 0), (0, 1), ...: exp(-(k_0 r)^2 / 2)."""
    k = np.hypot(np.fft.fftfreq(n_px)[:, None], np.fft.rfftfreq(n_px)) * 2 * np.pi
    field = np.fft.irfft2(
        np.fft.rfft2(RNG.standard_normal((n_px, n_px))) * np.exp(-((k / k_0) ** 2) / 4), s=(n_px,) * 2
    )
    return (field - field.mean()) / field.std(), np.exp(-((k_0 * np.arange(n_px)) ** 2) / 2)


def test_the_median_level_set_of_a_gaussian_field_follows_the_arcsine_law():
    field, correlation = gaussian_field(1024, 0.25)
    ((function_BYX, _),) = state_correlations(field[None], (0.0,), 12, periodic=True)
    np.testing.assert_allclose(function_BYX[0, 12, 12:], np.arcsin(correlation[:13]) / (2 * np.pi), atol=4e-3)


@pytest.mark.parametrize("periodic", [True, False])
def test_the_lineal_path_of_stripes(periodic: bool):
    """Stripes of 6 px across x: segments along y and x, and along the diagonals as along x."""
    width, n_px = 6, 36
    stripes = np.broadcast_to((np.arange(n_px) // width) % 2 == 0, (1, n_px, n_px)).copy()
    z = np.arange(1, 11)
    path_DZ = lineal_path_function(stripes, 10, periodic=periodic)[0]
    n_inside = 3 * np.maximum(width - z + 1, 0)
    across = n_inside / n_px if periodic else n_inside / (n_px - z + 1)
    for direction in (0, 2, 3):
        np.testing.assert_allclose(path_DZ[direction], across, atol=1e-15)
    np.testing.assert_allclose(path_DZ[1], 0.5, atol=1e-15)


def test_the_lineal_path_of_independent_pixels_is_a_power():
    pixels = RNG.random((1, 1024, 1024)) < 0.7
    np.testing.assert_allclose(
        lineal_path_function(pixels, 8, periodic=True)[0], np.tile(0.7 ** np.arange(1, 9), (4, 1)), atol=4e-3
    )


def lines(image: np.ndarray, direction: int) -> list[np.ndarray]:
    if direction == 0:
        return list(image)
    if direction == 1:
        return list(image.T)
    turned = image if direction == 2 else image[:, ::-1]
    return [np.diagonal(turned, k) for k in range(1 - image.shape[0], image.shape[1])]


def test_chords_are_the_runs_of_lines():
    phase = blobs(1, (30, 23))[0] > 1
    for direction in range(4):
        runs = [sum(1 for _ in run) for line in lines(phase, direction) for inside, run in groupby(line) if inside]
        expected = np.bincount(np.minimum(runs, 7), minlength=8)[1:]
        np.testing.assert_array_equal(chord_counts(phase[None], 6, periodic=False)[0, direction], expected)


def test_chords_go_on_across_a_periodic_border():
    phase = np.zeros((1, 8, 8), dtype=bool)
    phase[0, 3, [6, 7, 0, 1, 2]] = True
    phase[0, 5, 4] = True
    np.testing.assert_array_equal(chord_counts(phase, 6, periodic=True)[0, 0], [1, 0, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(chord_counts(phase, 6, periodic=False)[0, 0], [1, 1, 1, 0, 0, 0, 0])


def drawing(*rows: str) -> np.ndarray:
    return np.array([[[letter == "#" for letter in row] for row in rows]])


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize(
    ("set_", "area", "faces", "euler"),
    [
        (drawing("......", ".####.", ".####.", "......"), 8, 12, 1),  # a rectangle
        (drawing(".......", ".###.#.", ".#.#...", ".###.##", "......."), 11, 16 + 4 + 6, 3 - 1),  # a ring, two pieces
        (drawing(".....", ".#...", "..#..", "....."), 2, 8, 1),  # touching at a corner: one part
    ],
)
def test_minkowski_functionals_of_drawings(set_, area, faces, euler, periodic):
    set_ = np.pad(set_, ((0, 0), (0, 0), (1, 1)))
    found = minkowski_functionals(set_, periodic=periodic)[0] * set_[0].size
    np.testing.assert_allclose(found, [area, faces, euler], atol=1e-12)


def test_minkowski_functionals_are_additive():
    """F(A or B) = F(A) + F(B) - F(A and B), the intersection being one of closed squares."""
    first = np.zeros((1, 20, 20), dtype=bool)
    second = first.copy()
    first[0, 2:9, 3:12] = True
    second[0, 5:15, 8:17] = True
    parts = [minkowski_functionals(s, periodic=True) for s in (first | second, first, second, first & second)]
    np.testing.assert_allclose(parts[0], parts[1] + parts[2] - parts[3], atol=1e-15)


def test_a_torus_that_is_filled_has_no_boundary_and_no_euler_characteristic():
    full = np.ones((1, 9, 12), dtype=bool)
    np.testing.assert_allclose(minkowski_functionals(full, periodic=True), [[1, 0, 0]])
    full[0, 4, 5] = False
    np.testing.assert_allclose(minkowski_functionals(full, periodic=True) * 108, [[107, 4, -1]], atol=1e-12)


@pytest.mark.parametrize("level", [-1.0, 0.0, 1.5])
def test_minkowski_functionals_of_a_gaussian_field(level: float):
    k_0 = 0.2
    field, _ = gaussian_field(1024, k_0)
    slope = np.mean((np.roll(field, -1, axis=1) - field) ** 2)
    found = minkowski_functionals(field[None] > level, periodic=True)[0]
    decay = np.exp(-(level**2) / 2)
    expected = [1 - ndtr(level), 4 / np.pi * np.sqrt(slope) * decay / 2, slope * level * decay / (2 * np.pi) ** 1.5]
    np.testing.assert_allclose(found, expected, rtol=0.06, atol=2e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: made("local_states", LocalStateSettings(maximum_lag=18)), r"found maximum_lag 18, expected 1 .. 17"),
        (lambda: made("lineal_path", LinealPathSettings(maximum_length=37)), r"maximum_length 37, expected at most 36"),
        (lambda: LocalStateSettings(levels_sigmas=(1.0, 0.0)), "ascending"),
        (lambda: GreyLevelSettings(highest_moment=2), "highest_moment"),
    ],
)
def test_settings_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
