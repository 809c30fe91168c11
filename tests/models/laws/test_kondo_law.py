"""The reference laws against their closed forms, and the coefficient test against targets whose answer is known."""

import numpy as np
import pytest

from models.laws.canonical import evaluate, input_symbols, parse_equation
from models.laws.kondo_law import EXPECTED, LAWS, encode, law_equation, law_log_ratio, law_terms_test

RNG = np.random.default_rng(7)
N = 120
GAMMA = np.exp(RNG.uniform(np.log(5e-4), np.log(2e-3), N))
INTERACTION = np.pi * RNG.uniform(2, 8, N) * GAMMA
LEVEL = (RNG.uniform(-0.6, 0.6, N) - 1) / 2 * INTERACTION
OPTIONS = {"n_bootstrap": 200, "confidence": 0.95, "seed": 0}


def test_haldanes_law_is_the_published_closed_form():
    exponent = np.pi * LEVEL * (LEVEL + INTERACTION) / (2 * INTERACTION * GAMMA)
    closed = np.sqrt(INTERACTION * GAMMA / 2) * np.exp(exponent)
    ratio = law_log_ratio("haldane", INTERACTION, LEVEL, GAMMA)
    np.testing.assert_allclose(np.exp(ratio) * GAMMA, closed, rtol=1e-12)
    corrected = law_log_ratio("haldane_corrected", INTERACTION, LEVEL, GAMMA)
    np.testing.assert_allclose(corrected - ratio, np.pi * GAMMA / (2 * INTERACTION), rtol=1e-10)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("encoding", ["dimensionless", "raw"])
@pytest.mark.parametrize("target", ["nrg", "latent"])
def test_the_equation_in_each_encoding_has_the_values_of_the_law(law, encoding, target):
    names, inputs, units = encode(encoding, target, INTERACTION, LEVEL, GAMMA)
    symbols = input_symbols(inputs, names)
    values = evaluate(parse_equation(law_equation(law, encoding, target), symbols), inputs, symbols)
    expected = law_log_ratio(law, INTERACTION, LEVEL, GAMMA) + (np.log(GAMMA) if target == "latent" else 0)
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    assert len(units) == len(names) == inputs.shape[1]


def test_all_four_coefficients_of_exact_data_come_back():
    exact = law_log_ratio("haldane_corrected", INTERACTION, LEVEL, GAMMA)
    for term, test in law_terms_test(INTERACTION, LEVEL, GAMMA, exact, **OPTIONS).items():
        assert test.coefficient == pytest.approx(EXPECTED[term], abs=1e-6)
        assert test.resolved


def test_the_correction_is_not_resolved_in_haldane_data():
    noisy = law_log_ratio("haldane", INTERACTION, LEVEL, GAMMA) + 0.003 * RNG.standard_normal(N)
    tests = law_terms_test(INTERACTION, LEVEL, GAMMA, noisy, **OPTIONS)
    assert not tests["correction"].resolved
    assert tests["exponent"].resolved
    assert tests["correction"].low < 0 < tests["correction"].high


def test_a_finite_band_does_not_pass_for_a_coefficient():
    exact = law_log_ratio("haldane_corrected", INTERACTION, LEVEL, GAMMA)
    banded = exact - 0.24 * INTERACTION - 1.5 * GAMMA + 5e-4 * RNG.standard_normal(N)
    tests = law_terms_test(INTERACTION, LEVEL, GAMMA, banded, **OPTIONS)
    assert tests["correction"].coefficient == pytest.approx(np.pi / 2, rel=0.1)
    assert tests["prefactor"].coefficient == pytest.approx(0.5, rel=0.05)
    assert tests["correction"].resolved and tests["correction"].contains_expected


def test_the_wide_interval_holds_every_variant():
    exact = law_log_ratio("haldane_corrected", INTERACTION, LEVEL, GAMMA) + 0.002 * RNG.standard_normal(N)
    for test in law_terms_test(INTERACTION, LEVEL, GAMMA, exact, **OPTIONS).values():
        assert len(test.variants) == 7
        assert all(i.inside(test.low, test.high) for i in test.variants.values())
        assert test.low <= test.low_scatter <= test.coefficient <= test.high_scatter <= test.high
