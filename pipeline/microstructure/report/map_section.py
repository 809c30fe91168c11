"""Sections on the maps of micrographs: what they recover, how they look, how many dimensions, which formulas."""

from collections.abc import Mapping, Sequence

import numpy as np
import sympy as sp
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from numpy.typing import NDArray

from pipeline.microstructure.embedding_goals import NETWORK, PAIR_STATISTICS
from pipeline.microstructure.records import Goal, MapDetails, MapLaw
from pipeline.microstructure.report.inputs import MicrostructureInputs, best_of
from pipeline.report.axes import draw_association
from pipeline.report.drawing import CYCLE, INK, MUTED, PAPER, SEQUENTIAL, formula_markup, new_figure, thinned
from pipeline.report.page import Block, Notice, Section, Table, number, picture, value_with_interval

__all__ = [
    "METHODS",
    "descriptor_words",
    "dimension_section",
    "draw_image",
    "draw_map_on",
    "draw_r2_on",
    "law_section",
    "map_section",
    "recovery_section",
]

FloatArray = NDArray[np.float64]
# generator -> words, judged parameter, its words
GENERATORS = {
    "lamellae": ("lamellae", "mean", "all parameters"),
    "phase_order": ("cells of equal two-point statistics", "phase_order", "the phase order t"),
    "matched_order": ("cells of equal grey levels and two-point statistics", "phase_order", "the phase order t"),
    "matched_lamellae": ("lamellae of equal grey levels and two-point statistics", "phase_order", "the phase order t"),
}
PARAMETERS = {
    "angle": "angle",
    "noise_strength": "log noise",
    "scale_px": "log scale",
    "phase_order": "phase order",
    "mean": "mean",
}
QUANTITIES = {
    "cos_2a": "cos 2a",
    "sin_2a": "sin 2a",
    "log_noise_strength": "log noise",
    "log_scale_px": "log scale",
    "phase_order": "phase order t",
}
ANGLE, NOISE, SCALE, ORDER = sp.symbols("a eta sigma t")
PHYSICAL = {
    "cos_2a": sp.cos(2 * ANGLE),
    "sin_2a": sp.sin(2 * ANGLE),
    "noise_strength": NOISE,
    "scale_px": SCALE,
    "order": ORDER + 1,
}
# descriptor -> words, colour, position in lists
DESCRIPTORS = {
    "efficientnet": ("pretrained CNN", CYCLE[0]),
    "vgg19": ("pretrained VGG-19", CYCLE[0]),
    "random_efficientnet": ("random CNN", CYCLE[4]),
    "random_vgg19": ("random VGG-19", CYCLE[4]),
    "scattering": ("scattering", CYCLE[2]),
    "grey_histogram": ("histogram", CYCLE[3]),
    "grey_moments": ("moments", CYCLE[3]),
    "local_states": ("local states", CYCLE[3]),
    "lineal_path": ("lineal path", CYCLE[3]),
    "chord_lengths": ("chord lengths", CYCLE[3]),
    "minkowski": ("Minkowski functionals", CYCLE[3]),
    "two_point": ("two-point, raw", CYCLE[1]),
    "two_point_centred": ("two-point, centred", CYCLE[1]),
    "two_point_radial": ("two-point, radial", CYCLE[1]),
    "power_spectrum": ("power spectrum", CYCLE[1]),
    "log_power_spectrum": ("log power spectrum", CYCLE[1]),
}
LEAST_SHOWN = -0.3  # of R2
LINES = ("-", "--", ":", "-.")
METHODS = {"isomap": "Isomap", "mds": "MDS", "umap": "UMAP"}


def descriptor_words(name: str) -> str:
    return DESCRIPTORS[name][0] if name in DESCRIPTORS else name.replace("_", " ")


def recovery_section(inputs: MicrostructureInputs) -> Section:
    present = [g for g in GENERATORS if any(r.generator == g for r in inputs.results)]
    figure = new_figure(10.0, 3.4)
    for axes, generator in zip(figure.subplots(1, len(present), squeeze=False)[0], present, strict=True):
        words, parameter, parameter_words = GENERATORS[generator]
        draw_r2_on(axes, best_of(inputs.details, generator, parameter), parameter)
        axes.set(title=words, xlabel=f"linear R² of {parameter_words}")
    blocks: list[Block] = [
        goal_table(inputs.goals),
        picture(
            figure,
            name="recovery",
            description="R2 of the parameters by descriptor",
            caption="R² of the generating parameters by linear regression on the coordinates of a map, out of fold; of "
            "every descriptor the better of its maps, with 95 % intervals over parameter points and folds. Orange: "
            "second-order statistics (two-point correlation, power spectrum). " + strongest_pair(inputs),
        ),
    ]
    blocks += [record_table(inputs, generator) for generator in present]
    blocks += [
        Notice(
            text=f"{descriptor_words(c.descriptor)}: the same for all {GENERATORS[c.generator][0]}; there is no map."
        )
        for c in inputs.constant
    ]
    return Section(
        anchor="microstructures-recovery",
        title="Recovery",
        introduction="A descriptor turns an image into a vector, a map (Isomap or classical MDS) puts all images into "
        "a few coordinates, and a regression asks what the coordinates know of the parameters. No descriptor or map "
        "has seen a parameter. Folds go by parameter point: no other image of a test image's point is trained on.",
        blocks=blocks,
    )


def goal_table(goals: Sequence[Goal]) -> Table:
    return Table(
        columns=["goal", "measured", "wanted", "reached"],
        rows=[
            [g.goal, number(g.found), g.wanted.replace(">=", "≥").replace("<=", "≤"), "✓" if g.reached else "✗ no"]
            for g in goals
        ],
        caption="The thresholds were fixed before any map was drawn; the rule that chooses the number of coordinates "
        "and the raw form of the two-point baseline were settled with such maps in view. The raw two-point correlation "
        "is <f(x) f(x + r)> as it is; centred, with the mean subtracted, it is a stronger baseline, shown beside it.",
    )


def strongest_pair(inputs: MicrostructureInputs) -> str:
    """How far the claim goes on lamellae, in one sentence from the numbers."""
    scores = best_of(inputs.details, "lamellae", "mean")
    pairs = [d for d in scores if d.descriptor in PAIR_STATISTICS]
    network = next((d for d in scores if d.descriptor == NETWORK), None)
    if network is None or not pairs:
        return ""
    rival = max(pairs, key=lambda d: d.linear_r2["mean"][0])
    apart = network.linear_r2["mean"][1] > rival.linear_r2["mean"][2]
    return (
        f"On lamellae the best second-order statistic is the {descriptor_words(rival.descriptor)} "
        f"({METHODS.get(rival.method, rival.method)}), R² {value_with_interval(*rival.linear_r2['mean'])} against "
        f"{value_with_interval(*network.linear_r2['mean'])} of the network: the intervals "
        f"{'do not overlap' if apart else 'overlap'}, and much of what lamellae differ in is of second order. The "
        "cells are the case where nothing is, but their phases also shape the distribution of grey levels, whose "
        "skewness and kurtosis alone see them (benchmarks/grey_levels.md)."
    )


def record_table(inputs: MicrostructureInputs, generator: str) -> Table:
    scores = [r for r in inputs.results if r.generator == generator]
    parameters = [name for name in scores[0].linear_r2 if name != "mean"]
    rows = []
    for record in scores:
        details = inputs.details_of(record)
        rows.append(
            [
                descriptor_words(record.descriptor),
                f"{METHODS.get(record.method, record.method)}, {record.dimension}",
                *(number(record.linear_r2[name], 2) for name in parameters),
                value_with_interval(record.linear_r2["mean"], record.low, record.high, 2),
                number(record.knn_r2["mean"], 2),
                number(record.trustworthiness, 3),
                number(details.spearman_distances[0], 2),
                number(details.sister_retrieval[0], 2),
            ]
        )
    first = scores[0].generator, GENERATORS[generator][1]
    best = max(best_of(inputs.results, *first), key=lambda r: r.linear_r2[first[1]])
    heads = [f"R² {PARAMETERS.get(name, name)}" for name in parameters]
    return Table(
        columns=["descriptor", "map, coordinates", *heads, "R² mean", "kNN R²", "trust.", "distances", "recall"],
        rows=rows,
        highlighted=frozenset({scores.index(best)}),
        caption=f"{GENERATORS[generator][0].capitalize()}. Linear R² by parameter and in the mean; kNN: mean R² from "
        "the nearest neighbours; trustworthiness of neighbourhoods; rank correlation of pair distances in map and "
        "parameters; same-group nearest-neighbour recall: share of images whose nearest neighbour has "
        "the same parameters.",
    )


def map_section(inputs: MicrostructureInputs, max_points: int) -> Section:
    blocks: list[Block] = []
    method = inputs.laws[0].method if inputs.laws else inputs.results[0].method
    names = [d for d in ("efficientnet", "two_point") if _has(inputs, "lamellae", d, method)]
    maps, rows = {}, np.empty(0, dtype=np.int64)
    for name in names:
        rows, points = inputs.coordinates("lamellae", name, method)
        shown = thinned(np.arange(len(rows)), max_points)
        rows, maps[f"{descriptor_words(name)}, {METHODS.get(method, method)}"] = rows[shown], points[shown]
    if not maps:
        blocks.append(Notice(text="No map of lamellae by this network or by two-point statistics: nothing to draw."))
    else:
        angle = inputs.column("angle", rows)
        first = next(iter(maps.values()))
        few = thinned(np.arange(len(rows)), min(max_points, 1000))
        pictures = inputs.pictures(rows[few])
        blocks.append(
            picture(
                draw_thumbnails(first[few], pictures, angle[few]),
                name="thumbnails",
                description="Map with images",
                caption=f"Lamellae at their place in the map of the {next(iter(maps))}; frames in the colour of their "
                "angle, which means less the stronger the noise.",
            )
        )
        colours = {
            "angle": (angle, True),
            "log noise": (np.log(inputs.column("noise_strength", rows)), False),
            "scale [px]": (inputs.column("scale_px", rows), False),
        }
        blocks.append(
            picture(
                draw_parameter_maps(maps, colours),
                name="maps",
                description="Maps by parameter",
                caption="The same map and that of the raw two-point correlation, first two coordinates, coloured by "
                "the three parameters.",
            )
        )
    return Section(anchor="microstructures-maps", title="Maps", blocks=blocks)


def dimension_section(inputs: MicrostructureInputs) -> Section:
    present = {g: words for g, words in GENERATORS.items() if any(d.generator == g for d in inputs.details)}
    figure = draw_dimensions(inputs.details, present)
    limit = [d for d in inputs.details if d.at_limit]
    return Section(
        anchor="microstructures-dimensions",
        title="Dimensions",
        introduction="How many coordinates a map gets is decided from distances alone: as many as each explain at "
        "least a set share of the variance of distances, but no fewer than the intrinsic dimension.",
        blocks=[
            picture(
                figure,
                name="dimensions",
                description="Residual variance and R2 against dimension",
                caption="Left, the variance of distances that the first coordinates leave; right, what they know, "
                "which the choice never saw. Dots: the chosen number"
                + (
                    f"; {len(limit)} of {len(inputs.details)} maps never level off and take all there are"
                    if limit
                    else ""
                )
                + f". {pairs_at_best(inputs)}",
            )
        ],
    )


def pairs_at_best(inputs: MicrostructureInputs) -> str:
    """What second-order statistics would know of the phase order at the number of coordinates that suits them best."""
    curves = [
        [step["phase_order"] for step in d.linear_r2_by_dimension]
        for d in inputs.details
        if d.generator == "phase_order" and d.descriptor in PAIR_STATISTICS
    ]
    if not curves:
        return "No second-order statistic was tried on the cells."
    best = number(max(max(curve) for curve in curves), 2)
    return f"At whatever number of coordinates, no map of a second-order statistic knows more of t than R² {best}."


def law_section(inputs: MicrostructureInputs) -> Section:
    blocks: list[Block] = []
    for law in inputs.laws:
        coordinates = list(law.associations)
        known = list(next(iter(law.associations.values())))
        strength = np.array([[abs(law.associations[c][q].spearman[0] or 0.0) for q in known] for c in coordinates])
        figure = draw_association(coordinates, [QUANTITIES.get(q, q) for q in known], strength)
        words = GENERATORS[law.generator][0]
        blocks.append(
            picture(
                figure,
                name=f"law-{law.generator}",
                description=f"Coordinates of {words}",
                caption=f"{words.capitalize()}: rank correlation of every coordinate with what made the images. A map "
                "is known up to a rotation, so a coordinate may mix two.",
            )
        )
        if not law.formulas:
            blocks.append(Notice(text=f"{words.capitalize()}: too few parameter points for a formula search."))
            continue
        blocks.append(formula_table(law, words))
    if not blocks:
        blocks.append(Notice(text="No map was searched for formulas (params: embedding.search)."))
    return Section(
        anchor="microstructures-laws",
        title="Coordinates as formulas",
        introduction="The coordinates of one map go through the report and the symbolic regression that the latents of "
        "spectra go through.",
        blocks=blocks,
    )


def formula_table(law: MapLaw, words: str) -> Table:
    latex = {NOISE: r"\eta", SCALE: r"\sigma"}
    return Table(
        columns=["coordinate", "what it is", "nodes", "R² test", "R² extrapolated", "runs that agree"],
        rows=[
            [
                f.target.replace(" ", "\u00a0"),
                said,
                number(f.complexity),
                number(f.r2_test),
                number(f.r2_extrapolation),
                number(f.seed_stability, 2),
            ]
            for f, said in zip((f for f in law.formulas if f.selected), law.meaning, strict=True)
        ],
        details=[
            formula_markup(
                f.equation,
                name=f"formula-{law.generator}-{i}",
                physical=PHYSICAL,
                symbol_latex=latex,
            )
            for i, f in enumerate(f for f in law.formulas if f.selected)
        ],
        caption=f"{words.capitalize()}, {descriptor_words(law.descriptor)}, "
        f"{METHODS.get(law.method, law.method)}: formulas of the coordinates by {law.engine}, in the angle a, "
        "noise strength eta, scale sigma [px] and phase order t, "
        "realisations of a point averaged. Extrapolated: points with the largest noise or phase order, kept from "
        "training.",
    )


def _has(inputs: MicrostructureInputs, generator: str, descriptor: str, method: str) -> bool:
    wanted = (generator, descriptor, method)
    return any((r.generator, r.descriptor, r.method) == wanted for r in inputs.results)


def draw_image(axes: Axes, image: FloatArray, title: str = "") -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    if title:
        axes.set_title(title, fontsize=9, fontweight="normal", pad=3)


def draw_map_on(axes: Axes, points: FloatArray, colour: FloatArray, *, label: str, cyclic: bool = False) -> None:
    """First two coordinates (N, >= 2), coloured; axes without numbers, for a map has no unit."""
    drawn = axes.scatter(
        points[:, 0],
        points[:, 1] if points.shape[1] > 1 else np.zeros(len(points)),
        c=colour,
        s=float(np.clip(5000 / max(1, len(points)), 4, 22)),
        cmap="twilight" if cyclic else SEQUENTIAL,
        linewidths=0,
        rasterized=True,
    )
    axes.set(xticks=[], yticks=[], xlabel="coordinate 1", ylabel="coordinate 2")
    axes.get_figure().colorbar(drawn, ax=axes, label=label, pad=0.02)  # type: ignore[union-attr]


def draw_r2_on(axes: Axes, records: Sequence[MapDetails], parameter: str) -> None:
    """One bar with its interval for each map; what lies below LEAST_SHOWN is drawn there."""
    order = sorted(records, key=lambda r: list(DESCRIPTORS).index(r.descriptor) if r.descriptor in DESCRIPTORS else 99)
    for position, record in enumerate(reversed(order)):
        value, low, high = record.linear_r2[parameter]
        shown, first, last = (max(r2, LEAST_SHOWN) for r2 in (value, low, high))
        colour = DESCRIPTORS.get(record.descriptor, ("", CYCLE[6]))[1]
        axes.barh(position, shown, color=colour, height=0.62, alpha=0.85)
        axes.errorbar(shown, position, xerr=[[shown - first], [last - shown]], color=INK, capsize=2.5, linewidth=1.1)
        axes.text(
            max(high, 0.0) + 0.03, position, f"{value:.2f}".replace("-", "\u2212"), va="center", fontsize=8.5, color=INK
        )
    names = [DESCRIPTORS.get(r.descriptor, (r.descriptor, ""))[0] for r in reversed(order)]
    axes.set(yticks=range(len(names)), yticklabels=names, xlim=(LEAST_SHOWN, 1.15), ylim=(-0.6, len(names) - 0.4))
    axes.set_xticks([0, 0.5, 1])
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.grid(visible=False, axis="y")


def draw_thumbnails(points: FloatArray, images: FloatArray, angle: FloatArray, *, n_across: int = 11) -> Figure:
    """Images (n, y, x) at their place in the plane of coordinates 1 and 2, framed in the colour of their angle."""
    figure = new_figure(10.0, 6.4)
    axes = figure.subplots()
    axes.scatter(points[:, 0], points[:, 1], s=6, color=MUTED, alpha=0.5, linewidths=0)
    for row in _apart(points, n_across):
        box = AnnotationBbox(
            OffsetImage(images[row], cmap="gray", zoom=44 / images.shape[1], norm=Normalize(0, 1)),
            (float(points[row, 0]), float(points[row, 1])),
            pad=0.12,
            frameon=True,
            bboxprops={
                "edgecolor": colormaps["twilight"](float(angle[row] % np.pi) / np.pi),
                "facecolor": PAPER,
                "linewidth": 2.2,
            },
        )
        axes.add_artist(box)
    axes.set(xticks=[], yticks=[], xlabel="coordinate 1", ylabel="coordinate 2")
    axes.margins(0.07)
    return figure


def draw_parameter_maps(maps: Mapping[str, FloatArray], colours: Mapping[str, tuple[FloatArray, bool]]) -> Figure:
    """One row per map (title -> coordinates), one column per parameter (label -> values, cyclic)."""
    figure = new_figure(10.0, 2.9 * len(maps))
    grid = figure.subplots(len(maps), len(colours), squeeze=False)
    for line, (title, points) in zip(grid, maps.items(), strict=True):
        for axes, (label, (values, cyclic)) in zip(line, colours.items(), strict=True):
            draw_map_on(axes, points, values, label=label, cyclic=cyclic)
        line[0].set_title(title)
    return figure


def draw_dimensions(details: Sequence[MapDetails], generators: Mapping[str, tuple[str, str, str]]) -> Figure:
    """Residual variance and R2 against the number of coordinates, the chosen number as a dot.

    `generators`: name -> (words, parameter, its words).
    """
    methods = list(dict.fromkeys(d.method for d in details))
    figure = new_figure(10.0, 3.0 * len(generators))
    grid = figure.subplots(len(generators), 2, squeeze=False)
    for line, (generator, (words, parameter, parameter_words)) in zip(grid, generators.items(), strict=True):
        for scores in (d for d in details if d.generator == generator):
            name, colour = DESCRIPTORS.get(scores.descriptor, (scores.descriptor, CYCLE[6]))
            shown = _shade(scores.descriptor, colour)
            style = LINES[methods.index(scores.method) % len(LINES)]
            curves = (scores.residual_variance, [max(r[parameter], LEAST_SHOWN) for r in scores.linear_r2_by_dimension])
            for axes, curve in zip(line, curves, strict=True):
                n = np.arange(1, len(curve) + 1)
                label = f"{name}, {METHODS.get(scores.method, scores.method)}"
                axes.plot(n, curve, style, color=shown, linewidth=1.3, label=label)
                axes.plot(scores.dimension, curve[scores.dimension - 1], "o", color=shown, markersize=5.5)
        line[0].set(title=words, ylabel="residual variance", ylim=(0, 1.02))
        line[1].set(ylabel=f"linear R² of {parameter_words}", ylim=(-0.32, 1.02))
    for axes in grid[-1]:
        axes.set_xlabel("coordinates")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, max(1, len(labels) // 3)), fontsize=8)
    return figure


def _shade(descriptor: str, colour: str) -> str:
    """Pair statistics have one colour in bars; as curves each needs its own."""
    scores = {"two_point_centred": CYCLE[5], "log_power_spectrum": CYCLE[3], "power_spectrum": CYCLE[6]}
    return scores.get(descriptor, colour)


def _apart(points: FloatArray, n_across: int) -> list[int]:
    """Rows that lie far enough from each other for a picture each: one per cell of a grid, nearest to its centre."""
    span = np.maximum(np.ptp(points[:, :2], axis=0), 1e-12)
    cell = (points[:, :2] - points[:, :2].min(0)) / span * np.array([n_across - 1, (n_across - 1) * 0.62])
    offset = np.abs(cell - np.rint(cell)).max(1)
    taken: list[int] = []
    for row in np.argsort(offset, kind="stable"):
        gaps = np.abs(cell[taken] - cell[row]).max(1) if taken else np.array([np.inf])
        if gaps.min() >= 0.93:
            taken.append(int(row))
    return taken
