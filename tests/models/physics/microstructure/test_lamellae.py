"""Lamellae and the noise that bends them."""

import re

import numpy as np
import pytest

from models.physics.microstructure.lamellae import Lamellae, lamellae, wave_vector
from models.physics.microstructure.perlin import fractal_noise

SHAPE = (128, 96)


def image(seed: int = 0, **changes) -> np.ndarray:
    params = {"angle": 0.6, "noise_strength": 0.5, "scale_px": 10.0, "shape": SHAPE} | changes
    return lamellae(Lamellae(**params), np.random.default_rng(seed))


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 2, 2.5])
@pytest.mark.parametrize("scale_px", [8.0, 13.0])
def test_the_power_peaks_at_the_wave_vector(angle: float, scale_px: float):
    field = image(angle=angle, scale_px=scale_px, noise_strength=0.3)
    power = np.abs(np.fft.rfft2(field - field.mean())) ** 2
    row, column = np.unravel_index(power.argmax(), power.shape)
    found = np.array([np.fft.fftfreq(SHAPE[0])[row], np.fft.rfftfreq(SHAPE[1])[column]])
    expected = np.array([np.sin(angle), np.cos(angle)]) / scale_px
    miss = min(np.abs(found - expected * sign).max() for sign in (1, -1))
    assert miss < 1 / min(SHAPE)


def test_the_angle_has_the_period_pi():
    np.testing.assert_allclose(image(angle=0.6), image(angle=0.6 + np.pi), atol=1e-12)
    np.testing.assert_allclose(image(angle=0.6), image(angle=0.6 - np.pi), atol=1e-12)
    assert np.abs(image(angle=0.6) - image(angle=0.6 + np.pi / 2)).mean() > 0.1


def test_without_noise_stripes_are_the_closed_form():
    field = image(noise_strength=0.0, angle=0.0, scale_px=8.0)
    assert np.ptp(field, axis=0).max() < 1e-12
    np.testing.assert_allclose(field[:, 8:], field[:, :-8], atol=1e-12)
    assert np.tanh(2) / 2 + 0.5 >= field.max() > 0.9


def test_values_stay_in_the_unit_interval():
    field = image(noise_strength=4.0)
    assert field.shape == SHAPE
    assert 0 <= field.min() < 0.1
    assert 0.9 < field.max() <= 1


def steps_over_the_edge(field: np.ndarray) -> tuple[float, float]:
    """Largest step between opposite edges, and between neighbours inside."""
    across = max(np.abs(field[0] - field[-1]).max(), np.abs(field[:, 0] - field[:, -1]).max())
    return across, max(np.abs(np.diff(field, axis=0)).max(), np.abs(np.diff(field, axis=1)).max())


def test_periodic_lamellae_fit_together_at_the_edges_and_others_do_not():
    periodic = image(periodic=True, scale_px=12.0, noise_strength=0.8)
    across, inside = steps_over_the_edge(periodic)
    assert across <= inside * 1.2
    across, inside = steps_over_the_edge(image(scale_px=12.0, noise_strength=0.8))
    assert across > inside * 1.2


def test_a_periodic_wave_vector_is_the_nearest_that_fits():
    params = Lamellae(angle=0.6, noise_strength=0.0, scale_px=10.0, shape=SHAPE, periodic=True)
    k_y, k_x = wave_vector(params)
    assert k_y * SHAPE[0] == pytest.approx(round(np.sin(0.6) / 10 * SHAPE[0]))
    assert k_x * SHAPE[1] == pytest.approx(round(np.cos(0.6) / 10 * SHAPE[1]))


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("n_octaves", [1, 4])
def test_noise_has_unit_rms_and_zero_mean(periodic: bool, n_octaves: int):
    rng = np.random.default_rng(3)
    fields = np.stack([fractal_noise((256, 256), 8.0, n_octaves, rng, periodic=periodic) for _ in range(8)])
    assert fields.std() == pytest.approx(1, rel=0.03)
    assert abs(fields.mean()) < 0.03


def test_noise_equals_perlins_formula_pixel_by_pixel():
    """The two matrix products against the sum over the four corners of each cell."""
    shape, cell = (23, 17), 5.0
    field = fractal_noise(shape, cell, 1, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    offset = rng.random(2)
    n_y, n_x = (int(shift + (n - 1) / cell) + 2 for n, shift in zip(shape, offset, strict=True))
    direction = rng.uniform(0, 2 * np.pi, (n_y, n_x))
    expected = np.zeros(shape)
    for y in range(shape[0]):
        for x in range(shape[1]):
            v, u = offset[0] + y / cell, offset[1] + x / cell
            for i in (int(v), int(v) + 1):
                for j in (int(u), int(u) + 1):
                    weight = np.prod([1 - 6 * d**5 + 15 * d**4 - 10 * d**3 for d in (abs(v - i), abs(u - j))])
                    slope = np.cos(direction[i, j]) * (u - j) + np.sin(direction[i, j]) * (v - i)
                    expected[y, x] += weight * slope
    ratio = field / expected
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-9)


def test_periodic_noise_is_continuous_over_the_edge():
    field = fractal_noise((64, 48), 8.0, 3, np.random.default_rng(0), periodic=True)
    across, inside = steps_over_the_edge(field)
    assert across <= inside * 1.2


def test_the_same_random_numbers_give_the_same_image():
    np.testing.assert_array_equal(image(seed=4), image(seed=4))
    assert np.abs(image(seed=4) - image(seed=5)).max() > 0.1


def test_all_bad_parameters_are_reported_at_once():
    with pytest.raises(ValueError) as raised:
        Lamellae(angle=np.nan, noise_strength=-1, scale_px=0, shape=(4, 128))
    for name in ("angle", "noise_strength", "scale_px", "shape"):
        assert re.search(rf"(: |; ){name}", str(raised.value))
