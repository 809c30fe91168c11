import numpy as np
import pytest

from models.laws.curve_summaries import curve_summaries

POSITIVE = np.geomspace(1e-6, 0.98, 400)
AXIS = np.concatenate([-POSITIVE[::-1], [0.0], POSITIVE])


def lorentzian(width, centre=0.0):
    return width**2 / ((AXIS - centre) ** 2 + width**2)


def test_the_width_of_a_lorentzian_is_its_width_and_the_height_one():
    summaries = curve_summaries(np.stack([lorentzian(1e-4), lorentzian(1e-2)]), AXIS)
    np.testing.assert_allclose(summaries.log_width, np.log([2e-4, 2e-2]), atol=2e-3)
    np.testing.assert_allclose(summaries.height, 1.0)


def test_a_scaled_curve_moves_its_centroid_and_its_width_by_the_logarithm_of_the_scale():
    """Away from the ends of the axis, where nothing is cut off."""
    bump = np.stack([np.exp(-(np.log(np.maximum(np.abs(AXIS), 1e-12) / scale) ** 2)) for scale in (1e-4, 1e-3)])
    summaries = curve_summaries(bump, AXIS)
    assert np.diff(summaries.centroid)[0] == pytest.approx(np.log(10), abs=1e-6)
    assert np.diff(summaries.log_width)[0] == pytest.approx(np.log(10), abs=1e-3)


def test_the_mirror_turns_the_imbalance_and_leaves_the_rest():
    x = lorentzian(1e-3, 5e-3)[None]
    one, other = curve_summaries(x, AXIS), curve_summaries(x[:, ::-1], AXIS)
    assert one.imbalance[0] == pytest.approx(-other.imbalance[0], abs=1e-14)
    assert one.imbalance[0] > 0
    for name in ("centroid", "log_width", "height"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12)


@pytest.mark.parametrize(
    ("curves", "axis", "message"),
    [
        (np.ones((1, 4)), np.array([-2.0, -1.0, 1.0, 2.0]), "not symmetric"),
        (np.ones((1, 3)), np.array([-2.0, 0.0, 1.0]), "not symmetric"),
        (np.zeros((1, 3)), np.array([-1.0, 0.0, 1.0]), "negative or empty"),
        (np.array([[1.0, -1.0, 1.0]]), np.array([-1.0, 0.0, 1.0]), "negative or empty"),
    ],
)
def test_what_is_no_spectrum_is_refused(curves, axis, message):
    with pytest.raises(ValueError, match=message):
        curve_summaries(curves, axis)
