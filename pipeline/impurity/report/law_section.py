"""Section on the formulas: the found law against the references, coefficients, Pareto fronts, equations, controls."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sympy as sp
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from pipeline.discover.records import Formula
from pipeline.impurity.records import Coefficient, Control, FormulaDetails, FormulaMetrics, GeneralVerdict
from pipeline.report.drawing import CYCLE, MUTED, formula_markup, new_figure
from pipeline.report.page import (
    Block,
    Notice,
    Paragraph,
    Picture,
    Section,
    Table,
    number,
    picture,
    value_with_interval,
)

__all__ = [
    "LawTable",
    "Rows",
    "coefficient_table",
    "draw_law_on",
    "general_words",
    "law_section",
    "law_words",
    "read_laws",
    "read_table",
    "selected_laws",
]

FloatArray = NDArray[np.float64]
Rows = Sequence[Mapping[str, str]]  # of a CSV file
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LOG10_E = float(np.log10(np.e))
LAW_WORDS = {"haldane": "Haldane's law", "haldane_corrected": "Haldane's law with the correction πΓ/2U"}
TARGET_WORDS = {"nrg": "log(T_K/Γ), measured", "latent": "learned latent"}
PANEL_TITLES = {"nrg": "log(T$_K$/Γ), measured", "latent": "learned latent"}
TERM_WORDS = {
    "exponent": "ε_d(ε_d + U)/UΓ, the exponent",
    "prefactor": "log(U/Γ), from the prefactor √(UΓ/2)",
    "constant": "constant, from the same prefactor",
    "correction": "Γ/U, the correction to Haldane's law",
}
ENGINE_WORDS = {
    "operon": "operon (genetic programming)",
    "library": "library (sparse choice among given terms)",
    "pysr": "PySR (genetic programming)",
}
U, GAMMA, LEVEL = sp.symbols("U Gamma epsilon_d")
PHYSICAL = {"u": U / GAMMA, "x": LEVEL / U, "log_Gamma": sp.log(GAMMA), "U": U, "Gamma": GAMMA, "epsilon_d": LEVEL}
SYMBOL_LATEX = {LEVEL: r"\varepsilon_d", GAMMA: r"\Gamma"}


@dataclass(frozen=True, kw_only=True)
class LawTable:
    """reports/formula/laws.csv: energies in D, and log(T_K/D) measured and by each law, all (n_rows,)."""

    interaction: FloatArray
    hybridization: FloatArray
    measured: FloatArray
    found: FloatArray
    haldane: FloatArray
    haldane_corrected: FloatArray


def read_laws(path: Path) -> LawTable:
    rows = read_table(path)
    return LawTable(**{name: np.array([float(row[name]) for row in rows]) for name in LawTable.__dataclass_fields__})


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def law_section(
    table: LawTable, metrics: FormulaMetrics, details: FormulaDetails, fronts: Rows, *, measured_by: str
) -> Section:
    laws = selected_laws(metrics.results, details.engine_choice.ran)
    selected = laws[0] if laws else None
    blocks: list[Block] = []
    if selected is None:
        blocks.append(Notice(text="No formula was selected for the measured Kondo temperature."))
    for law in laws:
        equation = equation_markup(law, f"found-{law.engine}", left=True)
        name = ENGINE_WORDS.get(law.engine, law.engine)
        blocks.append(Paragraph(text=Markup("<b>Found by {}:</b> {}").format(name, equation)))
    predictions = {"Haldane": table.haldane, "found": table.found, "Haldane + correction": table.haldane_corrected}
    figure = draw_laws(table.measured, table.interaction / table.hybridization, predictions)
    blocks.append(
        picture(
            figure,
            name="laws",
            description="Laws against the measured Kondo temperature",
            caption=f"{number(int(table.measured.size))} Kondo temperatures measured by {measured_by} as 1/(4χ), "
            "sampled without use of any formula. Right, the ratio of law to measurement.",
        )
    )
    if metrics.general:
        blocks.append(_general(metrics.general))
    blocks += [coefficient_table(details.coefficient_test), _pareto(fronts), _equations(metrics.results, selected)]
    blocks += [Notice(text=f"No search for target “{target}”: {why}") for target, why in details.left_out.items()]
    blocks.append(_controls(details.controls))
    engine = details.engine_choice
    return Section(
        anchor="spectra-formulas",
        title="Formulas",
        introduction="Symbolic regression looks for log(T_K/Γ) as a formula, from numbers alone. Two laws are "
        "references, fixed before the search: Haldane's log T_K = πε_d(ε_d + U)/2UΓ + log √(UΓ/2), and this plus "
        f"πΓ/2U. The engine here is {engine.ran} (asked for: {engine.requested}; {engine.why}).",
        blocks=blocks,
    )


def _general(verdicts: Sequence[GeneralVerdict]) -> Table:
    """What the engine finds for T_K/D in stages, judged by the expansion of its formula."""
    parts = {
        "exponent": "exponent",
        "√(UΓ)": "prefactor",
        "constant": "constant_agrees",
        "Γ/U resolved": "correction_resolved",
        "and agrees": "correction_agrees",
    }
    rows = [
        [
            f"{ENGINE_WORDS.get(verdict.engine, verdict.engine)}; {verdict.encoding}",
            verdict.equation or (verdict.problem or "found nothing"),
            number(verdict.n_rows),
            *("yes" if getattr(verdict, field) else "no" for field in parts.values()),
        ]
        for verdict in verdicts
    ]
    return Table(
        columns=["engine; inputs", "log(T_K/D)", "Hamiltonians", *parts],
        rows=rows,
        caption="The law of T_K/D by the engine alone: energies and their units in, no terms of any law; searched in "
        "stages. Judged by the expansion of the formula at large U/Γ, at five asymmetries: whether the bootstrap "
        "interval of each coefficient lies within 2 % (exponent) or 10 % (powers) of theory, or holds it (constant, "
        "Γ/U).",
    )


def general_words(verdict: GeneralVerdict) -> str:
    """Which parts of the reference law the expansion of its formula has; in ASCII, for the README too."""
    parts = {
        "Haldane's exponent": verdict.exponent,
        "the prefactor sqrt(U Gamma)": verdict.prefactor,
        "its constant": verdict.constant_agrees,
        "a term Gamma/U that agrees with the Bethe ansatz": verdict.correction_agrees,
    }
    held = [words for words, holds in parts.items() if holds]
    missed = [words for words, holds in parts.items() if not holds]
    return "; ".join([f"finds {', '.join(held)}"] * bool(held) + [f"does not find {', '.join(missed)}"] * bool(missed))


def selected_laws(results: Sequence[Formula], ran: str) -> list[Formula]:
    """The selected formula of the measured target in the first encoding by each engine, the engine that ran first."""
    selected = [r for r in results if r.target == "nrg" and r.selected]
    first = [r for r in selected if r.encoding == selected[0].encoding]
    return sorted(first, key=lambda r: r.engine != ran)


def law_words(formula: Formula) -> str:
    """What a formula is, by the tests that were fixed beforehand."""
    if formula.matches is not None:
        return LAW_WORDS.get(formula.matches, formula.matches)
    if formula.has_exponent:
        return "Haldane's exponent, beside terms that are not those of the reference laws"
    return "a formula that is neither of the two reference laws"


def equation_markup(formula: Formula, name: str, *, left: bool = False) -> Markup:
    """The equation in U, Gamma and eps_d."""
    return formula_markup(
        formula.equation,
        name=f"formula-{name}",
        physical=PHYSICAL,
        symbol_latex=SYMBOL_LATEX,
        left=r"\log\dfrac{T_K}{\Gamma} = " if left else "",
    )


def coefficient_table(test: Mapping[str, Coefficient]) -> Table:
    """Every term of the fuller law."""
    terms = {term: test[term] for term in TERM_WORDS if term in test}
    n_variants = max((len(entry.variants or ()) for entry in terms.values()), default=0)
    return Table(
        columns=["term", "fitted coefficient", "scatter only", "expected", "verdict"],
        rows=[
            [
                TERM_WORDS[term],
                value_with_interval(entry.coefficient, entry.low, entry.high, 4),
                value_with_interval(entry.coefficient, entry.low_scatter, entry.high_scatter, 4),
                number(entry.expected, 4),
                ("resolved" if entry.resolved else "not resolved")
                + (", agrees" if entry.contains_expected else ", differs"),
            ]
            for term, entry in terms.items()
        ],
        highlighted=frozenset(i for i, term in enumerate(terms) if term == "correction"),
        caption="A fit, not a search: the coefficients of the four terms of the fuller law, fitted to the measured "
        f"log(T_K/Γ). The intervals of the first column span {number(n_variants)} variants of the fit, those of the "
        "second are bootstrap intervals of scatter alone. Resolved: zero lies outside, and the fit needs the term.",
    )


def _pareto(fronts: Rows) -> Picture | Notice:
    panels: dict[str, dict[str, tuple[FloatArray, FloatArray]]] = {}
    chosen: dict[str, list[tuple[float, float]]] = {}
    searches = list(dict.fromkeys((row["target"], row["engine"], row["encoding"]) for row in fronts))
    for target, engine, encoding in searches:
        title = PANEL_TITLES.get(target, target)
        entry = [row for row in fronts if (row["target"], row["engine"], row["encoding"]) == (target, engine, encoding)]
        points = [(float(row["complexity"]), max(float(row["loss"]), 1e-16)) for row in entry]
        panels.setdefault(title, {})[f"{engine}, {encoding}"] = (
            np.array([p[0] for p in points]),
            np.array([p[1] for p in points]),
        )
        chosen.setdefault(title, []).extend(p for p, row in zip(points, entry, strict=True) if row["selected"] == "1")
    if not panels:
        return Notice(text="reports/formula/fronts.csv has no rows: the Pareto fronts are missing.")
    return picture(
        draw_pareto_fronts(panels, chosen),
        name="pareto",
        description="Pareto fronts of formulas",
        caption="Pareto fronts: the error that a formula of given complexity leaves. Circled: what the fixed "
        "rule selects.",
    )


def _equations(results: Sequence[Formula], selected: Formula | None) -> Table:
    rows: list[list[str | Markup]] = []
    for record in results:
        remark = ", up to a monotone map" if record.link == "monotone" else ""
        remark += "" if record.selected else " (not selected)"
        rows.append(
            [
                TARGET_WORDS.get(record.target, record.target) + remark,
                f"{record.engine}, {record.encoding}",
                number(record.complexity),
                number(record.r2_test, 5),
                number(record.r2_extrapolation, 5),
                law_words(record) if record.matches else "exponent" if record.has_exponent else "no",
                "yes" if record.equivalent_srbench else "no",
                number(record.seed_stability, 2),
            ]
        )
    return Table(
        columns=["target", "engine, inputs", "nodes", "R² test", "R² extrapolated", "match", "SRBench", "seeds"],
        rows=rows,
        details=[equation_markup(record, f"{i}") for i, record in enumerate(results)],
        highlighted=frozenset(i for i, record in enumerate(results) if record is selected),
        caption="What the fixed rule selects from every search, the found law highlighted; not selected, but shown: "
        "members of a front that have the terms of a reference law. Extrapolated: to the deepest Kondo regime, held "
        "out. Match: a reference law, by its terms and their ratios, or only Haldane's exponent. SRBench: equal to a "
        "reference law up to one constant after rounding. Seeds: share of runs that pick the same terms.",
    )


def _controls(controls: Sequence[Control]) -> Table | Notice:
    if not controls:
        return Notice(text="No controls are recorded in reports/details/formula.json.")
    return Table(
        columns=["control", "engine", "expected", "found", "passed"],
        rows=[
            [
                *(str(value).replace("_", " ").replace("None", "none") for _, value in list(c)[:-1]),
                "✓" if c.passed else "✗ no",
            ]
            for c in controls
        ],
        caption="The same search and rules where the answer is known: shuffled targets, rival laws, useless inputs.",
    )


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
