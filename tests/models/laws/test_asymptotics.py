"""Expansions at infinity, and the verdict on T_K: equivalents of the law pass, near misses do not."""

from math import log, pi

import numpy as np
import pytest
import sympy as sp

from models.laws.asymptotics import PRECISE_FUNCTIONS, NoExpansion, expand_at_infinity, growth, power
from models.laws.canonical import canonicalise
from models.laws.kondo_asymptotics import KondoAsymptotics, kondo_asymptotics
from models.laws.structure import structure_of

U = sp.Symbol("u", positive=True)
RNG = np.random.default_rng(4)
N = 60
RATIO = pi * np.exp(RNG.uniform(np.log(3.2), np.log(19.1), N))
XI = (RNG.uniform(-0.6, 0.6, N) - 1) / 2
GAMMA = np.exp(RNG.uniform(np.log(2e-6), np.log(2e-5), N))
GROUPS = ({"U": 1, "Gamma": -1}, {"eps_d": 1, "U": -1}, {"Gamma": 1, "D": -1})
EXPONENT = pi / 2 * RATIO * XI * (1 + XI)
LAW = EXPONENT + 0.5 * np.log(RATIO / 2) + np.log(GAMMA) + pi / 2 / RATIO
NOISE = 1e-4 * RNG.standard_normal(N)


def function(text: str):
    return sp.lambdify([U], sp.sympify(text, locals={"u": U}), modules=[PRECISE_FUNCTIONS])


@pytest.mark.parametrize(
    "text",
    [
        "-pi*u/8 + log(u/2)/2 + pi/(2*u)",
        "pi/(2*u) + log(sqrt(u/2)) - u*pi/8",
        "log(sqrt(u/2)*exp(-pi*u/8 + pi/(2*u)))",
        "-pi*u/8 + log(u/2 + pi/2)/2",
    ],
)
def test_one_law_written_in_different_ways_has_one_expansion(text):
    e = expand_at_infinity(function(text))
    expected = (-pi / 8, 0.5, -log(2) / 2, pi / 2)
    assert (e.linear, e.logarithm, e.constant, e.inverse) == pytest.approx(expected, abs=1e-9)


def test_constants_inside_a_logarithm_are_expanded_not_compared():
    e = expand_at_infinity(function(".532*log(.395*u + 2.11)"))
    expected = (0.0, 0.532, 0.532 * log(0.395), 0.532 * 2.11 / 0.395)
    assert (e.linear, e.logarithm, e.constant, e.inverse) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("text", ["log(log(.044*u + 1.5))", "u**1.1", "u**2/10**8", "u*log(u)", "sqrt(u)", "exp(u)"])
def test_what_has_no_such_expansion_says_so(text):
    with pytest.raises(NoExpansion):
        expand_at_infinity(function(text))


def test_a_slower_correction_leaves_the_growth_but_a_faster_one_does_not():
    assert growth(function("-pi*u/8 + log(log(.044*u + 1.5))")) == pytest.approx(-pi / 8, abs=1e-9)
    for text in ("-pi*u/8 + u**2/10**6", "u*log(u)"):
        with pytest.raises(NoExpansion):
            growth(function(text))


def test_the_power_of_a_logarithm_with_a_slow_correction_is_found_though_it_has_no_expansion():
    f = function("-pi*u/8 + .49*log(1.2*u - log(u) + 5.9) + 2")
    assert power(f) == pytest.approx((-pi / 8, 0.49, 2 + 0.49 * log(1.2)), abs=1e-9)
    with pytest.raises(NoExpansion):
        expand_at_infinity(f)


@pytest.mark.parametrize("text", ["log(log(.044*u + 1.5))", ".12*log(u)**2", "u**.1", "u*log(u)"])
def test_what_is_no_power_times_an_exponential_has_no_power(text):
    with pytest.raises(NoExpansion):
        power(function(text))


def judge(text: str, target: np.ndarray, error: float = 0.0, raw: bool = False) -> KondoAsymptotics:
    if raw:
        inputs, names = np.stack([RATIO * GAMMA, XI * RATIO * GAMMA, GAMMA], 1), ("U", "e", "G")
        exponents = [{"U": 1}, {"eps_d": 1}, {"Gamma": 1}]
    else:
        inputs, names, exponents = np.stack([RATIO, XI, GAMMA], 1), ("u", "x", "g"), list(GROUPS)
    equation = canonicalise(text, inputs, target, names)
    assert equation is not None
    options = {"n_bootstrap": 20, "confidence": 0.95, "seed": 0}
    return kondo_asymptotics(structure_of(equation), exponents, "log", inputs, target, np.full(N, error), **options)


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("1.5*u*x*(1 + x) + .4*log(u) + log(g) + 1.5/u", False),
        ("1.5*x*u + 1.5*x**2*u + log(sqrt(u*g)) + .5*log(g) + 3/(2*u)", False),
        ("1.5*e*(e + U)/(U*G) + log(sqrt(U*G)) + G/U", True),
    ],
)
def test_equivalents_of_the_law_pass_whatever_constants_they_begin_with(text, raw):
    found = judge(text, LAW + NOISE, raw=raw)
    assert found.exponent and found.prefactor and found.correction_resolved and found.correction_agrees
    assert found.inverse["+0.0"].coefficient == pytest.approx(pi / 2, abs=0.02)


RIVALS = {  # what is wrong -> formula, its values, and the verdict that must be false
    "power": ("u*x*(1 + x) + log(u) + log(g) + 1/u", LAW + 0.1 * np.log(RATIO), "prefactor"),
    "exponent": ("u*x*(1 + x) + log(u) + log(g) + 1/u", LAW + 0.05 * EXPONENT, "exponent"),
    "no 1/u": ("u*x*(1 + x) + log(u) + log(g) + 1/u", LAW - pi / 2 / RATIO, "correction_agrees"),
    "twice 1/u": ("u*x*(1 + x) + log(u) + log(g) + 1/u", LAW + pi / 2 / RATIO, "correction_agrees"),
    "symmetric case only": ("u + log(u) + log(g) + 1/u", LAW - EXPONENT - pi * RATIO / 8, "exponent"),
    "power of Gamma": ("u*x*(1 + x) + log(u) + log(g) + 1/u", LAW + 0.1 * np.log(GAMMA), "prefactor"),
    "constant": ("u*x*(1 + x) + log(u) + log(g) + 1/u", LAW + log(2) / 2, "constant_agrees"),
}


@pytest.mark.parametrize("wrong", RIVALS)
def test_a_rival_law_recovered_exactly_is_not_the_law(wrong):
    text, values, verdict = RIVALS[wrong]
    assert not getattr(judge(text, values + NOISE), verdict)


def test_a_logarithm_that_fits_well_does_not_pass_for_the_correction():
    found = judge("1.57*u*x*(1 + x) + .532*log(.395*u + 2.11) + log(g)", LAW + NOISE)
    assert found.exponent
    assert not found.correction_agrees


def test_a_formula_without_an_expansion_keeps_its_exponent_and_nothing_else():
    found = judge("1.57*u*x*(1 + x) + log(log(.044*u + 1.5)) + log(g)", LAW + NOISE)
    assert found.exponent and not found.prefactor and not found.correction_resolved
    assert found.inverse == {} and found.problem is not None


def test_a_formula_with_a_slow_correction_keeps_its_powers_and_resolves_no_correction():
    found = judge("1.57*u*x*(1 + x) + .5*log(1.2*u - log(u) + 5.9) + log(g)", LAW + NOISE)
    assert found.exponent and found.prefactor and not found.correction_resolved
    assert found.inverse == {} and found.problem is not None


def test_errors_of_labels_widen_the_interval_of_the_correction():
    text = "1.5*u*x*(1 + x) + .4*log(u) + log(g) + 1.5/u"
    exact, coarse = judge(text, LAW + NOISE), judge(text, LAW + NOISE, error=2e-3)
    width = [i.high - i.low for i in (exact.inverse["+0.0"], coarse.inverse["+0.0"])]
    assert width[1] > 3 * width[0]
