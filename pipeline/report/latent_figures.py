"""Pictures of a latent space: maps coloured by physics, decoded traversals, and which latent follows which quantity."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.impurity.report.impurity_figures import symlog_frequency_axis
from pipeline.report.drawing import CYCLE, INK, SEQUENTIAL, WARM, new_figure

__all__ = ["draw_association", "draw_latent_map", "draw_latent_maps", "draw_traversals"]

FloatArray = NDArray[np.float64]


def draw_latent_map(
    axes: Axes, x: FloatArray, y: FloatArray, colour: FloatArray, *, label: str, diverging: bool = False
) -> None:
    """Points without a colour value (NaN) are small and grey; the colour range holds the central 98 %."""
    known = np.isfinite(colour)
    low, high = np.quantile(colour[known], [0.01, 0.99]) if known.any() else (0.0, 1.0)
    if diverging:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    axes.scatter(x[~known], y[~known], s=2, color=CYCLE[6], alpha=0.35, linewidths=0, rasterized=True)
    points = axes.scatter(
        x[known],
        y[known],
        c=colour[known],
        s=float(np.clip(9000 / max(1, known.sum()), 5, 30)),
        cmap="coolwarm" if diverging else SEQUENTIAL,
        vmin=low,
        vmax=high,
        linewidths=0,
        rasterized=True,
    )
    axes.get_figure().colorbar(points, ax=axes, label=label, pad=0.02)  # type: ignore[union-attr]
    if not known.any():
        axes.text(0.5, 0.5, "no value known", transform=axes.transAxes, ha="center", color=INK)


def draw_latent_maps(
    x: FloatArray, y: FloatArray, x_name: str, y_name: str, colours: Mapping[str, tuple[FloatArray, bool]]
) -> Figure:
    """One panel per colour: label -> (values, diverging)."""
    figure = new_figure(10.0, 3.9 if len(colours) == 2 else 3.2)
    for axes, (label, (values, diverging)) in zip(
        figure.subplots(1, len(colours), squeeze=False)[0], colours.items(), strict=True
    ):
        draw_latent_map(axes, x, y, values, label=label, diverging=diverging)
        axes.set(xlabel=x_name, ylabel=y_name)
    return figure


def draw_traversals(omega: FloatArray, spectra: FloatArray, positions: FloatArray, names: Sequence[str]) -> Figure:
    """spectra (n_latents, n_steps, n_omega) decoded at positions (n_latents, n_steps) of one latent, others 0."""
    n_columns = len(names) if len(names) <= 4 else 3
    n_rows = -(-len(names) // n_columns)
    figure = new_figure(10.0, 0.4 + 2.7 * n_rows)
    grid = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    for axes, name, family, steps in zip(grid.flat, names, spectra, positions, strict=False):
        shades = WARM(np.linspace(0, 1, len(steps)))
        for shade, step, spectrum in zip(shades, steps, family, strict=True):
            axes.plot(omega, spectrum, color=shade, linewidth=1.4, label=f"{step:+.1f}".replace("-", "\u2212"))
        symlog_frequency_axis(axes, omega, n_labels=1 if n_columns > 2 else 2)
        axes.set_title(name)
        axes.set_xlabel("ω / D")
    grid.flat[0].set_ylim(0, 1.05 * float(np.nanmax(spectra)))
    for row in grid:
        row[0].set_ylabel("π Γ A(ω)")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", title="latent at", fontsize=8)
    return figure


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
