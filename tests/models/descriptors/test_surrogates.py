"""Surrogates keep pair statistics and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.descriptors.surrogates import modulus_error, periodic_component, phase_surrogate, phase_surrogates


def image(shape: tuple[int, int] = (24, 31), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


@settings(deadline=None, max_examples=30)
@given(st.integers(4, 33), st.integers(4, 33), st.integers(0, 2**31))
def test_a_surrogate_is_real_and_keeps_every_modulus(ny: int, nx: int, seed: int):
    field = image((ny, nx), seed)
    surrogate = phase_surrogate(field, np.random.default_rng(seed))
    assert surrogate.dtype == np.float64 and surrogate.shape == field.shape
    np.testing.assert_allclose(np.abs(np.fft.fft2(surrogate)), np.abs(np.fft.fft2(field)), rtol=0, atol=1e-10)


def test_a_surrogate_keeps_mean_variance_and_correlation_but_not_the_image():
    field = image()
    surrogate = phase_surrogate(field, np.random.default_rng(1))
    correlation = [np.fft.ifft2(np.abs(np.fft.fft2(u - u.mean())) ** 2).real for u in (field, surrogate)]
    np.testing.assert_allclose(*correlation, atol=1e-10)
    assert surrogate.mean() == pytest.approx(field.mean(), abs=1e-12)
    assert surrogate.std() == pytest.approx(field.std(), abs=1e-12)
    assert abs(np.corrcoef(surrogate.ravel(), field.ravel())[0, 1]) < 0.2


def test_drawn_phases_are_uniform():
    fields = np.repeat(image((16, 16))[None], 400, axis=0)
    turned = np.angle(np.fft.fft2(phase_surrogates(fields, 3))[:, 2, 3] / np.fft.fft2(fields[0])[2, 3])
    assert abs(np.exp(1j * turned).mean()) < 3 / np.sqrt(400)


def test_a_matched_histogram_is_exact_and_the_modulus_nearly():
    noise = np.fft.rfft2(image((64, 64)) - 0.5)
    low = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64)[None]) < 0.1
    field = np.exp(3 * np.fft.irfft2(noise * low, s=(64, 64)) / np.fft.irfft2(noise * low, s=(64, 64)).std())
    plain = phase_surrogate(field, np.random.default_rng(0))
    matched = phase_surrogate(field, np.random.default_rng(0), match_histogram=True)
    np.testing.assert_array_equal(np.sort(matched, axis=None), np.sort(field, axis=None))
    assert modulus_error(plain, field) < 1e-12
    assert modulus_error(matched, field) < 0.1
    once = phase_surrogate(field, np.random.default_rng(0), match_histogram=True, n_iterations=0)
    assert modulus_error(matched, field) < modulus_error(once, field)


def test_batches_do_not_change_a_surrogate():
    fields = np.stack([image((12, 12), seed) for seed in range(5)])
    whole = phase_surrogates(fields, 7)
    parts = [phase_surrogates(fields[:2], 7), phase_surrogates(fields[2:], 7, first=2)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_the_periodic_component_of_a_ramp_is_flat_across_the_border():
    ramp = np.linspace(0, 1, 64)[:, None] + np.zeros((1, 48))
    component = periodic_component(ramp)
    assert component.mean() == pytest.approx(ramp.mean())
    assert np.abs(component[0] - component[-1]).max() < 0.1 * np.abs(ramp[0] - ramp[-1]).min()


def test_the_smooth_part_solves_its_equation_and_a_periodic_field_has_almost_none():
    """Laplacian of s equals the differences across the border; a band-limited periodic field jumps by one step only."""
    field = image((20, 26))
    smooth = field - periodic_component(field)
    neighbours = sum(np.roll(smooth, step, axis) for axis in (0, 1) for step in (1, -1))
    jump = np.zeros_like(field)
    jump[0] += field[0] - field[-1]
    jump[-1] += field[-1] - field[0]
    jump[:, 0] += field[:, 0] - field[:, -1]
    jump[:, -1] += field[:, -1] - field[:, 0]
    np.testing.assert_allclose(4 * smooth - neighbours, jump, atol=1e-10)
    y, x = np.mgrid[:64, :64] * 2 * np.pi / 64
    wave = np.sin(y) + np.cos(2 * x + y)
    assert np.abs(wave - periodic_component(wave)).max() < 0.15


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (np.full((8, 8), 0.5), "constant image"),
        (np.where(np.eye(8) > 0, np.nan, 0.0), "8 values that are not finite"),
        (np.zeros((3, 8)), r"shape \(3, 8\)"),
        (np.zeros((2, 8, 8)), r"expected \(y, x\)"),
    ],
)
def test_an_image_without_phases_is_refused(field: np.ndarray, said: str):
    with pytest.raises(ValueError, match=said):
        phase_surrogate(field, np.random.default_rng(0))
