"""Two-point functions are equal at every phase order; the cells are not."""

import re

import numpy as np
import pytest

from models.physics.microstructure.phase_order import PhaseOrder, phase_order, scramble_phases, unclipped_field


def params(**changes) -> PhaseOrder:
    return PhaseOrder(**({"phase_order": 0.0, "scale_px": 12.0, "shape": (96, 96)} | changes))


def two_point(field: np.ndarray) -> np.ndarray:
    """Periodic autocorrelation by Wiener-Khinchin, 1 at lag 0 for a field of unit variance."""
    return np.fft.irfft2(np.abs(np.fft.rfft2(field)) ** 2, s=field.shape) / field.size


@pytest.mark.parametrize("shape", [(96, 96), (64, 97), (63, 80), (65, 65)])
@pytest.mark.parametrize("t", [0.3, 1.0])
def test_the_two_point_function_does_not_see_the_phase_order(shape: tuple[int, int], t: float):
    cells = unclipped_field(params(shape=shape), np.random.default_rng(7))
    other = unclipped_field(params(shape=shape, phase_order=t), np.random.default_rng(7))
    np.testing.assert_allclose(np.abs(np.fft.fft2(other)), np.abs(np.fft.fft2(cells)), atol=1e-10 * cells.size**0.5)
    np.testing.assert_allclose(two_point(other), two_point(cells), atol=1e-12)
    assert np.abs(other - cells).max() > 0.5


def test_direct_pair_sums_agree_too():
    """Without any Fourier transform: mean of f(x) f(x + lag) over the torus."""
    cells, other = (unclipped_field(params(phase_order=t), np.random.default_rng(1)) for t in (0.0, 0.8))
    for lag in ((0, 1), (3, 0), (5, -7), (20, 31)):
        pairs = [np.mean(f * np.roll(f, lag, axis=(0, 1))) for f in (cells, other)]
        assert pairs[0] == pytest.approx(pairs[1], abs=1e-12)


def test_the_third_moment_sees_it():
    """Walls are skewed; random phases make the field Gaussian, with none."""
    skew = [
        np.mean(unclipped_field(params(phase_order=t, shape=(128, 128)), np.random.default_rng(2)) ** 3) for t in (0, 1)
    ]
    assert skew[0] > 0.4
    assert abs(skew[1]) < 0.15


def test_strength_zero_changes_nothing():
    field = np.random.default_rng(0).standard_normal((30, 41))
    np.testing.assert_allclose(scramble_phases(field, 0.0, np.random.default_rng(1)), field, atol=1e-13)


def test_mean_and_variance_survive_clipping_almost():
    """Equality is exact before the clip; after it, hardly a pixel differs."""
    for t in (0.0, 0.5, 1.0):
        image = phase_order(params(phase_order=t, shape=(128, 128)), np.random.default_rng(3))
        assert 0 <= image.min() < image.max() <= 1
        assert image.mean() == pytest.approx(0.5, abs=1e-4)
        assert image.std() == pytest.approx(1 / 8, rel=1e-3)


def test_scale_sets_the_number_of_cells():
    """The correlation decays over a distance in proportion to the scale."""
    reach = []
    for scale_px in (8.0, 16.0):
        fields = [
            unclipped_field(params(scale_px=scale_px, shape=(128, 128)), np.random.default_rng(k)) for k in range(6)
        ]
        reach.append(np.argmax(np.mean([two_point(f)[0] for f in fields], axis=0) < 0.3))
    assert reach[1] / reach[0] == pytest.approx(2, abs=0.5)


def test_all_bad_parameters_are_reported_at_once():
    with pytest.raises(ValueError) as raised:
        params(phase_order=1.5, scale_px=-2, shape=(96,), wall_width=0, clip_sigmas=np.inf)
    for name in ("phase_order", "scale_px", "shape", "wall_width", "clip_sigmas"):
        assert re.search(rf"(: |; ){name}", str(raised.value))


def test_too_few_cells_are_refused():
    with pytest.raises(ValueError, match=r"scale_px = 60\.0: expected at most 48, of which 4 cells fit"):
        params(scale_px=60.0)
