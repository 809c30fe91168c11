"""Sections on the maps of micrographs: what they recover, how they look, how many dimensions, which formulas."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp

from pipeline.microstructure.embedding_goals import NETWORK, PAIR_STATISTICS
from pipeline.microstructure.report.inputs import MicrostructureInputs, best_of, details_of
from pipeline.microstructure.report.map_figures import (
    DESCRIPTORS,
    METHODS,
    draw_dimensions,
    draw_parameter_maps,
    draw_r2_on,
    draw_thumbnails,
)
from pipeline.report.drawing import inline_svg, new_figure, thinned
from pipeline.report.formula_text import formula_markup
from pipeline.report.latent_figures import draw_association
from pipeline.report.page import Notice, Picture, Section, Table, number, value_with_interval

__all__ = ["GENERATORS", "descriptor_words", "dimension_section", "law_sections", "map_section", "recovery_section"]

# generator -> words, judged parameter, its words
GENERATORS = {
    "lamellae": ("lamellae", "mean", "all parameters"),
    "phase_order": ("cells of equal pair statistics", "phase_order", "the phase order t"),
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
Block = Picture | Table | Notice


def descriptor_words(name: str) -> str:
    return DESCRIPTORS[name][0] if name in DESCRIPTORS else name.replace("_", " ")


def recovery_section(inputs: MicrostructureInputs) -> Section:
    present = [g for g in GENERATORS if any(r["generator"] == g for r in inputs.results)]
    figure = new_figure(10.0, 3.4)
    for axes, generator in zip(figure.subplots(1, len(present), squeeze=False)[0], present, strict=True):
        words, parameter, parameter_words = GENERATORS[generator]
        draw_r2_on(axes, best_of(inputs.details, generator, parameter), parameter)
        axes.set(title=words, xlabel=f"linear R² of {parameter_words}")
    blocks: list[Block] = [
        goal_table(inputs.goals),
        Picture(
            svg=inline_svg(figure, name="recovery", description="R2 of the parameters by descriptor"),
            caption="R² of the generating parameters by linear regression on the coordinates of a map, out of fold; of "
            "every descriptor the better of its maps, with 95 % intervals over parameter points and folds. Orange: "
            "statistics of pairs. " + strongest_pair(inputs),
        ),
    ]
    blocks += [record_table(inputs, generator) for generator in present]
    return Section(
        anchor="microstructures-recovery",
        title="Recovery",
        introduction="A descriptor turns an image into a vector, a map (Isomap or classical MDS) puts all images into "
        "a "
        "few coordinates, and a regression asks what the coordinates know of the parameters. No descriptor and no map "
        "has seen a parameter. Folds go by parameter point: the sister of a test image is never trained on.",
        blocks=blocks,
    )


def goal_table(goals: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        columns=["goal", "found", "wanted", "reached"],
        rows=[
            [
                str(g["goal"]),
                number(g["found"]),
                str(g["wanted"]).replace(">=", "≥").replace("<=", "≤"),
                _yes(g["reached"]),
            ]
            for g in goals
        ],
        caption="The thresholds were fixed before any map was drawn; the rule that chooses the number of coordinates "
        "and the raw form of the two-point baseline were settled with such maps in view. The raw two-point "
        "correlation is <f(x) f(x + r)> as it is; "
        "with the mean subtracted it is a stronger baseline, shown beside it.",
    )


def strongest_pair(inputs: MicrostructureInputs) -> str:
    """How far the claim goes on lamellae, in one sentence from the numbers."""
    own = best_of(inputs.details, "lamellae", "mean")
    pairs = [d for d in own if d["descriptor"] in PAIR_STATISTICS]
    network = next((d for d in own if d["descriptor"] == NETWORK), None)
    if network is None or not pairs:
        return ""
    rival = max(pairs, key=lambda d: d["linear_r2"]["mean"][0])
    apart = network["linear_r2"]["mean"][1] > rival["linear_r2"]["mean"][2]
    return (
        f"On lamellae the best statistic of pairs is the {descriptor_words(rival['descriptor'])} "
        f"({METHODS.get(rival['method'], rival['method'])}), R² {value_with_interval(*rival['linear_r2']['mean'])} "
        "against "
        f"{value_with_interval(*network['linear_r2']['mean'])} of the network: the intervals "
        f"{'do not overlap' if apart else 'overlap'}, and much of what lamellae differ in is in their pair statistics. "
        "The cells are the case where it is not."
    )


def record_table(inputs: MicrostructureInputs, generator: str) -> Table:
    own = [r for r in inputs.results if r["generator"] == generator]
    parameters = [name for name in own[0]["linear_r2"] if name != "mean"]
    rows = []
    for record in own:
        told = details_of(inputs, record)
        rows.append(
            [
                descriptor_words(record["descriptor"]),
                f"{METHODS.get(record['method'], record['method'])}, {record['dimension']}",
                *(number(record["linear_r2"][name], 2) for name in parameters),
                value_with_interval(record["linear_r2"]["mean"], record["low"], record["high"], 2),
                number(record["knn_r2"]["mean"], 2),
                number(record["trustworthiness"], 3),
                number(told["spearman_distances"][0], 2),
                number(told["sister_retrieval"][0], 2),
            ]
        )
    first = own[0]["generator"], GENERATORS[generator][1]
    best = max(best_of(inputs.results, *first), key=lambda r: r["linear_r2"][first[1]])
    heads = [f"R² {PARAMETERS.get(name, name)}" for name in parameters]
    return Table(
        columns=["descriptor", "map, coordinates", *heads, "R² mean", "kNN R²", "trust.", "distances", "sister"],
        rows=rows,
        highlighted=frozenset({own.index(best)}),
        caption=f"{GENERATORS[generator][0].capitalize()}. Linear R² by parameter and in the mean; kNN: mean R² from "
        "the "
        "nearest neighbours; trustworthiness of neighbourhoods; rank correlation of pair distances in map and "
        "parameters; share of images whose nearest neighbour is their sister.",
    )


def map_section(inputs: MicrostructureInputs, max_points: int) -> Section:
    blocks: list[Block] = []
    method = inputs.laws[0]["method"] if inputs.laws else inputs.results[0]["method"]
    names = [d for d in ("efficientnet", "two_point") if _has(inputs, "lamellae", d, method)]
    maps, rows = {}, np.empty(0, dtype=np.int64)
    for name in names:
        rows, place = inputs.coordinates("lamellae", name, method)
        shown = thinned(np.arange(len(rows)), max_points)
        rows, maps[f"{descriptor_words(name)}, {METHODS.get(method, method)}"] = rows[shown], place[shown]
    if not maps:
        blocks.append(Notice(text="No map of lamellae by this network or by two-point statistics: nothing to draw."))
    else:
        angle = inputs.column("angle", rows)
        first = next(iter(maps.values()))
        few = thinned(np.arange(len(rows)), min(max_points, 1000))
        pictures = inputs.pictures(rows[few])
        blocks.append(
            Picture(
                svg=inline_svg(
                    draw_thumbnails(first[few], pictures, angle[few]), name="thumbnails", description="Map with images"
                ),
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
            Picture(
                svg=inline_svg(draw_parameter_maps(maps, colours), name="maps", description="Maps by parameter"),
                caption="The same map and that of the raw two-point correlation, first two coordinates, coloured by "
                "the "
                "three parameters.",
            )
        )
    return Section(anchor="microstructures-maps", title="Maps", blocks=blocks)


def dimension_section(inputs: MicrostructureInputs) -> Section:
    present = {g: words for g, words in GENERATORS.items() if any(d["generator"] == g for d in inputs.details)}
    figure = draw_dimensions(inputs.details, present)
    limit = [d for d in inputs.details if d["at_limit"]]
    return Section(
        anchor="microstructures-dimensions",
        title="Dimensions",
        introduction="How many coordinates a map gets is decided from distances alone: as many as each explain at "
        "least "
        "a set share of the variance of distances, but no fewer than the intrinsic dimension.",
        blocks=[
            Picture(
                svg=inline_svg(figure, name="dimensions", description="Residual variance and R2 against dimension"),
                caption="Left, the variance of distances that the first coordinates leave; right, what they know, "
                "which "
                "the choice never saw. Dots: the chosen number"
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
    """What statistics of pairs would know of the phase order at the number of coordinates that suits them best."""
    curves = [
        [step["phase_order"] for step in d["linear_r2_by_dimension"]]
        for d in inputs.details
        if d["generator"] == "phase_order" and d["descriptor"] in PAIR_STATISTICS
    ]
    if not curves:
        return "No statistic of pairs was tried on the cells."
    best = number(max(max(curve) for curve in curves), 2)
    return f"At whatever number of coordinates, no statistic of pairs knows more of t than R² {best}."


def law_sections(inputs: MicrostructureInputs) -> Section:
    blocks: list[Block] = []
    for law in inputs.laws:
        coordinates = list(law["associations"])
        known = list(next(iter(law["associations"].values())))
        strength = np.array([[abs(law["associations"][c][q]["spearman"][0]) for q in known] for c in coordinates])
        figure = draw_association(coordinates, [QUANTITIES.get(q, q) for q in known], strength)
        words = GENERATORS[law["generator"]][0]
        blocks.append(
            Picture(
                svg=inline_svg(figure, name=f"law-{law['generator']}", description=f"Coordinates of {words}"),
                caption=f"{words.capitalize()}: rank correlation of every coordinate with what made the images. A map "
                "is "
                "known up to a rotation, so a coordinate may mix two.",
            )
        )
        if not law["formulas"]:
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


def formula_table(law: Mapping[str, Any], words: str) -> Table:
    latex = {NOISE: r"\eta", SCALE: r"\sigma"}
    return Table(
        columns=["coordinate", "what it is", "nodes", "R² test", "R² extrapolated", "runs that agree"],
        rows=[
            [
                f["target"].replace(" ", "\u00a0"),
                said,
                number(f["complexity"]),
                number(f["r2_test"]),
                number(f["r2_extrapolation"]),
                number(f["seed_stability"], 2),
            ]
            for f, said in zip((f for f in law["formulas"] if f["selected"]), law["meaning"], strict=True)
        ],
        details=[
            formula_markup(
                f["equation"],
                name=f"formula-{law['generator']}-{i}",
                physical=PHYSICAL,
                symbol_latex=latex,
            )
            for i, f in enumerate(f for f in law["formulas"] if f["selected"])
        ],
        caption=f"{words.capitalize()}, {descriptor_words(law['descriptor'])}, "
        f"{METHODS.get(law['method'], law['method'])}: formulas of the coordinates by {law['engine']}, in the angle "
        "a, noise "
        "strength eta, scale sigma [px] and phase order t, "
        "realisations of a point averaged. Extrapolated: points with the largest noise or phase order, kept from "
        "training.",
    )


def _has(inputs: MicrostructureInputs, generator: str, descriptor: str, method: str) -> bool:
    wanted = (generator, descriptor, method)
    return any((r["generator"], r["descriptor"], r["method"]) == wanted for r in inputs.results)


def _yes(reached: bool) -> str:
    return "✓" if reached else "✗ no"
