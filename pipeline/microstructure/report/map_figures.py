"""Pictures of the maps of micrographs: what t does, maps coloured by a parameter, R2 with intervals, dimensions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from numpy.typing import NDArray

from pipeline.report.drawing import CYCLE, INK, MUTED, PAPER, SEQUENTIAL, new_figure

__all__ = [
    "DESCRIPTORS",
    "METHODS",
    "draw_dimensions",
    "draw_image",
    "draw_map_on",
    "draw_parameter_maps",
    "draw_r2_on",
    "draw_thumbnails",
]

FloatArray = NDArray[np.float64]
# descriptor -> words, colour, position in lists
DESCRIPTORS = {
    "efficientnet": ("pretrained CNN", CYCLE[0]),
    "vgg19": ("pretrained VGG-19", CYCLE[0]),
    "random_efficientnet": ("random CNN", CYCLE[4]),
    "random_vgg19": ("random VGG-19", CYCLE[4]),
    "scattering": ("scattering", CYCLE[2]),
    "two_point": ("two-point, raw", CYCLE[1]),
    "two_point_centred": ("two-point, centred", CYCLE[1]),
    "two_point_radial": ("two-point, radial", CYCLE[1]),
    "power_spectrum": ("power spectrum", CYCLE[1]),
    "log_power_spectrum": ("log power spectrum", CYCLE[1]),
}
LINES = ("-", "--", ":", "-.")
METHODS = {"isomap": "Isomap", "mds": "MDS", "umap": "UMAP"}


def draw_image(axes: Axes, image: FloatArray, title: str = "") -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    if title:
        axes.set_title(title, fontsize=9, fontweight="normal", pad=3)


def draw_map_on(axes: Axes, place: FloatArray, colour: FloatArray, *, label: str, cyclic: bool = False) -> None:
    """First two coordinates (N, >= 2), coloured; axes without numbers, for a map has no unit."""
    points = axes.scatter(
        place[:, 0],
        place[:, 1] if place.shape[1] > 1 else np.zeros(len(place)),
        c=colour,
        s=float(np.clip(5000 / max(1, len(place)), 4, 22)),
        cmap="twilight" if cyclic else SEQUENTIAL,
        linewidths=0,
        rasterized=True,
    )
    axes.set(xticks=[], yticks=[], xlabel="coordinate 1", ylabel="coordinate 2")
    axes.get_figure().colorbar(points, ax=axes, label=label, pad=0.02)  # type: ignore[union-attr]


def draw_r2_on(axes: Axes, records: Sequence[Mapping[str, Any]], parameter: str, *, goal: float | None = None) -> None:
    """One bar with its interval for each map; negative values are shown down to -0.3."""
    order = sorted(
        records, key=lambda r: list(DESCRIPTORS).index(r["descriptor"]) if r["descriptor"] in DESCRIPTORS else 99
    )
    for position, record in enumerate(reversed(order)):
        value, low, high = record["linear_r2"][parameter]
        colour = DESCRIPTORS.get(record["descriptor"], ("", CYCLE[6]))[1]
        axes.barh(position, max(value, -0.3), color=colour, height=0.62, alpha=0.85)
        axes.errorbar(
            max(value, -0.3), position, xerr=[[value - low], [high - value]], color=INK, capsize=2.5, linewidth=1.1
        )
        axes.text(
            max(high, 0.0) + 0.03, position, f"{value:.2f}".replace("-", "\u2212"), va="center", fontsize=8.5, color=INK
        )
    names = [DESCRIPTORS.get(r["descriptor"], (r["descriptor"], ""))[0] for r in reversed(order)]
    axes.set(yticks=range(len(names)), yticklabels=names, xlim=(-0.3, 1.15), ylim=(-0.6, len(names) - 0.4))
    axes.set_xticks([0, 0.5, 1])
    axes.axvline(0, color=MUTED, linewidth=0.8)
    if goal is not None:
        axes.axvline(goal, color=MUTED, linewidth=1.0, linestyle="--")
    axes.grid(visible=False, axis="y")


def draw_thumbnails(place: FloatArray, images: FloatArray, angle: FloatArray, *, n_across: int = 11) -> Figure:
    """Images (n, y, x) at their place in the plane of coordinates 1 and 2, framed in the colour of their angle."""
    figure = new_figure(10.0, 6.4)
    axes = figure.subplots()
    axes.scatter(place[:, 0], place[:, 1], s=6, color=MUTED, alpha=0.5, linewidths=0)
    for row in _apart(place, n_across):
        box = AnnotationBbox(
            OffsetImage(images[row], cmap="gray", zoom=44 / images.shape[1], norm=_grey()),
            (float(place[row, 0]), float(place[row, 1])),
            pad=0.12,
            frameon=True,
            bboxprops={"edgecolor": _turn_colour(angle[row]), "facecolor": PAPER, "linewidth": 2.2},
        )
        axes.add_artist(box)
    axes.set(xticks=[], yticks=[], xlabel="coordinate 1", ylabel="coordinate 2")
    axes.margins(0.07)
    return figure


def draw_parameter_maps(maps: Mapping[str, FloatArray], colours: Mapping[str, tuple[FloatArray, bool]]) -> Figure:
    """One row per map (title -> coordinates), one column per parameter (label -> values, cyclic)."""
    figure = new_figure(10.0, 2.9 * len(maps))
    grid = figure.subplots(len(maps), len(colours), squeeze=False)
    for line, (title, place) in zip(grid, maps.items(), strict=True):
        for axes, (label, (values, cyclic)) in zip(line, colours.items(), strict=True):
            draw_map_on(axes, place, values, label=label, cyclic=cyclic)
        line[0].set_title(title)
    return figure


def draw_dimensions(details: Sequence[Mapping[str, Any]], generators: Mapping[str, tuple[str, str, str]]) -> Figure:
    """Residual variance and R2 against the number of coordinates, the chosen number as a dot.

    `generators`: name -> (words, parameter, its words).
    """
    methods = list(dict.fromkeys(d["method"] for d in details))
    figure = new_figure(10.0, 3.0 * len(generators))
    grid = figure.subplots(len(generators), 2, squeeze=False)
    for line, (generator, (words, parameter, parameter_words)) in zip(grid, generators.items(), strict=True):
        for own in (d for d in details if d["generator"] == generator):
            name, colour = DESCRIPTORS.get(own["descriptor"], (own["descriptor"], CYCLE[6]))
            shown = _shade(own["descriptor"], colour)
            style = LINES[methods.index(own["method"]) % len(LINES)]
            curves = (own["residual_variance"], [max(r[parameter], -0.3) for r in own["linear_r2_by_dimension"]])
            for axes, curve in zip(line, curves, strict=True):
                n = np.arange(1, len(curve) + 1)
                label = f"{name}, {METHODS.get(own['method'], own['method'])}"
                axes.plot(n, curve, style, color=shown, linewidth=1.3, label=label)
                axes.plot(own["dimension"], curve[own["dimension"] - 1], "o", color=shown, markersize=5.5)
        line[0].set(title=words, ylabel="residual variance", ylim=(0, 1.02))
        line[1].set(ylabel=f"linear R² of {parameter_words}", ylim=(-0.32, 1.02))
    for axes in grid[-1]:
        axes.set_xlabel("coordinates")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, max(1, len(labels) // 3)), fontsize=8)
    return figure


def _shade(descriptor: str, colour: str) -> str:
    """Pair statistics have one colour in bars; as curves each needs its own."""
    own = {"two_point_centred": CYCLE[5], "log_power_spectrum": CYCLE[3], "power_spectrum": CYCLE[6]}
    return own.get(descriptor, colour)


def _apart(place: FloatArray, n_across: int) -> list[int]:
    """Rows that lie far enough from each other for a picture each: one per cell of a grid, nearest to its centre."""
    span = np.maximum(np.ptp(place[:, :2], axis=0), 1e-12)
    cell = (place[:, :2] - place[:, :2].min(0)) / span * np.array([n_across - 1, (n_across - 1) * 0.62])
    offset = np.abs(cell - np.rint(cell)).max(1)
    taken: list[int] = []
    for row in np.argsort(offset, kind="stable"):
        gaps = np.abs(cell[taken] - cell[row]).max(1) if taken else np.array([np.inf])
        if gaps.min() >= 0.93:
            taken.append(int(row))
    return taken


def _turn_colour(angle: float) -> Any:  # noqa: ANN401 - a matplotlib colour
    from matplotlib import colormaps

    return colormaps["twilight"](float(angle % np.pi) / np.pi)


def _grey() -> Any:  # noqa: ANN401 - a matplotlib norm
    from matplotlib.colors import Normalize

    return Normalize(0, 1)
