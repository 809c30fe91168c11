"""Terms that stand in different formulas are brought together; what none of them holds is not made up."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from models.laws.canonical import canonicalise
from models.laws.recombination import recombined

RNG = np.random.default_rng(5)
U = np.exp(RNG.uniform(np.log(10), np.log(50), 90))
X = RNG.uniform(-0.8, -0.2, 90)
INPUTS, NAMES = np.stack([U, X], 1), ("u", "x")
LAW = 1.5 * U * X + 0.5 * np.log(U) + 1.6 / U + 3e-5 * RNG.standard_normal(90)


def equations(*texts: str):
    return [canonicalise(text, INPUTS, LAW, NAMES) for text in texts]


def test_terms_of_different_formulas_make_the_law():
    found = equations("u*x + log(.2*u + .9)", "u*x + log(u) + u + u*log(u)", "u*x + 1/u + u**2 + u**3")
    laws = [e for e in recombined(found, INPUTS, LAW) if e.terms.keys() == {"u*x", "log(u)", "1/u"}]
    assert len(laws) == 1
    assert laws[0].terms["1/u"] == pytest.approx(1.6, abs=0.02)
    assert laws[0].loss < 2e-9 < min(e.loss for e in found[:1])


def test_the_front_holds_no_term_that_was_not_found_and_falls():
    found = equations("u*x + log(.2*u + .9)", "u*x + 1/u + u**2")
    front = recombined(found, INPUTS, LAW)
    assert {t for e in front for t in e.terms} <= {t for e in found for t in e.terms}
    assert [e.complexity for e in front] == sorted({e.complexity for e in front})
    assert all(a.loss > b.loss for a, b in pairwise(front))


def test_a_term_that_is_not_finite_on_the_rows_is_left_out():
    found = equations("u*x + log(u)")
    broken = replace(found[0], terms={**found[0].terms, "log(u - 30)": 1.0})
    assert all("log(u - 30)" not in e.terms for e in recombined([broken], INPUTS, LAW))


def test_formulas_without_a_usable_term_give_nothing():
    constant = replace(equations("u*x")[0], terms={})
    assert recombined([constant], INPUTS, LAW) == []
