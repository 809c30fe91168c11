"""Section on the formulas: the found law against the judges, coefficients, Pareto fronts, all equations, controls.

Drawn from reports/metrics/formula.json, reports/formula/laws.csv and reports/formula/fronts.csv.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
from markupsafe import Markup
from numpy.typing import NDArray

from pipeline.impurity.report.law_figures import draw_laws, draw_pareto_fronts
from pipeline.report.drawing import inline_svg
from pipeline.report.formula_text import formula_markup
from pipeline.report.page import Notice, Paragraph, Picture, Section, Table, number, value_with_interval

__all__ = ["LawTable", "coefficient_table", "found_laws", "law_section", "law_words", "read_laws", "read_table"]

FloatArray = NDArray[np.float64]
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
    "library": "library (sparse choice of terms)",
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


def law_section(table: LawTable, metrics: Mapping[str, Any], formula_folder: Path, *, measured_by: str) -> Section:
    results: Sequence[Mapping[str, Any]] = metrics["results"]
    laws = found_laws(metrics)
    found = laws[0] if laws else None
    blocks: list[Picture | Table | Paragraph | Notice] = []
    if found is None:
        blocks.append(Notice(text="No formula was selected for the measured Kondo temperature."))
    for law in laws:
        equation = equation_markup(law, f"found-{law['engine']}", left=True)
        name = ENGINE_WORDS.get(law["engine"], law["engine"])
        blocks.append(Paragraph(text=Markup("<b>Found by {}:</b> {}").format(name, equation)))
    predictions = {"Haldane": table.haldane, "found": table.found, "Haldane + correction": table.haldane_corrected}
    figure = draw_laws(table.measured, table.interaction / table.hybridization, predictions)
    blocks.append(
        Picture(
            svg=inline_svg(figure, name="laws", description="Laws against the measured Kondo temperature"),
            caption=f"{number(int(table.measured.size))} Kondo temperatures measured by {measured_by} as 1/(4χ), "
            "sampled without use of any formula. Right, the ratio of law to measurement.",
        )
    )
    blocks.append(coefficient_table(metrics))
    blocks += _pareto(read_table(formula_folder / "fronts.csv"))
    blocks.append(_equations(results, found))
    blocks += [
        Notice(text=f"No search for target “{target}”: {why}") for target, why in metrics.get("left_out", {}).items()
    ]
    blocks.append(_controls(metrics.get("controls")))
    engine = metrics.get("engine_choice")
    chosen = (
        f" The engine here is {engine['ran']} (asked for: {engine['requested']}; {engine['why']})." if engine else ""
    )
    return Section(
        anchor="spectra-formulas",
        title="Formulas",
        introduction="Symbolic regression looks for log(T_K/Γ) as a formula, from numbers alone. Two laws are the "
        "judges, fixed before the search: Haldane's log T_K = πε_d(ε_d + U)/2UΓ + log √(UΓ/2), and this plus πΓ/2U."
        + chosen,
        blocks=blocks,
    )


def found_laws(metrics: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The selected formula of the measured target in the first encoding by each engine, the chosen engine first."""
    selected = [r for r in metrics["results"] if r["target"] == "nrg" and r["selected"]]
    first = [r for r in selected if r["encoding"] == selected[0]["encoding"]]
    ran = metrics.get("engine_choice", {}).get("ran")
    return sorted(first, key=lambda r: r["engine"] != ran)


def law_words(record: Mapping[str, Any]) -> str:
    """What a found formula is, by the tests that were fixed beforehand."""
    if record["matches"] is not None:
        return LAW_WORDS.get(record["matches"], str(record["matches"]))
    if record.get("has_exponent"):
        return "Haldane's exponent, beside terms that are not those of the judge laws"
    return "a formula that is neither of the two judge laws"


def equation_markup(record: Mapping[str, Any], name: str, *, left: bool = False) -> Markup:
    """The equation in U, Gamma and eps_d."""
    return formula_markup(
        str(record["equation"]),
        name=f"formula-{name}",
        physical=PHYSICAL,
        symbol_latex=SYMBOL_LATEX,
        left=r"\log\dfrac{T_K}{\Gamma} = " if left else "",
    )


def coefficient_table(metrics: Mapping[str, Any]) -> Table:
    """Every term of the fuller law, or the correction alone where only that is recorded."""
    terms = metrics.get("coefficient_test") or {"correction": metrics["correction_resolved"]}
    terms = {term: terms[term] for term in TERM_WORDS if term in terms}
    rows = []
    for term, found in terms.items():
        value, low, high = found["coefficient"], found["low"], found["high"]
        agrees = found.get("contains_expected", low <= found["expected"] <= high)
        resolved = found.get("resolved", low > 0 or high < 0)
        rows.append(
            [
                TERM_WORDS[term],
                value_with_interval(value, low, high, 4),
                value_with_interval(value, found.get("low_scatter"), found.get("high_scatter"), 4),
                number(found["expected"], 4),
                ("resolved" if resolved else "not resolved") + (", agrees" if agrees else ", differs"),
            ]
        )
    n_variants = max((len(found.get("variants", ())) for found in terms.values()), default=0)
    return Table(
        columns=["term", "coefficient found", "scatter only", "expected", "verdict"],
        rows=rows,
        highlighted=frozenset(i for i, term in enumerate(terms) if term == "correction"),
        caption="The measured log(T_K/Γ) fitted with the four terms of the fuller law. The intervals of the first "
        f"column span {number(n_variants) if n_variants else 'all'} variants of the fit, those of the second are "
        "bootstrap intervals of scatter alone. Resolved: zero lies outside, and the fit needs the term.",
    )


def _pareto(fronts: Sequence[Mapping[str, str]]) -> list[Picture | Notice]:
    panels: dict[str, dict[str, tuple[FloatArray, FloatArray]]] = {}
    chosen: dict[str, list[tuple[float, float]]] = {}
    searches = list(dict.fromkeys((row["target"], row["engine"], row["encoding"]) for row in fronts))
    for target, engine, encoding in searches:
        title = PANEL_TITLES.get(target, target)
        own = [row for row in fronts if (row["target"], row["engine"], row["encoding"]) == (target, engine, encoding)]
        points = [(float(row["complexity"]), max(float(row["loss"]), 1e-16)) for row in own]
        panels.setdefault(title, {})[f"{engine}, {encoding}"] = (
            np.array([p[0] for p in points]),
            np.array([p[1] for p in points]),
        )
        chosen.setdefault(title, []).extend(p for p, row in zip(points, own, strict=True) if row["selected"] == "1")
    if not panels:
        return [Notice(text="reports/formula/fronts.csv has no rows: the Pareto fronts are missing.")]
    return [
        Picture(
            svg=inline_svg(draw_pareto_fronts(panels, chosen), name="pareto", description="Pareto fronts of formulas"),
            caption="Pareto fronts: the error that a formula of given complexity leaves. Circled: what the fixed "
            "rule selects.",
        )
    ]


def _equations(results: Sequence[Mapping[str, Any]], found: Mapping[str, Any] | None) -> Table:
    rows: list[list[str | Markup]] = []
    for record in results:
        remark = ", up to a monotone map" if record.get("link") == "monotone" else ""
        remark += "" if record["selected"] else " (not selected)"
        rows.append(
            [
                TARGET_WORDS.get(record["target"], record["target"]) + remark,
                f"{record['engine']}, {record['encoding']}",
                number(record["complexity"]),
                number(record["r2_test"], 5),
                number(record["r2_extrapolation"], 5),
                _match(record),
                "yes" if record["equivalent_srbench"] else "no",
                number(record["seed_stability"], 2),
            ]
        )
    return Table(
        columns=["target", "engine, inputs", "nodes", "R² test", "R² extrapolated", "match", "SRBench", "seeds"],
        rows=rows,
        details=[equation_markup(record, f"{i}") for i, record in enumerate(results)],
        highlighted=frozenset(i for i, record in enumerate(results) if record is found),
        caption="What the fixed rule selects from every search, the found law highlighted; not selected, but shown: "
        "members of a front that have the terms of a judge law. Extrapolated: to the deepest Kondo regime, held out. "
        "Match: a judge law, by its terms and their ratios, or only Haldane's exponent. SRBench: equal to a judge "
        "law up to one constant after rounding. Seeds: share of runs that pick the same terms.",
    )


def _match(record: Mapping[str, Any]) -> str:
    return law_words(record) if record["matches"] else "exponent" if record.get("has_exponent") else "no"


def _controls(controls: Any) -> Table | Notice:  # noqa: ANN401 - JSON
    if not controls:
        return Notice(text="No controls are recorded in reports/metrics/formula.json.")
    return Table(
        columns=["control", "engine", "expected", "found", "passed"],
        rows=[
            [
                *(
                    str(c[key]).replace("_", " ").replace("None", "none")
                    for key in ("control", "engine", "expected", "found")
                ),
                _passed(c["passed"]),
            ]
            for c in controls
        ],
        caption="The same search and rules where the answer is known: shuffled targets, rival laws, useless inputs.",
    )


def _passed(passed: bool) -> str:
    return "✓" if passed else "✗ no"
