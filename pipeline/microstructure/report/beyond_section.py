"""Section on what lies beyond two-point statistics: texture synthesis, real against surrogate, size of the window."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.microstructure.records import BeyondMetrics, Rebuilt, Separation, Window
from pipeline.report.drawing import CYCLE, INK, MUTED, drawing, new_figure
from pipeline.report.page import Paragraph, Section, number, picture, value_with_interval

__all__ = ["ARRAYS", "beyond_section"]

FloatArray = NDArray[np.float64]
ARRAYS = "reports/microstructures/reconstruction.npz"
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
    "image": "Texture synthesis, CNN",
}


def beyond_section(root: Path) -> Section:
    metrics = BeyondMetrics.read(root)
    names, stacks = read_reconstructions(root)
    with drawing():
        figures = {
            "reconstructions": draw_reconstructions(names, stacks),
            "beyond": draw_beyond(metrics.results),
            "windows": draw_windows(metrics.window),
        }
    return Section(
        anchor="microstructures-beyond",
        title="Beyond two-point statistics",
        introduction="A surrogate shares the Fourier modulus of an image, hence its two-point function, and has random "
        "phases. A linear classifier that separates images from their surrogates uses something that the "
        "two-point function does not hold.",
        blocks=[
            picture(
                figures["reconstructions"],
                name="reconstructions",
                description="Micrographs, their phase surrogates, and synthesised textures",
                caption="Left: the image. Middle: all that its two-point function says, with random phases. "
                "Right: texture synthesis, from noise, with the texture of early layers of the network, the two-point "
                "function, the total variation and the grey levels of the image; positions in it were never used. "
                + _terms(metrics.reconstruction),
            ),
            picture(
                figures["beyond"],
                name="beyond",
                description="AUROC of real against surrogate per generator",
                caption="Real against surrogate, judged on images whose parameter point was not learnt from, with 95 % "
                "intervals. At 0.5 nothing is separated, and the two-point function is there by construction. The "
                "cells include those with nearly random phases, in which nothing is left to be seen.",
            ),
            Paragraph(text=_beyond_words(metrics.results)),
            picture(
                figures["windows"],
                name="windows",
                description="Within- over between-image distance",
                caption="How large must a window be? Mean squared distance between tiles of one parameter point "
                "over that between tiles of different ones. " + _window_words(metrics.window),
            ),
        ],
    )


def read_reconstructions(root: Path) -> tuple[list[str], dict[str, FloatArray]]:
    """Names, and stacks (n, y, x) `target`, `surrogate`, `image`."""
    with np.load(root / ARRAYS, allow_pickle=False) as file:
        names = [str(name) for name in file["names"]]
        return names, {key: file[key].astype(np.float64) for key in ("target", "surrogate", "image")}


def _terms(records: Sequence[Rebuilt]) -> str:
    terms = [
        f"{GENERATOR_WORDS[r.generator]} {number(r.terms['texture'], 2)} "
        f"(uniform noise {number(r.terms_of_noise['texture'], 2)})"
        for r in records
    ]
    return "Relative squared distance of the textures: " + ", ".join(terms) + "."


def _beyond_words(results: Sequence[Separation]) -> str:
    said = []
    for record in results:
        if record.by_phase_order and record.surrogate == "phases" and record.descriptor != "two_point":
            parts = [f"{number(t.auc, 2)} for {number(t.low, 2)} to {number(t.high, 2)}" for t in record.by_phase_order]
            auc = value_with_interval(record.auc, record.low, record.high, 2)
            said.append(f"AUROC of the cells is {auc}; by their phase order: {', '.join(parts)}.")
    for record in results:
        if record.null and record.descriptor != "two_point":
            value = value_with_interval(record.null.auc, record.null.low, record.null.high, 2)
            said.append(
                f"Images of {GENERATOR_WORDS[record.generator]} do not wrap around; Gaussian fields cut out alike "
                f"reach {value} ({DESCRIPTOR_WORDS.get(record.descriptor, record.descriptor)})."
            )
    return " ".join(said) or "No generator with a phase order was judged."


def _window_words(windows: Mapping[str, Window]) -> str:
    sizes = {GENERATOR_WORDS[name]: window.recommended_px for name, window in windows.items()}
    said = [f"{name}: " + (f"{size} px suffice" if size else "none of these suffices") for name, size in sizes.items()]
    return "; ".join(said).capitalize() + "."


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


def draw_beyond(results: Sequence[Separation]) -> Figure:
    """AUROC with interval per generator, descriptor and kind of surrogate; 0.5 is where nothing is seen."""
    figure = new_figure(9.0, 0.9 + 0.3 * len(results))
    axes = figure.subplots()
    labels = []
    for position, record in enumerate(reversed(results)):
        blind = record.descriptor == "two_point"
        error = [[record.auc - record.low], [record.high - record.auc]]
        colour = CYCLE[6] if blind else CYCLE[0]
        axes.errorbar(record.auc, position, xerr=np.abs(error), fmt="o", color=colour, capsize=3, markersize=6)
        words = (GENERATOR_WORDS, "generator"), (DESCRIPTOR_WORDS, "descriptor"), (SURROGATE_WORDS, "surrogate")
        labels.append(", ".join(table.get(value := getattr(record, key), value) for table, key in words))
    axes.axvline(0.5, color=MUTED, linewidth=1.0, linestyle="--")
    axes.set(yticks=range(len(labels)), yticklabels=labels, xlim=(0.4, 1.02), ylim=(-0.6, len(labels) - 0.4))
    axes.set_xlabel("AUROC of real against surrogate", color=INK)
    return figure


def draw_windows(windows: Mapping[str, Window]) -> Figure:
    """Ratio of within- to between-image squared distances against the side of the tile."""
    figure = new_figure(5.6, 3.2)
    axes = figure.subplots()
    for name, window in windows.items():
        ratios = sorted((int(size), ratio) for size, ratio in window.ratios.items())
        axes.plot(*zip(*ratios, strict=True), "o-", label=GENERATOR_WORDS.get(name, name))
    axes.set(xlabel="side of the tile [px]", ylabel="within / between", ylim=(0, None))
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted({int(size) for window in windows.values() for size in window.ratios}))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.legend()
    return figure
