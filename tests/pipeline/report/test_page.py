"""Numbers and words on the page."""

import pytest
from markupsafe import Markup

from pipeline.report.layout import physics
from pipeline.report.page import number, value_with_interval


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345, "12\u202f345"),
        (0.98765, "0.988"),
        (-0.5, "\u22120.5"),
        (1.5e-7, "1.5·10\u207b\u2077"),
        (None, "\u2013"),
        (float("nan"), "\u2013"),
    ],
)
def test_numbers_are_written_for_reading(value, text):
    assert number(value) == text


def test_an_interval_stays_on_one_line_and_may_be_missing():
    assert value_with_interval(0.5, 0.4, 0.6) == "0.5 [0.4,\u00a00.6]"
    assert value_with_interval(0.5, None, None) == "0.5"


def test_symbols_are_written_as_in_physics_and_nothing_else_is_touched():
    assert physics("log T_K, eps_d/Gamma") == "log T<sub>K</sub>, ε<sub>d</sub>/Γ"
    assert physics("log_T_K of seed_d, n_dn") == "log_T_K of seed_d, n_dn"
    assert physics("a < b") == "a &lt; b"
    assert physics(Markup("<b>T_K</b>")) == "<b>T_K</b>"
