"""Axes that pages share: logarithmic ones with plain numbers, parity plots, which latent follows which quantity."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogFormatterMathtext,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)
from numpy.typing import NDArray

from pipeline.report.drawing import MUTED, SEQUENTIAL, drawing, new_figure

__all__ = ["at_numbers", "draw_association", "draw_parity_on", "logarithmic", "plain_number", "settle"]

FloatArray = NDArray[np.float64]


def logarithmic(axes: Axes, which: str) -> None:
    """Ticks at decades, also at 2 and 5 below two decades, even ones below one; plain numbers where they are short.

    To be called when the data are drawn.
    """
    for name in which:
        axis = axes.xaxis if name == "x" else axes.yaxis
        (axes.set_xscale if name == "x" else axes.set_yscale)("log")
        low, high = axes.get_xlim() if name == "x" else axes.get_ylim()
        decades = np.log10(high / low)
        if decades < 1:
            axis.set_major_locator(MaxNLocator(4))
            axis.set_minor_locator(NullLocator())
        else:
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2 else (1.0,), numticks=12))
        if low > 5e-4 and high < 2e4:
            axis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value)))
        else:
            axis.set_major_formatter(LogFormatterMathtext())
        axis.set_minor_formatter(NullFormatter())


def at_numbers(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic x axis with ticks at these numbers alone, less those too near to the one before."""
    axes.set_xscale("log")
    shown: list[float] = []
    room = (max(values) / min(values)) ** 0.06
    for value in sorted(float(value) for value in values):
        if not shown or value > shown[-1] * room:
            shown.append(value)
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))


def settle(figure: Figure) -> Figure:
    """Fix the layout to five digits, so that the same numbers give the same bytes. Not for subfigures."""
    if figure.get_layout_engine() is None:
        return figure
    with drawing():
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(float(edge), 5) for edge in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))
    return figure


def plain_number(value: float) -> str:
    return f"{value:.4g}".replace("-", "\u2212")


def draw_parity_on(
    axes: Axes, pairs: Sequence[tuple[str, str, FloatArray, FloatArray]], *, unit: str, size: float
) -> None:
    """Prediction against label, for each (name, colour, labels, predictions)."""
    values = np.concatenate([both for _, _, x, y in pairs for both in (x, y)])
    low, high = float(values.min()), float(values.max())
    room = 0.05 * max(high - low, 1e-12)
    limits = (low - room, high + room)
    axes.plot(limits, limits, color=MUTED, linewidth=0.9, zorder=1)
    for name, colour, x, y in pairs:
        axes.scatter(x, y, s=size, color=colour, alpha=0.6, linewidths=0, label=name, rasterized=True, zorder=2)
    axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel=f"label [{unit}]", ylabel=f"predicted [{unit}]")
    axes.locator_params(nbins=5)


def draw_association(names: Sequence[str], quantities: Sequence[str], strength: FloatArray) -> Figure:
    """|Spearman| of every latent (rows) with every quantity (columns)."""
    figure = new_figure(10.0, 0.9 + 0.42 * len(names))
    axes = figure.subplots()
    image = axes.imshow(strength, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(quantities)), quantities)
    axes.set_yticks(range(len(names)), names)
    axes.grid(visible=False)
    for (row, column), value in np.ndenumerate(strength):
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if value < 0.6 else "black")
    figure.colorbar(image, ax=axes, label="|Spearman|", pad=0.01)
    return figure
