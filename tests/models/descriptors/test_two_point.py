"""Pair statistics against brute force, their symmetries, and what they cannot see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.descriptors.power_spectrum import PowerSpectrum, power_spectrum
from models.descriptors.two_point import TwoPoint, autocorrelation, half_plane

RNG = np.random.default_rng(7)
SHAPE = (12, 15)
IMAGES = RNG.random((3, *SHAPE))


def two_point(**changes):
    return TwoPoint(**({"name": "t", "shape": SHAPE, "maximum_lag": 4, "periodic": True, "centred": True} | changes))


def spectrum(**changes):
    given = {"smoothing": 1.5, "maximum_frequency": 0.25, "logarithmic": True, "floor": 10.0}
    return PowerSpectrum(**({"name": "p", "shape": SHAPE} | given | changes))


DESCRIPTORS = [
    two_point(),
    two_point(periodic=False),
    two_point(centred=False),
    two_point(radial=True),
    spectrum(),
    spectrum(logarithmic=False, smoothing=0.0),
]


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("centred", [True, False])
def test_the_two_point_function_is_the_mean_over_counted_pairs(periodic, centred):
    lag = 4
    found = autocorrelation(IMAGES, lag, periodic=periodic, centred=centred)
    for image, function in zip(IMAGES, found, strict=True):
        f = image - image.mean() if centred else image
        for dy in range(-lag, lag + 1):
            for dx in range(-lag, lag + 1):
                pairs = [
                    f[y, x] * f[(y + dy) % SHAPE[0], (x + dx) % SHAPE[1]]
                    for y in range(SHAPE[0])
                    for x in range(SHAPE[1])
                    if periodic or (0 <= y + dy < SHAPE[0] and 0 <= x + dx < SHAPE[1])
                ]
                assert function[lag + dy, lag + dx] == pytest.approx(np.mean(pairs), abs=1e-13)


def test_half_of_the_lags_measure_distances_as_all_of_them_do():
    full = autocorrelation(IMAGES, 4, periodic=False)
    half = half_plane(full)
    assert half.shape[1] == two_point().n_features
    np.testing.assert_allclose(np.linalg.norm(half[0] - half[1]), np.linalg.norm(full[0] - full[1]), rtol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_periodic_statistics_do_not_see_shifts(dy, dx):
    shifted = np.roll(IMAGES, (dy, dx), axis=(1, 2))
    for descriptor in DESCRIPTORS:
        if getattr(descriptor, "periodic", True):
            np.testing.assert_allclose(descriptor.describe(shifted), descriptor.describe(IMAGES), atol=2e-7)


def test_centred_statistics_do_not_see_brightness_and_contrast():
    for descriptor in [two_point(), two_point(periodic=False), two_point(radial=True), spectrum()]:
        np.testing.assert_allclose(descriptor.describe(0.3 + 2 * IMAGES), descriptor.describe(IMAGES), atol=2e-7)
    raw = two_point(centred=False)
    assert abs(raw.describe(0.3 + 2 * IMAGES) - raw.describe(IMAGES)).max() > 1e-3


def test_images_of_equal_fourier_modulus_are_equal():
    noise = np.fft.rfft2(RNG.random(SHAPE))
    phases = np.exp(1j * np.angle(np.fft.rfft2(RNG.random(SHAPE))))
    first = np.fft.irfft2(noise, s=SHAPE)
    second = np.fft.irfft2(abs(noise) * phases, s=SHAPE)
    assert abs(first - second).max() > 0.1
    pair = np.stack([first, second])
    for descriptor in DESCRIPTORS:
        if getattr(descriptor, "periodic", True) and getattr(descriptor, "centred", True):
            one, other = descriptor.describe(pair)
            np.testing.assert_allclose(one, other, atol=2e-7)


def test_the_radial_mean_of_an_isotropic_field_is_its_correlation():
    """cos(k.x) averaged over directions is J0(k r); here a sum of many waves of one wavelength, any direction."""
    n, wavelength = 256, 16
    k = np.stack([np.fft.fftfreq(n)[:, None] + np.zeros((1, n)), np.fft.fftfreq(n)[None, :] + np.zeros((n, 1))])
    ring = np.abs(np.hypot(*k) - 1 / wavelength) < 0.5 / n
    field = np.fft.ifft2(ring * np.exp(2j * np.pi * RNG.random((n, n)))).real
    descriptor = TwoPoint(name="r", shape=(n, n), maximum_lag=40, periodic=True, centred=True, radial=True)
    found = descriptor.describe(field[None])[0]
    from scipy.special import j0

    expected = j0(2 * np.pi * np.arange(41) / wavelength)
    np.testing.assert_allclose(found / found[0], expected, atol=0.06)


def test_the_power_spectrum_sums_to_the_variance_smoothed_or_not():
    weights = np.full(SHAPE[1] // 2 + 1, 2.0)
    weights[0] = 1  # k_x = 0 has no partner; 15 columns have no Nyquist bin
    for smoothing in (0.0, 2.0):
        total = (power_spectrum(IMAGES, smoothing) * weights).sum((1, 2))
        np.testing.assert_allclose(total, IMAGES.var((1, 2)) * IMAGES[0].size, rtol=1e-12)


def test_the_power_spectrum_is_the_transform_of_the_periodic_two_point_function():
    shape = (9, 9)
    images = RNG.random((2, *shape))
    function = autocorrelation(images, 4, periodic=True)
    transform = np.fft.rfft2(np.fft.ifftshift(function, axes=(1, 2)))
    np.testing.assert_allclose(transform, power_spectrum(images, 0.0), atol=1e-12)


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=lambda d: f"{d.name}-{d.n_features}")
def test_rows_have_unit_length_and_do_not_depend_on_the_batch(descriptor):
    images = RNG.random((130, *SHAPE))
    features = descriptor.describe(images)
    assert features.shape == (130, descriptor.n_features)
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    singles = np.concatenate([descriptor.describe(image[None]) for image in images])
    np.testing.assert_array_equal(features, singles)
    assert descriptor.describe(images[:0]).shape == (0, descriptor.n_features)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: two_point(maximum_lag=6), "found maximum_lag 6, expected 1 .. 5 for periodic images of 12 x 15"),
        (lambda: two_point(maximum_lag=12, periodic=False), "expected 1 .. 11 for images of 12 x 15"),
        (lambda: spectrum(maximum_frequency=0.05), "less than one Fourier bin of images of 12 x 15 pixels"),
    ],
)
def test_settings_that_do_not_fit_the_images_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_images_without_texture_are_named():
    images = IMAGES.copy()
    images[1] = 0.5
    images[2, 3, 4] = np.nan
    message = r"NaN or infinite pixels in image 2, .* one value only in image 1"
    for descriptor in DESCRIPTORS:
        with pytest.raises(ValueError, match=message):
            descriptor.describe(images)
    with pytest.raises(ValueError, match=r"shape \(3, 12, 14\), expected \(images, 12, 15\)"):
        two_point().describe(images[:, :, 1:])
