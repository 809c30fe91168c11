import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.laws.uncertainty import auroc, calibration, calibration_scale, rank_correlation, risk_coverage

RNG = np.random.default_rng(0)
SD = RNG.lognormal(size=20_000)
ERROR = SD * RNG.normal(size=SD.size)


def test_the_oracle_order_has_no_excess_and_its_reverse_the_most():
    size = np.arange(1.0, 6.0)
    best, worst = risk_coverage(size, size), risk_coverage(-size + 10, size)
    np.testing.assert_allclose(best.risk_N, [1, 1.5, 2, 2.5, 3])
    assert best.area == best.oracle_area == 2.0
    assert best.relative_excess == 0.0
    np.testing.assert_allclose(worst.risk_N, [5, 4.5, 4, 3.5, 3])
    assert worst.relative_excess == pytest.approx(2.0)
    np.testing.assert_allclose(best.coverage_N, [0.2, 0.4, 0.6, 0.8, 1.0])


def test_a_constant_estimate_is_a_random_order():
    found = risk_coverage(np.ones(50), RNG.normal(size=50))
    assert found.relative_excess == pytest.approx(1.0)
    assert found.area == pytest.approx(found.random_area)


@given(arrays(float, 12, elements=st.floats(0, 10)), arrays(float, 12, elements=st.floats(-10, 10)))
def test_no_order_is_better_than_the_oracle_and_full_coverage_is_the_mean_error(estimate, error):
    found = risk_coverage(estimate, error)
    assert found.area >= found.oracle_area - 1e-9
    assert found.risk_N[-1] == pytest.approx(np.abs(error).mean())


def test_the_curve_does_not_depend_on_the_order_of_rows():
    order = RNG.permutation(100)
    estimate, error = np.round(SD[:100], 1), ERROR[:100]
    np.testing.assert_allclose(
        risk_coverage(estimate, error).risk_N, risk_coverage(estimate[order], error[order]).risk_N
    )


def test_normal_errors_of_known_deviation_are_calibrated():
    found = calibration(SD, ERROR)
    np.testing.assert_allclose(found.observed_P, found.expected_P, atol=0.012)
    assert calibration(SD / 3, ERROR).miscalibration > 0.2


def test_one_scale_undoes_a_wrong_unit():
    half = SD.size // 2
    scale = calibration_scale(SD[:half] / 7, ERROR[:half])
    assert scale == pytest.approx(7, rel=0.03)
    assert calibration(scale * SD[half:] / 7, ERROR[half:]).miscalibration < 0.01


def test_the_scale_has_the_largest_likelihood():
    estimate, error = SD[:200] / 2, ERROR[:200]

    def minus_log_likelihood(scale):
        return np.sum(np.log(scale * estimate) + 0.5 * (error / (scale * estimate)) ** 2)

    best = calibration_scale(estimate, error)
    assert minus_log_likelihood(best) < min(minus_log_likelihood(best * 0.98), minus_log_likelihood(best * 1.02))


def test_any_rising_estimate_of_the_error_has_rank_correlation_one():
    groups = np.repeat(np.arange(20), 5)
    found = rank_correlation(np.abs(ERROR[:100]) ** 3, ERROR[:100], groups, n_bootstrap=50, seed=0)
    np.testing.assert_allclose([found.value, found.low, found.high], 1.0)


def test_copies_in_a_group_do_not_narrow_the_interval():
    estimate, error = SD[:40], ERROR[:40]
    single = rank_correlation(estimate, error, np.arange(40), n_bootstrap=400, seed=1)
    copied = rank_correlation(
        np.repeat(estimate, 25), np.repeat(error, 25), np.repeat(np.arange(40), 25), n_bootstrap=400, seed=1
    )
    assert copied.value == pytest.approx(single.value)
    assert copied.high - copied.low == pytest.approx(single.high - single.low, rel=0.15)
    assert single.low < single.value < single.high


def test_an_estimate_of_zero_beside_an_error_has_no_scale():
    assert calibration_scale(np.array([0.0, 1.0]), np.array([0.0, 2.0])) == 2.0
    with pytest.raises(ValueError, match="ensemble of one has no spread"):
        calibration_scale(np.zeros(3), np.ones(3))


@pytest.mark.parametrize(
    ("estimate", "error", "message"),
    [
        (np.ones(3), np.ones(4), r"shapes \(3,\) and \(4,\)"),
        (np.ones(0), np.ones(0), "shapes"),
        (np.array([1, np.nan]), np.ones(2), "not finite"),
        (np.array([1.0, -0.5]), np.ones(2), "estimate of -0.5"),
    ],
)
def test_bad_estimates_are_refused(estimate, error, message):
    with pytest.raises(ValueError, match=message):
        risk_coverage(estimate, error)


def test_strange_rows_are_separated_from_familiar_ones():
    familiar = np.array([1.0, 2.0, 3.0])
    assert auroc(familiar, np.array([4.0, 5.0])) == 1.0
    assert auroc(familiar, np.array([0.0])) == 0.0
    assert auroc(familiar, familiar) == 0.5
    pairs = [(s > f) + 0.5 * (s == f) for s in (2.0, 2.5) for f in familiar]
    assert auroc(familiar, np.array([2.0, 2.5])) == pytest.approx(np.mean(pairs))
