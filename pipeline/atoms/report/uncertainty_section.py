"""Section on uncertainty: do the hierarchy of HIP-NN and the spread of an ensemble know where the model errs?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from pipeline.atoms.report.axes import figure_svg, logarithmic
from pipeline.atoms.report.inputs import AtomsInputs, in_order
from pipeline.report.drawing import CYCLE, INK, MUTED, PAPER, new_figure
from pipeline.report.page import (
    SUPERSCRIPTS,
    Notice,
    Paragraph,
    Picture,
    Section,
    Table,
    number,
    value_with_interval,
)

__all__ = ["ESTIMATES", "SETS", "draw_estimate_on", "ranked", "told", "uncertainty_section", "verdict"]

ESTIMATES = {
    "spread": ("ensemble spread", CYCLE[0]),
    "hierarchicality": ("hierarchicality R", CYCLE[2]),
    "last_term": ("last term |Eⁿ|", CYCLE[4]),
}
SETS = {"held_out": ("held-out trajectories", CYCLE[0]), "out_of_distribution": ("unseen molecule", CYCLE[1])}
QUANTITIES = {"energy": ("energy error", "eV/atom"), "forces": ("force error", "eV/Å")}
UNITS = {"spread": {"energy": " [eV/atom]", "forces": " [eV/Å]"}, "hierarchicality": {}, "last_term": {}}
SMALLEST_COVERAGE = 0.05
Numbers = Mapping[str, Any]


def uncertainty_section(inputs: AtomsInputs) -> Section:
    metrics, details = inputs.metrics["hierarchy"], inputs.details["hierarchy"]
    present = [q for q in QUANTITIES if q in metrics]
    blocks: list[Picture | Table | Notice | Paragraph] = [
        estimate_table(metrics, present),
        Paragraph(text=verdict(metrics)),
    ]
    if not present:
        blocks = [Notice(text="No estimate was judged: the validation set has neither energies nor forces.")]
    for block in (scatter_block, risk_block, calibration_block) if present else ():
        blocks.append(block(details, metrics, present))
    if "terms" in details:
        blocks.append(term_table(details["terms"]))
    held = metrics["sets"].get("held_out", {})
    beyond = metrics["sets"].get("out_of_distribution", {})
    unseen = (
        f" and on {number(beyond['n_configs'])} frames of sources that training never saw "
        f"({', '.join(beyond['sources'])})"
        if beyond
        else "; no source was kept from training, so nothing is said of strange molecules"
    )
    return Section(
        anchor="atoms-uncertainty",
        title="Uncertainty",
        introduction="HIP\u2011NN writes an energy as a sum of terms Eⁿ, one for each block. If the hierarchy has "
        "converged, later terms are small: R = Σ (Eⁿ)² / ((Eⁿ)² + (Eⁿ⁻¹)²) says how far it has not, from one "
        "network and for free. The rival is the spread of an ensemble, which costs a network for each member. Both "
        f"are set against the error that was made, on {number(held.get('n_configs'))} held-out frames{unseen}.",
        blocks=blocks,
    )


def estimate_table(metrics: Numbers, quantities: list[str]) -> Table:
    rows = []
    for quantity in quantities:
        for estimate in in_order(metrics[quantity], ESTIMATES):
            found = metrics[quantity][estimate]
            own = [found[name] for name in SETS if name in found]
            rows.append(
                [
                    QUANTITIES[quantity][0],
                    ESTIMATES.get(estimate, (estimate,))[0],
                    *(ranked(record["spearman"]) for record in own),
                    *(number(record[key], 2) for key in ("relative_excess", "miscalibration") for record in own),
                    *([number(found["told_apart"], 2)] if "told_apart" in found else []),
                ]
            )
    names = {"held_out": "held out", "out_of_distribution": "unseen"}
    first = metrics[quantities[0]] if quantities else {}
    sets = [name for name in SETS if name in next(iter(first.values()), {})]
    return Table(
        columns=[
            "of",
            "estimate",
            *(
                f"{words}, {names[name]}"
                for words in ("Spearman with the error", "risk-coverage excess", "miscalibration")
                for name in sets
            ),
            *(["tells unseen from held out"] if len(sets) > 1 else []),
        ],
        rows=rows,
        caption="Intervals: 95 %, bootstrap over trajectories. Excess: area under the risk-coverage curve above that "
        "of an oracle, relative to a random order: 0 is perfect, 1 no help, above 1 misleading. Miscalibration: mean "
        "distance of the curves below from the diagonal. Telling apart: probability that an unseen row has the larger "
        "estimate, 0.5 is blind.",
    )


def verdict(metrics: Numbers) -> str:
    """Which estimate leads on force errors, and what the hierarchy is worth, from the numbers."""
    own = metrics.get("forces") or metrics.get("energy")
    if not own:
        return "No estimate was judged."
    ranks = {name: rank for name in ESTIMATES if (rank := told(own, name, "held_out"))}
    if not ranks:
        return "No held-out rows to judge estimates on."
    best = max(ranks, key=lambda name: ranks[name][0])
    words = [f"{ESTIMATES[name][0]} {ranked(rank)}" for name, rank in ranks.items()]
    said = f"On held-out frames the rank correlation with the error is: {'; '.join(words)}. "
    others = [rank for name, rank in ranks.items() if name != best]
    apart = all(ranks[best][1] > rank[2] for rank in others)
    said += f"The {ESTIMATES[best][0]} leads" + (
        ", beyond the intervals." if apart and others else ", but not beyond the intervals."
    )
    beyond = own[best].get("told_apart")
    hierarchy = own.get("hierarchicality", {}).get("told_apart")
    if beyond is not None and hierarchy is not None:
        said += (
            f" The unseen molecule is told from held-out frames with probability "
            f"{number(own['spread']['told_apart'], 2)} by the spread and {number(hierarchy, 2)} by R (0.5 is blind)."
        )
    return said


def told(own: Numbers, estimate: str, name: str) -> list[float] | None:
    """Spearman with its interval."""
    found = own.get(estimate, {}).get(name)
    return None if found is None or found["spearman"][0] is None else list(found["spearman"])


def ranked(rank: Sequence[float]) -> str:
    """With its interval, to three decimals."""
    value, low, high = (round(float(x), 3) + 0.0 for x in rank[:3])
    return value_with_interval(value, low, high, 2)


def scatter_block(details: Numbers, metrics: Numbers, quantities: list[str]) -> Picture:
    estimates = [e for e in ESTIMATES if e in details[quantities[0]]]
    figure = new_figure(10.0, 3.1 * len(quantities))
    grid = figure.subplots(len(quantities), len(estimates), squeeze=False)
    for line, quantity in zip(grid, quantities, strict=True):
        for axes, estimate in zip(line, estimates, strict=True):
            draw_estimate_on(axes, details, metrics, quantity, estimate)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, [text.partition(":")[0] for text in labels], loc="outside lower center", ncols=2)
    return Picture(
        svg=figure_svg(figure, name="atoms-estimates", description="Estimates against errors"),
        caption="Each point is a frame (energies) or an atom (forces): the size of its error against what was "
        "estimated, both logarithmic. \u03c1 is Spearman's. The line is the estimate times its scale fitted on "
        "validation frames, where the root mean square error should lie. A good estimate rises along it; a "
        "cloud without slope knows nothing.",
    )


def draw_estimate_on(axes: Axes, details: Numbers, metrics: Numbers, quantity: str, estimate: str) -> None:
    words, unit = QUANTITIES[quantity]
    values: list[float] = []
    for name, (set_words, colour) in SETS.items():
        own = details[quantity][estimate].get(name)
        if own is None:
            continue
        x, y = np.asarray(own["estimate"], dtype=float), np.asarray(own["error"], dtype=float)
        kept = (x > 0) & (y > 0)
        rank = told(metrics[quantity], estimate, name)
        label = f"{set_words}: \u03c1 = {number(rank[0], 2)}" if rank else set_words
        axes.scatter(x[kept], y[kept], s=9, color=colour, alpha=0.55, linewidths=0, label=label, rasterized=True)
        values += x[kept].tolist()
    axes.set(xlabel=ESTIMATES[estimate][0] + UNITS[estimate].get(quantity, ""), ylabel=f"{words} [{unit}]")
    if estimate == "last_term":
        axes.set_xlabel("last term |Eⁿ| [eV]")
    if not values:
        return
    scale = float(metrics[quantity][estimate]["scale"])
    factor = scale if quantity == "energy" else scale * 3**0.5  # three components of a force
    reach = np.array([min(values), max(values)])
    logarithmic(axes, "xy")
    limits = axes.get_ylim()
    axes.plot(reach, factor * reach, color=MUTED, linewidth=1.0)
    axes.set_ylim(limits)
    ranks = [f"\u03c1 = {number(r[0], 2)}" for n in SETS if (r := told(metrics[quantity], estimate, n))]
    colours = [SETS[n][1] for n in SETS if told(metrics[quantity], estimate, n)]
    for line, (text, colour) in enumerate(zip(ranks, colours, strict=True)):
        box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 1.0}
        place = (0.03, 0.95 - 0.09 * line)
        axes.text(*place, text, color=colour, transform=axes.transAxes, va="top", fontsize=8.5, bbox=box)


def risk_block(details: Numbers, metrics: Numbers, quantities: list[str]) -> Picture:
    sets = [name for name in SETS if name in next(iter(details[quantities[0]].values()))]
    figure = new_figure(10.0, 2.9 * len(quantities))
    grid = figure.subplots(len(quantities), len(sets), squeeze=False)
    for line, quantity in zip(grid, quantities, strict=True):
        for axes, name in zip(line, sets, strict=True):
            for estimate, (words, colour) in ESTIMATES.items():
                own = details[quantity].get(estimate, {}).get(name)
                if own is None:
                    continue
                axes.plot(*_from_share(own["coverage"], own["risk"]), color=colour, label=words)
            reference = next(iter(details[quantity].values()))[name]
            axes.plot(
                *_from_share(reference["coverage"], reference["oracle_risk"]), color=INK, linewidth=1.1, label="oracle"
            )
            mean = next(iter(metrics[quantity].values()))[name]["mean_error"]
            axes.axhline(mean, color=MUTED, linestyle="--", linewidth=1.0, label="random order")
            axes.set(
                xlabel="coverage",
                ylabel=f"mean error [{QUANTITIES[quantity][1]}]",
                title=f"{quantity}, {SETS[name][0]}",
            )
            axes.set(xlim=(0, 1), ylim=(0, None))
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)
    return Picture(
        svg=figure_svg(figure, name="atoms-risk", description="Risk-coverage curves"),
        caption="Mean error of the share of rows that an estimate trusts most; above, energies per atom, below, forces "
        "on atoms. Below the dashed line an estimate helps, the black line is the best possible order. Curves begin "
        f"at a coverage of {SMALLEST_COVERAGE:.0%}: below it they rest on few rows.",
    )


def _from_share(coverage: Sequence[float], risk: Sequence[float]) -> tuple[list[float], list[float]]:
    kept = [pair for pair in zip(coverage, risk, strict=True) if pair[0] >= SMALLEST_COVERAGE]
    return [x for x, _ in kept], [y for _, y in kept]


def calibration_block(details: Numbers, metrics: Numbers, quantities: list[str]) -> Picture:
    figure = new_figure(10.0, 3.7)
    for axes, quantity in zip(figure.subplots(1, len(quantities), squeeze=False)[0], quantities, strict=True):
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9)
        for estimate, (words, colour) in ESTIMATES.items():
            for name, style in (("held_out", "-"), ("out_of_distribution", "--")):
                own = details[quantity].get(estimate, {}).get(name)
                if own is not None:
                    label = f"{words}, {SETS[name][0]}"
                    axes.plot(own["expected"], own["observed"], style, color=colour, label=label)
        axes.set(xlim=(0, 1), ylim=(-0.02, 1.02), aspect="equal", title=QUANTITIES[quantity][0])
        axes.set(xlabel="probability of the interval", ylabel="share of errors inside")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8)
    return Picture(
        svg=figure_svg(figure, name="atoms-calibration", description="Calibration curves"),
        caption="With its one scale fitted on validation frames, an estimate is taken as the standard deviation of a "
        "normal error: the share of errors that fall inside the interval of a probability should equal it. Below the "
        "diagonal a model is too sure of itself. One scale can be right on average and wrong where it matters.",
    )


def term_table(terms: Mapping[str, Any]) -> Table:
    n_terms = max((len(own["rms_eV"]) for own in terms.values()), default=0)
    return Table(
        columns=["set", *(f"rms E{str(n).translate(SUPERSCRIPTS)} [eV]" for n in range(n_terms)), "mean R"],
        rows=[
            [
                SETS.get(name, (name.replace("_", " "),))[0],
                *(number(value) for value in own["rms_eV"]),
                number(own["hierarchicality_mean"]),
            ]
            for name, own in terms.items()
        ],
        caption="Size of the terms over atoms. E⁰ depends on the element alone.",
    )
