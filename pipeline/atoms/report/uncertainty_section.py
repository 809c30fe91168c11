"""Section on uncertainty: do the hierarchy of HIP-NN and the spread of an ensemble know where the model errs?"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from pipeline.atoms.records import Estimate, EstimateCurves, Terms
from pipeline.atoms.report.inputs import AtomsInputs
from pipeline.report.axes import logarithmic, settle
from pipeline.report.drawing import CYCLE, INK, MUTED, PAPER, new_figure
from pipeline.report.page import (
    SUPERSCRIPTS,
    Block,
    Notice,
    Paragraph,
    Picture,
    Section,
    Table,
    in_order,
    number,
    picture,
    value_with_interval,
)

__all__ = ["ESTIMATES", "SETS", "draw_estimate_on", "rank_of", "ranked", "uncertainty_section", "verdict"]

ESTIMATES = {
    "spread": ("ensemble spread", CYCLE[0]),
    "hierarchicality": ("hierarchicality R", CYCLE[2]),
    "last_term": ("last term |Eⁿ|", CYCLE[4]),
}
SETS = {"held_out": ("held-out trajectories", CYCLE[0]), "out_of_distribution": ("unseen molecule", CYCLE[1])}
QUANTITIES = {"energy": ("energy error", "eV/atom"), "forces": ("force error", "eV/Å")}
UNITS = {"spread": {"energy": " [eV/atom]", "forces": " [eV/Å]"}, "hierarchicality": {}, "last_term": {}}
SMALLEST_COVERAGE = 0.05
Estimates = Mapping[str, Mapping[str, Estimate]]  # quantity -> estimate
Curves = Mapping[str, Mapping[str, EstimateCurves]]


def uncertainty_section(inputs: AtomsInputs) -> Section:
    metrics, details = inputs.hierarchy.quantities, inputs.hierarchy_details
    present = [q for q in QUANTITIES if q in metrics]
    blocks: list[Block] = [
        estimate_table(metrics, present),
        Paragraph(text=verdict(metrics)),
    ]
    if not present:
        blocks = [Notice(text="No estimate was judged: the validation set has neither energies nor forces.")]
    for block in (scatter_block, risk_block, calibration_block) if present else ():
        blocks.append(block(details.quantities, metrics, present))
    blocks.append(term_table(details.terms))
    held = inputs.hierarchy.sets.get("held_out")
    beyond = inputs.hierarchy.sets.get("out_of_distribution")
    unseen = (
        f" and on {number(beyond.n_configs)} frames of sources that training never saw ({', '.join(beyond.sources)})"
        if beyond
        else "; no source was kept from training, so nothing is said of strange molecules"
    )
    return Section(
        anchor="atoms-uncertainty",
        title="Uncertainty",
        introduction="HIP\u2011NN writes an energy as a sum of terms Eⁿ, one for each block. If the hierarchy has "
        "converged, later terms are small: R = Σ (Eⁿ)² / ((Eⁿ)² + (Eⁿ⁻¹)²) says how far it has not, from one "
        "network and for free. The rival is the spread of an ensemble, which costs a network for each member. Both are "
        f"set against the error that was made, on {number(held.n_configs if held else None)} held-out frames{unseen}.",
        blocks=blocks,
    )


def estimate_table(metrics: Estimates, quantities: list[str]) -> Table:
    rows = []
    for quantity in quantities:
        for estimate in in_order(metrics[quantity], ESTIMATES):
            figures = metrics[quantity][estimate]
            rows.append(
                [
                    QUANTITIES[quantity][0],
                    ESTIMATES.get(estimate, (estimate,))[0],
                    *(ranked(judged.spearman) for judged in figures.sets.values()),
                    *(number(judged.relative_excess, 2) for judged in figures.sets.values()),
                    *(number(judged.miscalibration, 2) for judged in figures.sets.values()),
                    *([number(figures.auroc, 2)] if len(figures.sets) > 1 else []),
                ]
            )
    names = {"held_out": "held out", "out_of_distribution": "unseen"}
    first = metrics[quantities[0]] if quantities else {}
    sets = [name for name in SETS if any(name in figures.sets for figures in first.values())]
    return Table(
        columns=[
            "of",
            "estimate",
            *(
                f"{words}, {names[name]}"
                for words in ("Spearman with the error", "risk-coverage excess", "miscalibration")
                for name in sets
            ),
            *(["AUROC, unseen against held out"] if len(sets) > 1 else []),
        ],
        rows=rows,
        caption="Intervals: 95 %, bootstrap over trajectories. Excess: area under the risk-coverage curve above that "
        "of an oracle, relative to a random order: 0 is perfect, 1 no help, above 1 misleading. Miscalibration: mean "
        "distance of the curves below from the diagonal. AUROC: probability that an unseen row has the larger "
        "estimate, 0.5 is blind.",
    )


def verdict(metrics: Estimates) -> str:
    """Which estimate leads on force errors, and what the hierarchy is worth, from the numbers."""
    figures = metrics.get("forces") or metrics.get("energy")
    if not figures:
        return "No estimate was judged."
    ranks = {name: rank for name in ESTIMATES if (rank := rank_of(figures, name, "held_out"))}
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
    auroc = {name: figures[name].auroc for name in ("spread", "hierarchicality") if name in figures}
    if len(auroc) == 2 and None not in auroc.values():
        said += (
            f" AUROC of the unseen molecule against held-out frames: {number(auroc['spread'], 2)} by the spread and "
            f"{number(auroc['hierarchicality'], 2)} by R (0.5 is blind)."
        )
    return said


def rank_of(figures: Mapping[str, Estimate], estimate: str, name: str) -> tuple[float, float, float] | None:
    """Spearman with its interval."""
    judged = figures[estimate].sets.get(name) if estimate in figures else None
    if judged is None or judged.spearman[0] is None:
        return None
    value, low, high = (np.nan if x is None else x for x in judged.spearman)
    return value, low, high


def ranked(rank: Sequence[float | None]) -> str:
    """With its interval, to three decimals."""
    value, low, high = (None if x is None else round(x, 3) + 0.0 for x in rank)
    return value_with_interval(value, low, high, 2)


def scatter_block(details: Curves, metrics: Estimates, quantities: list[str]) -> Picture:
    estimates = [e for e in ESTIMATES if e in details[quantities[0]]]
    figure = new_figure(10.0, 3.1 * len(quantities))
    grid = figure.subplots(len(quantities), len(estimates), squeeze=False)
    for line, quantity in zip(grid, quantities, strict=True):
        for axes, estimate in zip(line, estimates, strict=True):
            draw_estimate_on(axes, details, metrics, quantity, estimate)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, [text.partition(":")[0] for text in labels], loc="outside lower center", ncols=2)
    return picture(
        settle(figure),
        name="atoms-estimates",
        description="Estimates against errors",
        caption="Each point is a frame (energies) or an atom (forces): the size of its error against what was "
        "estimated, both logarithmic. \u03c1 is Spearman's. The line is the estimate times its scale fitted on "
        "validation frames, where the root mean square error should lie. A good estimate rises along it; a "
        "cloud without slope knows nothing.",
    )


def draw_estimate_on(axes: Axes, details: Curves, metrics: Estimates, quantity: str, estimate: str) -> None:
    words, unit = QUANTITIES[quantity]
    values: list[float] = []
    for name, (set_words, colour) in SETS.items():
        if (figures := details[quantity][estimate].sets.get(name)) is None:
            continue
        x, y = np.asarray(figures.estimate), np.asarray(figures.error)
        kept = (x > 0) & (y > 0)
        rank = rank_of(metrics[quantity], estimate, name)
        label = f"{set_words}: \u03c1 = {number(rank[0], 2)}" if rank else set_words
        axes.scatter(x[kept], y[kept], s=9, color=colour, alpha=0.55, linewidths=0, label=label, rasterized=True)
        values += x[kept].tolist()
    axes.set(xlabel=ESTIMATES[estimate][0] + UNITS[estimate].get(quantity, ""), ylabel=f"{words} [{unit}]")
    if estimate == "last_term":
        axes.set_xlabel("last term |Eⁿ| [eV]")
    if not values:
        return
    scale = metrics[quantity][estimate].scale or np.nan
    factor = scale if quantity == "energy" else scale * 3**0.5  # three components of a force
    reach = np.array([min(values), max(values)])
    logarithmic(axes, "xy")
    limits = axes.get_ylim()
    axes.plot(reach, factor * reach, color=MUTED, linewidth=1.0)
    axes.set_ylim(limits)
    ranks = [f"\u03c1 = {number(r[0], 2)}" for n in SETS if (r := rank_of(metrics[quantity], estimate, n))]
    colours = [SETS[n][1] for n in SETS if rank_of(metrics[quantity], estimate, n)]
    for line, (text, colour) in enumerate(zip(ranks, colours, strict=True)):
        box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 1.0}
        corner = (0.03, 0.95 - 0.09 * line)
        axes.text(*corner, text, color=colour, transform=axes.transAxes, va="top", fontsize=8.5, bbox=box)


def risk_block(details: Curves, metrics: Estimates, quantities: list[str]) -> Picture:
    sets = list(next(iter(details[quantities[0]].values())).sets)
    figure = new_figure(10.0, 2.9 * len(quantities))
    grid = figure.subplots(len(quantities), len(sets), squeeze=False)
    for line, quantity in zip(grid, quantities, strict=True):
        for axes, name in zip(line, sets, strict=True):
            for estimate, (words, colour) in ESTIMATES.items():
                if estimate in details[quantity] and (figures := details[quantity][estimate].sets.get(name)):
                    axes.plot(*_from_share(figures.coverage, figures.risk), color=colour, label=words)
            reference = next(iter(details[quantity].values())).sets[name]
            axes.plot(*_from_share(reference.coverage, reference.oracle_risk), color=INK, linewidth=1.1, label="oracle")
            mean = next(iter(metrics[quantity].values())).sets[name].mean_error
            axes.axhline(mean, color=MUTED, linestyle="--", linewidth=1.0, label="random order")
            axes.set(
                xlabel="coverage",
                ylabel=f"mean error [{QUANTITIES[quantity][1]}]",
                title=f"{quantity}, {SETS[name][0]}",
            )
            axes.set(xlim=(0, 1), ylim=(0, None))
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)
    return picture(
        settle(figure),
        name="atoms-risk",
        description="Risk-coverage curves",
        caption="Mean error of the share of rows that an estimate trusts most; above, energies per atom, below, forces "
        "on atoms. Below the dashed line an estimate helps, the black line is the best possible order. Curves begin "
        f"at a coverage of {SMALLEST_COVERAGE:.0%}: below it they rest on few rows.",
    )


def _from_share(coverage: Sequence[float], risk: Sequence[float]) -> tuple[list[float], list[float]]:
    kept = [pair for pair in zip(coverage, risk, strict=True) if pair[0] >= SMALLEST_COVERAGE]
    return [x for x, _ in kept], [y for _, y in kept]


def calibration_block(details: Curves, metrics: Estimates, quantities: list[str]) -> Picture:
    figure = new_figure(10.0, 3.7)
    for axes, quantity in zip(figure.subplots(1, len(quantities), squeeze=False)[0], quantities, strict=True):
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9)
        for estimate, (words, colour) in ESTIMATES.items():
            for name, style in (("held_out", "-"), ("out_of_distribution", "--")):
                if estimate in details[quantity] and (shown := details[quantity][estimate].sets.get(name)):
                    axes.plot(shown.expected, shown.observed, style, color=colour, label=f"{words}, {SETS[name][0]}")
        axes.set(xlim=(0, 1), ylim=(-0.02, 1.02), aspect="equal", title=QUANTITIES[quantity][0])
        axes.set(xlabel="probability of the interval", ylabel="share of errors inside")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8)
    return picture(
        settle(figure),
        name="atoms-calibration",
        description="Calibration curves",
        caption="With its one scale fitted on validation frames, an estimate is taken as the standard deviation of a "
        "normal error: the share of errors that fall inside the interval of a probability should equal it. Below the "
        "diagonal a model is too sure of itself. One scale can be right on average and wrong where it matters.",
    )


def term_table(terms: Mapping[str, Terms]) -> Table:
    n_terms = max((len(figures.rms_eV) for figures in terms.values()), default=0)
    return Table(
        columns=["set", *(f"rms E{str(n).translate(SUPERSCRIPTS)} [eV]" for n in range(n_terms)), "mean R"],
        rows=[
            [
                SETS.get(name, (name.replace("_", " "),))[0],
                *(number(value) for value in figures.rms_eV),
                number(figures.hierarchicality_mean),
            ]
            for name, figures in terms.items()
        ],
        caption="Size of the terms over atoms. E⁰ depends on the element alone.",
    )
