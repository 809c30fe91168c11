"""Both tests of equivalence: what passes, and what must not."""

import numpy as np
import pytest

from models.laws.canonical import Equation, canonicalise
from models.laws.equivalence import affine_match, first_match, srbench_equivalent
from models.laws.kondo_law import LAWS, encode, law_equation, law_log_ratio

N = 120


def impurities(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    gamma, u = np.exp(rng.uniform(np.log(5e-4), np.log(5e-3), N)), np.exp(rng.uniform(1.6, 3.4, N))
    return u * gamma, (rng.uniform(-0.6, 0.6, N) - 1) / 2 * u * gamma, gamma


def found(text: str, target: np.ndarray, encoding: str = "dimensionless") -> tuple[Equation, np.ndarray]:
    names, inputs, _ = encode(encoding, "nrg", *impurities())
    equation = canonicalise(text, inputs, target, names)
    assert equation is not None
    return equation, inputs


def equivalent_law(
    equation: Equation, inputs: np.ndarray, target: np.ndarray, encoding: str, tolerance: float = 0.2
) -> str | None:
    options = {"tolerance": tolerance, "n_bootstrap": 200, "confidence": 0.95, "seed": 0}
    return first_match(
        {law: affine_match(equation, law_equation(law, encoding, "nrg"), inputs, target, **options) for law in LAWS}
    )


@pytest.mark.parametrize("encoding", ["dimensionless", "raw"])
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("factor", "offset"), [(1.0, 0.0), (1.0, 3.0), (-0.4, 2.0)])
def test_a_law_matches_itself_up_to_an_affine_map_and_no_other(encoding, law, factor, offset):
    target = factor * law_log_ratio(law, *impurities()) + offset
    equation, inputs = found(law_equation(law, encoding, "nrg"), target, encoding)
    assert equivalent_law(equation, inputs, target, encoding) == law


@pytest.mark.parametrize(("factor", "offset", "equivalent"), [(1.0, 0.0, True), (1.0, 3.0, True), (2.0, 3.0, False)])
def test_srbench_frees_one_constant_but_not_both(factor, offset, equivalent):
    target = factor * law_log_ratio("haldane", *impurities()) + offset
    law = law_equation("haldane", "dimensionless", "nrg")
    equation, inputs = found(law, target)
    assert srbench_equivalent(equation, law, inputs, 1.0) is equivalent


def test_srbench_accepts_a_constant_factor():
    law = "u*x"
    equation, inputs = found(law, 3.0 * np.prod(encode("dimensionless", "nrg", *impurities())[1], axis=1))
    assert srbench_equivalent(equation, law, inputs, 1.0)


def test_srbench_asks_for_accuracy_first():
    target = law_log_ratio("haldane", *impurities())
    law = law_equation("haldane", "dimensionless", "nrg")
    equation, inputs = found(law, target)
    assert not srbench_equivalent(equation, law, inputs, 0.5)
    assert not srbench_equivalent(equation, law, inputs, float("nan"))


def test_constants_fitted_to_noise_are_no_symbolic_solution_but_match_within_tolerance():
    target = law_log_ratio("haldane_corrected", *impurities()) + 0.005 * np.random.default_rng(1).standard_normal(N)
    law = law_equation("haldane_corrected", "dimensionless", "nrg")
    equation, inputs = found(law, target)
    assert not srbench_equivalent(equation, law, inputs, 1.0)
    assert equivalent_law(equation, inputs, target, "dimensionless") == "haldane_corrected"


def test_the_right_terms_with_a_wrong_ratio_do_not_match():
    interaction, level, gamma = impurities()
    target = law_log_ratio("haldane", interaction, level, gamma) - 0.15 * np.log(interaction / gamma)
    equation, inputs = found(law_equation("haldane", "dimensionless", "nrg"), target)
    assert equivalent_law(equation, inputs, target, "dimensionless") is None
    assert equivalent_law(equation, inputs, target, "dimensionless", tolerance=0.4) == "haldane"


def test_an_interval_wider_than_the_tolerance_is_no_match_even_when_its_centre_is_right():
    target = law_log_ratio("haldane_corrected", *impurities()) + 0.2 * np.random.default_rng(5).standard_normal(N)
    names, inputs, _ = encode("dimensionless", "nrg", *impurities())
    terms = {"1/u": np.pi / 2, "log(u)": 0.5, "u*x": np.pi / 2, "u*x**2": np.pi / 2}
    equation = canonicalise("u", inputs, target, names)
    right = Equation(names, -0.35, terms, 24, 0.04, equation.symbols)
    assert equivalent_law(right, inputs, target, "dimensionless") is None


def test_a_haldane_fit_of_corrected_data_is_not_called_haldane():
    target = law_log_ratio("haldane_corrected", *impurities())
    equation, inputs = found(law_equation("haldane", "dimensionless", "nrg"), target)
    assert equivalent_law(equation, inputs, target, "dimensionless") is None
