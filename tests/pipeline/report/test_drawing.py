"""Figures are the same bytes every time, carry no page colours of their own and cannot collide on one page."""

import re

import matplotlib as mpl
import numpy as np
import pytest

from pipeline.report.drawing import INK, drawing, formula_svg, inline_svg, new_figure, save_png


def small_figure():
    with drawing():
        figure = new_figure(3, 2)
        axes = figure.subplots()
        axes.plot([0, 1], [1, 0], label="$T_K$")
        axes.scatter(np.arange(50), np.arange(50) % 7, rasterized=True)
        axes.set_title("π Γ A(ω)")
        axes.legend()
    return figure


def test_a_figure_is_the_same_whatever_the_users_style_says():
    first = inline_svg(small_figure(), name="a", description="x")
    with mpl.rc_context({"svg.hashsalt": "other", "font.size": 30, "lines.linewidth": 9}):
        assert inline_svg(small_figure(), name="a", description="x") == first


def test_text_and_axes_take_the_colours_of_the_page():
    svg = inline_svg(small_figure(), name="a", description="x")
    assert "currentColor" in svg
    assert "var(--rule)" in svg
    assert INK not in svg


def test_ids_of_two_figures_never_meet():
    ids = [set(re.findall(r'id="([^"]+)"', inline_svg(small_figure(), name=name, description="x"))) for name in "ab"]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_a_description_is_escaped():
    assert 'aria-label="a &lt; &#34;b&#34;"' in inline_svg(small_figure(), name="a", description='a < "b"')


def test_a_formula_is_as_wide_as_its_text():
    widths = [
        float(re.search(r"width:([\d.]+)em", formula_svg(latex, name="f"))[1])
        for latex in ("x", r"x + \dfrac{\varepsilon_d}{U}", r"x + \dfrac{\varepsilon_d}{U} + \log{\left(x \right)}")
    ]
    assert widths == sorted(widths)
    assert widths[0] < 2 < widths[2] < 12


def test_a_formula_that_mathtext_cannot_read_is_a_value_error():
    with pytest.raises(ValueError, match=r"ParseException|Expected|Unknown"):
        formula_svg(r"\frac{1}{", name="f")


def test_a_png_has_no_date_and_is_the_same_twice(tmp_path):
    for name in ("a.png", "b.png"):
        save_png(small_figure(), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert b"Software" not in (tmp_path / "a.png").read_bytes()
