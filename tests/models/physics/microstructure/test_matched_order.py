"""Histogram and Fourier modulus agree at every hidden order; the images do not."""

import numpy as np
import pytest
from scipy.special import ndtr

from models.physics.microstructure.amplitude_adjustment import adjust_amplitudes
from models.physics.microstructure.matched_order import (
    MatchedLamellae,
    MatchedOrder,
    matched_lamellae,
    matched_order,
    normal_quantiles,
)

MODULUS_TOLERANCE = 5e-4  # of the whole modulus, without the mean
ORDERS = (0.0, 0.2, 0.5, 1.0)


def cells(order: float, seed: int = 3, scale_px: float = 12.0) -> np.ndarray:
    params = MatchedOrder(phase_order=order, scale_px=scale_px, shape=(128, 128), wall_width=0.15, n_iterations=40)
    return matched_order(params, np.random.default_rng(seed))


def stripes(order: float, seed: int = 3, scale_px: float = 12.0) -> np.ndarray:
    params = MatchedLamellae(
        phase_order=order, scale_px=scale_px, shape=(128, 128), angle=0.7, noise_strength=1.0, n_iterations=40
    )
    return matched_lamellae(params, np.random.default_rng(seed))


@pytest.mark.parametrize("make", [cells, stripes])
def test_grey_levels_are_the_same_numbers_at_every_order_scale_and_seed(make):
    images = [make(order, seed, scale_px) for order in ORDERS for seed, scale_px in ((1, 10.0), (2, 20.0))]
    first = np.sort(images[0], axis=None)
    for image in images[1:]:
        np.testing.assert_array_equal(np.sort(image, axis=None), first)
    assert (first[0], first[-1]) == (0, 1)


@pytest.mark.parametrize("make", [cells, stripes])
@pytest.mark.parametrize("scale_px", [10.0, 20.0])
def test_the_fourier_modulus_is_the_same_at_every_order_up_to_the_tolerance(make, scale_px):
    modulus = [np.abs(np.fft.fft2(image - image.mean())) for order in ORDERS for image in [make(order, 4, scale_px)]]
    for other in modulus[1:]:
        assert np.linalg.norm(other - modulus[0]) / np.linalg.norm(modulus[0]) < MODULUS_TOLERANCE


def test_pair_sums_agree_too():
    """Without any Fourier transform: mean of u(x) u(x + lag) over the torus, in units of the variance."""
    fields = [(image - image.mean()) / image.std() for image in map(cells, ORDERS)]
    for lag in ((0, 1), (3, 0), (5, -7), (20, 31)):
        pairs = [np.mean(f * np.roll(f, lag, axis=(0, 1))) for f in fields]
        assert np.ptp(pairs) < 2 * MODULUS_TOLERANCE


def test_the_images_differ_in_what_is_neither_histogram_nor_modulus():
    """<u(x)^2 u(x + r)> vanishes for random phases; cells keep it: beside a wall, both signs of u are not alike."""
    moments = []
    for order in (0.0, 1.0):
        fields = [(image - image.mean()) / image.std() for image in (cells(order, seed) for seed in range(4))]
        moments.append([np.mean((f**2 - 1) * np.roll(f, lag, axis=(0, 1))) for f in fields for lag in ((0, 3), (3, 0))])
    assert np.mean(moments[0]) < -0.1
    assert abs(np.mean(moments[1])) < 0.05


def test_adjustment_keeps_levels_and_what_already_fits():
    rng = np.random.default_rng(0)
    field = rng.standard_normal((30, 41))
    levels, modulus = np.sort(field, axis=None), np.abs(np.fft.rfft2(field))
    np.testing.assert_allclose(adjust_amplitudes(field, levels, modulus, 5), field, atol=1e-12)
    other = adjust_amplitudes(rng.standard_normal((30, 41)), levels, modulus, 20)
    np.testing.assert_array_equal(np.sort(other, axis=None), levels)


def test_more_steps_bring_the_modulus_nearer():
    errors = []
    for n_iterations in (1, 5, 40):
        params = MatchedOrder(
            phase_order=0.0, scale_px=16.0, shape=(96, 96), wall_width=0.15, n_iterations=n_iterations
        )
        many = params.__class__(phase_order=1.0, scale_px=16.0, shape=(96, 96), wall_width=0.15, n_iterations=200)
        image, wanted = (matched_order(p, np.random.default_rng(7)) for p in (params, many))
        found, wanted = (np.abs(np.fft.fft2(f - f.mean())) for f in (image, wanted))
        errors.append(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


def test_levels_are_normal_quantiles_of_unit_variance():
    values = normal_quantiles(10_001)
    assert values.mean() == pytest.approx(0, abs=1e-15)
    assert values.var() == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(ndtr(values), (np.arange(10_001) + 0.5) / 10_001, atol=3e-4)


def test_too_few_cells_are_refused():
    with pytest.raises(ValueError, match="of which 4 cells fit"):
        MatchedOrder(phase_order=0.0, scale_px=60.0, shape=(96, 96), wall_width=0.15, n_iterations=1)
