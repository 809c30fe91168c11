"""Pictures of what lies beyond two-point statistics: images made again from their texture, AUC, window size."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.report.drawing import CYCLE, INK, MUTED, new_figure

__all__ = ["DESCRIPTOR_WORDS", "GENERATOR_WORDS", "draw_beyond", "draw_reconstructions", "draw_windows"]

FloatArray = NDArray[np.float64]
GENERATOR_WORDS = {
    "lamellae": "lamellae",
    "phase_order": "cells",
    "voronoi": "grains",
    "cahn_hilliard": "spinodal pattern",
}
DESCRIPTOR_WORDS = {
    "efficientnet": "pretrained CNN",
    "vgg19": "VGG-19",
    "two_point": "two-point function",
    "log_power_spectrum": "log power spectrum",
    "random_efficientnet": "random CNN",
    "scattering": "scattering",
}
SURROGATE_WORDS = {"phases": "same |F|", "phases_and_grey_levels": "same |F| and grey levels"}
COLUMNS = {
    "target": "Image",
    "surrogate": "Two-point statistics alone",
    "image": "CNN texture, from noise",
}


def draw_reconstructions(names: Sequence[str], stacks: Mapping[str, FloatArray]) -> Figure:
    """One row per name; columns `target`, `surrogate`, `image`, each (n, y, x) in [0, 1]."""
    figure = new_figure(9.0, 3.05 * len(names) + 0.2)
    for row, axes_row in enumerate(figure.subplots(len(names), len(COLUMNS), squeeze=False)):
        for axes, (key, title) in zip(axes_row, COLUMNS.items(), strict=True):
            axes.imshow(stacks[key][row], cmap="gray", vmin=0, vmax=1, interpolation="nearest", rasterized=True)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
            if row == 0:
                axes.set_title(title)
        axes_row[0].set_ylabel(GENERATOR_WORDS.get(names[row], names[row]))
    return figure


def draw_beyond(results: Sequence[Mapping[str, Any]]) -> Figure:
    """AUC with interval per generator, descriptor and kind of surrogate; 0.5 is where nothing is seen."""
    figure = new_figure(9.0, 0.9 + 0.3 * len(results))
    axes = figure.subplots()
    labels = []
    for position, record in enumerate(reversed(results)):
        blind = record["descriptor"] == "two_point"
        error = [[record["auc"] - record["low"]], [record["high"] - record["auc"]]]
        colour = CYCLE[6] if blind else CYCLE[0]
        axes.errorbar(record["auc"], position, xerr=np.abs(error), fmt="o", color=colour, capsize=3, markersize=6)
        words = (GENERATOR_WORDS, "generator"), (DESCRIPTOR_WORDS, "descriptor"), (SURROGATE_WORDS, "surrogate")
        labels.append(", ".join(table.get(record[key], record[key]) for table, key in words))
    axes.axvline(0.5, color=MUTED, linewidth=1.0, linestyle="--")
    axes.set(yticks=range(len(labels)), yticklabels=labels, xlim=(0.4, 1.02), ylim=(-0.6, len(labels) - 0.4))
    axes.set_xlabel("AUC of real against surrogate", color=INK)
    return figure


def draw_windows(windows: Mapping[str, Mapping[str, Any]], threshold: float | None = None) -> Figure:
    """Ratio of within- to between-image squared distances against the side of the tile."""
    figure = new_figure(5.6, 3.2)
    axes = figure.subplots()
    for name, window in windows.items():
        sizes = sorted(window["ratios"], key=int)
        axes.plot(
            [int(s) for s in sizes], [window["ratios"][s] for s in sizes], "o-", label=GENERATOR_WORDS.get(name, name)
        )
    if threshold is not None:
        axes.axhline(threshold, color=MUTED, linewidth=1.0, linestyle="--")
    axes.set(xlabel="side of the tile [px]", ylabel="within / between", ylim=(0, None))
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted({int(size) for window in windows.values() for size in window["ratios"]}))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.legend()
    return figure
