"""Matplotlib figures as inline SVG: the same bytes every time, and readable on a light and on a dark page.

Text, axes and grid are drawn in marker colours, which become `currentColor` and CSS variables in the SVG, so the page
decides how they look. Ids get the figure's name as prefix, so that several figures can share one page. Crowded points
are rasterised (an embedded PNG inside the SVG); everything else stays vector, text as outlines, so no font is needed.
"""

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import sympy as sp
from cycler import cycler
from markupsafe import Markup, escape
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

__all__ = [
    "CYCLE",
    "INK",
    "MUTED",
    "PAPER",
    "RULE",
    "SEQUENTIAL",
    "WARM",
    "drawing",
    "formula_markup",
    "formula_svg",
    "inline_svg",
    "new_figure",
    "save_png",
    "thinned",
]

# Markers: colours that nothing else uses, replaced in the SVG.
INK, MUTED, RULE, PAPER = "#1a1b1d", "#6a6b6d", "#d8d9db", "#fefdfc"
PAGE_COLOURS = {INK: "currentColor", MUTED: "var(--muted)", RULE: "var(--rule)", PAPER: "var(--surface)"}
# Mid tones that stand out on white and on near-black alike.
SEQUENTIAL = ListedColormap(colormaps["viridis"](np.linspace(0.15, 0.97, 256)))
WARM = ListedColormap(colormaps["plasma"](np.linspace(0.18, 0.85, 256)))
CYCLE = ("#2f7fd0", "#e0752d", "#2fa37c", "#cc4b68", "#8a6cc8", "#c2962a", "#7d8793")

RC: Any = {
    "svg.fonttype": "path",
    "svg.hashsalt": "latentlaw",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "mathtext.fontset": "dejavusans",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=CYCLE),
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.7,
    "legend.frameon": True,
    "legend.facecolor": PAPER,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.8,
    "legend.fontsize": 8.5,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


@contextmanager
def drawing() -> Iterator[None]:
    """The report's style, whatever a user's matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        yield


def new_figure(width_in: float = 10.0, height_in: float = 3.6) -> Figure:
    """A figure without pyplot: no backend is chosen and nothing stays open."""
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.05, wspace=0.04)
    return Figure(figsize=(width_in, height_in), layout=layout)


def inline_svg(figure: Figure, *, name: str, description: str) -> Markup:
    buffer = io.BytesIO()
    with drawing():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, dpi=160)
    svg = buffer.getvalue().decode("utf-8")
    svg = svg[svg.index("<svg") :]
    for marker, replacement in PAGE_COLOURS.items():
        svg = svg.replace(marker, replacement)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'(xlink:)?href="#', f'href="#{name}-', svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
    opening = re.match(r"<svg[^>]*>", svg)
    if opening is None:
        raise RuntimeError("matplotlib wrote an SVG without an opening tag")
    view_box = re.search(r'viewBox="[^"]*"', opening.group())
    if view_box is None:
        raise RuntimeError("matplotlib wrote an SVG without a viewBox")
    head = f'<svg class="figure" role="img" aria-label="{escape(description)}" {view_box.group()}>'
    return Markup(head + svg[opening.end() :])


def formula_svg(latex: str, *, name: str) -> Markup:
    """One formula as inline SVG; ValueError where mathtext cannot read it."""
    with drawing():
        figure = Figure(figsize=(1, 1))
        text = figure.text(0, 0, f"${latex}$", fontsize=13)
        figure.draw_without_rendering()
        box = text.get_window_extent()
        dpi, margin = figure.dpi, 2.0
        figure.set_size_inches((box.width + 2 * margin) / dpi, (box.height + 2 * margin) / dpi)
        text.set_position((margin / (box.width + 2 * margin), (margin - box.y0) / (box.height + 2 * margin)))
        svg = inline_svg(figure, name=name, description=latex)
        width_em = (box.width + 2 * margin) / dpi * 72 / 13
    return Markup(str(svg).replace('class="figure"', f'class="formula" style="width:{width_em:.2f}em"', 1))


def formula_markup(
    text: str, *, name: str, physical: Mapping[str, Any], symbol_latex: Mapping[Any, str], left: str = ""
) -> Markup:
    """The equation drawn, behind `left`; as plain text where it cannot be.

    `physical` maps names in the equation to expressions, `symbol_latex` symbols in these to LaTeX; `name` prefixes ids.
    """
    try:
        expression = sp.sympify(text, locals=dict(physical))
        rounded = expression.xreplace({f: sp.Float(f, 4) for f in expression.atoms(sp.Float)})
        latex = sp.latex(rounded, symbol_names=dict(symbol_latex)).replace(r"\frac", r"\dfrac")
        return formula_svg(left + latex, name=name)
    except (sp.SympifyError, ValueError, TypeError, AttributeError):
        return Markup("<code>{}</code>").format(text)


def save_png(figure: Figure, path: Path) -> None:
    """On white, for the README; the same bytes every time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with drawing():
        figure.savefig(path, format="png", dpi=150, facecolor="white", metadata={"Software": None})


def thinned(rows: NDArray[np.intp], max_points: int) -> NDArray[np.intp]:
    """At most `max_points` of the rows, evenly spaced."""
    if rows.size <= max_points:
        return rows
    return np.asarray(rows[np.linspace(0, rows.size - 1, max_points).astype(int)])
