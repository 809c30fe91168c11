"""Pictures of formulas: Pareto fronts, and laws against the measured Kondo temperature."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from pipeline.report.drawing import CYCLE, MUTED, new_figure

__all__ = ["draw_law_on", "draw_laws", "draw_pareto_fronts"]

FloatArray = NDArray[np.float64]
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LOG10_E = float(np.log10(np.e))


def draw_pareto_fronts(
    panels: Mapping[str, Mapping[str, tuple[FloatArray, FloatArray]]],
    chosen: Mapping[str, Sequence[tuple[float, float]]],
) -> Figure:
    """panels: title -> engine -> (complexity, loss); chosen: title -> points that were selected."""
    figure = new_figure(10.0, 3.6)
    axes_row = figure.subplots(1, len(panels), squeeze=False)[0]
    engines = sorted({engine for fronts in panels.values() for engine in fronts})
    for axes, (title, fronts) in zip(axes_row, panels.items(), strict=True):
        for engine, (complexity, loss) in fronts.items():
            i = engines.index(engine)
            axes.plot(
                complexity,
                loss,
                marker=MARKERS[i % 7],
                markersize=5,
                color=CYCLE[i % 7],
                label=engine,
                drawstyle="steps-post",
            )
        for complexity_chosen, loss_chosen in chosen.get(title, ()):
            axes.plot(complexity_chosen, loss_chosen, "o", markersize=13, fillstyle="none", color=MUTED)
        axes.set(yscale="log", xlabel="complexity (nodes)", title=title)
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes_row[0].set_ylabel("mean squared error")
    handles = {
        label: handle for axes in axes_row for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=max(1, len(handles)))
    return figure


def draw_law_on(axes: Axes, measured: FloatArray, predictions: Mapping[str, FloatArray]) -> None:
    """log10 of law against log10 of measurement, both arrays natural logarithms of T_K / D."""
    for i, (name, predicted) in enumerate(predictions.items()):
        axes.scatter(
            measured * LOG10_E,
            predicted * LOG10_E,
            s=9,
            color=CYCLE[i],
            alpha=0.75,
            linewidths=0,
            label=name,
            rasterized=True,
        )
    ends = np.array([measured.min(), measured.max()]) * LOG10_E
    axes.plot(ends, ends, color=MUTED, linewidth=0.9, linestyle=":")
    axes.set(xlabel="log$_{10}$ T$_K$ / D measured", ylabel="log$_{10}$ T$_K$ / D by the law")
    axes.legend(loc="upper left", markerscale=1.6)


def draw_laws(measured: FloatArray, ratio: FloatArray, predictions: Mapping[str, FloatArray]) -> Figure:
    """The first two laws against measurement, and what every one misses: T_K(law) / T_K(measured) against U / Gamma."""
    figure = new_figure(10.0, 4.0)
    agreement, missed = figure.subplots(1, 2)
    draw_law_on(agreement, measured, dict(list(predictions.items())[:2]))
    agreement.set_title("law against measurement")
    for i, (name, predicted) in enumerate(predictions.items()):
        miss = np.exp(predicted - measured)
        missed.scatter(ratio, miss, s=9, color=CYCLE[i], alpha=0.75, linewidths=0, label=name, rasterized=True)
    missed.axhline(1.0, color=MUTED, linewidth=0.9, linestyle=":")
    missed.set(xlabel="U / Γ", ylabel="T$_K$ (law) / T$_K$ (measured)", title="what the law misses")
    missed.legend(loc="lower right", markerscale=1.6)
    low, high = np.quantile(np.concatenate([np.exp(p - measured) for p in predictions.values()]), [0.01, 0.99])
    missed.set_ylim(max(0.0, low - 0.1), min(high + 0.1, 3.0))
    return figure
