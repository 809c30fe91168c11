"""Section on the formulas: the found law against the judges, coefficients, Pareto fronts, all equations, controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
import xarray as xr
from markupsafe import Markup
from numpy.typing import NDArray

from models.laws.kondo_law import LAWS, encode, law_log_ratio
from models.laws.selection import evaluate, input_symbols, parse_equation, read_hall_of_fame
from pipeline.report_pages.drawing import formula_svg, inline_svg
from pipeline.report_pages.law_figures import draw_laws, draw_pareto_fronts
from pipeline.report_pages.page import Notice, Paragraph, Picture, Section, Table, number, value_with_interval

__all__ = ["KondoTable", "found_law", "law_predictions", "law_section", "law_words", "read_kondo_temperatures"]

FloatArray = NDArray[np.float64]
LAW_WORDS = {"haldane": "Haldane's law", "haldane_corrected": "Haldane's law with the correction πΓ/2U"}
TARGET_WORDS = {"nrg": "log(T_K/Γ) measured by NRG", "latent": "learned latent"}
U, GAMMA, LEVEL = sp.symbols("U Gamma epsilon_d")
PHYSICAL = {"u": U / GAMMA, "x": LEVEL / U, "log_Gamma": sp.log(GAMMA), "U": U, "Gamma": GAMMA, "epsilon_d": LEVEL}
SYMBOL_LATEX = {LEVEL: r"\varepsilon_d", GAMMA: r"\Gamma"}


@dataclass(frozen=True, kw_only=True)
class KondoTable:
    """The measured rows of data/kondo_temperatures.zarr, energies in D."""

    interaction: FloatArray  # (n_rows,)
    level: FloatArray
    hybridization: FloatArray
    kondo_temperature: FloatArray


def read_kondo_temperatures(store: xr.Dataset) -> KondoTable:
    measured = np.flatnonzero(store["status"].values == 0)
    names = ("interaction", "level", "hybridization", "kondo_temperature")
    return KondoTable(**{name: store[name].values[measured] for name in names})


def law_section(table: KondoTable, metrics: Mapping[str, Any], formula_folder: Path) -> Section:
    results: Sequence[Mapping[str, Any]] = metrics["results"]
    found = found_law(results)
    blocks: list[Picture | Table | Paragraph | Notice] = []
    if found is None:
        blocks.append(Notice(text="No formula was selected for the Kondo temperature measured by NRG."))
    else:
        blocks.append(Paragraph(text=Markup("<b>Found:</b> {}").format(equation_markup(found, "found", left=True))))
    predictions = law_predictions(table, found)
    figure = draw_laws(np.log(table.kondo_temperature), table.interaction / table.hybridization, predictions)
    blocks.append(
        Picture(
            svg=inline_svg(figure, name="laws", description="Laws against the measured Kondo temperature"),
            caption=f"{number(int(table.interaction.size))} Kondo temperatures measured by NRG as 1/(4χ), sampled "
            "without use of any formula. Right, the ratio of law to measurement: what Haldane's law misses shrinks as "
            "the correction πΓ/2U does.",
        )
    )
    blocks.append(_correction(metrics["correction_resolved"]))
    blocks += _pareto(results, formula_folder)
    blocks.append(_equations(results))
    blocks.append(_controls(metrics.get("controls")))
    return Section(
        anchor="spectra-formulas",
        title="Formulas",
        introduction="Symbolic regression looks for log(T_K/Γ) as a formula, from numbers alone. Two laws are the "
        "judges, fixed before the search: Haldane's log T_K = πε_d(ε_d + U)/2UΓ + log √(UΓ/2), and this plus πΓ/2U.",
        blocks=blocks,
    )


def found_law(results: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The selected formula of the NRG target that extrapolates best; dimensionless inputs before raw ones."""
    chosen = [r for r in results if r["target"] == "nrg" and r["selected"]]
    return max(chosen, key=lambda r: (r["encoding"] != "raw", _finite(r["r2_extrapolation"])), default=None)


def _finite(value: float | None) -> float:
    return -np.inf if value is None or not np.isfinite(value) else float(value)


def law_words(matches: str | None) -> str:
    return LAW_WORDS.get(str(matches), "neither of the two judge laws" if matches is None else str(matches))


def law_predictions(table: KondoTable, found: Mapping[str, Any] | None) -> dict[str, FloatArray]:
    """log(T_K/D) (n_rows,) by Haldane's law and by the found one."""
    energies = (table.interaction, table.level, table.hybridization)
    predictions = {"Haldane": law_log_ratio(LAWS[0], *energies) + np.log(table.hybridization)}
    if found is not None:
        names, inputs, _ = encode(str(found["encoding"]), "nrg", *energies)
        symbols = input_symbols(inputs, names)
        values = evaluate(parse_equation(str(found["equation"]), symbols), inputs, symbols)
        predictions["found law"] = values + np.log(table.hybridization)
    return predictions


def equation_markup(record: Mapping[str, Any], name: str, *, left: bool = False) -> Markup:
    """The equation in U, Gamma and eps_d, drawn as a formula; as plain text where it cannot be."""
    text = str(record["equation"])
    try:
        expression = sp.sympify(text, locals=PHYSICAL)
        rounded = expression.xreplace({f: sp.Float(f, 4) for f in expression.atoms(sp.Float)})
        latex = sp.latex(rounded, symbol_names=SYMBOL_LATEX)
        return formula_svg((r"\log\frac{T_K}{\Gamma} = " if left else "") + latex, name=f"formula-{name}")
    except (sp.SympifyError, ValueError, TypeError, AttributeError):
        return Markup("<code>{}</code>").format(text)


def _correction(found: Mapping[str, Any]) -> Table:
    value, low, high, expected = (found.get(key) for key in ("coefficient", "low", "high", "expected"))
    resolved = None not in (low, high) and (float(low) > 0 or float(high) < 0)  # type: ignore[arg-type]
    agrees = None not in (low, high, expected) and float(low) <= float(expected) <= float(high)  # type: ignore[arg-type]
    verdict = "resolved" if found.get("resolved", resolved) else "not resolved"
    return Table(
        columns=["term", "coefficient found", "expected", "verdict"],
        rows=[
            [
                "Γ/U, the correction to Haldane's law",
                value_with_interval(value, low, high, 4),
                number(expected, 4),
                f"{verdict}; {'agrees with' if agrees else 'differs from'} the expected value",
            ]
        ],
        caption="Coefficient of the correction in a fit of the measured log(T_K/Γ), with its interval.",
    )


def _pareto(results: Sequence[Mapping[str, Any]], folder: Path) -> list[Picture | Notice]:
    panels: dict[str, dict[str, tuple[FloatArray, FloatArray]]] = {}
    chosen: dict[str, list[tuple[float, float]]] = {}
    for path in sorted(folder.rglob("hall_of_fame.csv")):
        parts = path.parent.relative_to(folder).parts
        title = next((TARGET_WORDS[p] for p in parts if p in TARGET_WORDS), parts[0] if parts else "formulas")
        label = ", ".join(p for p in parts if p not in TARGET_WORDS) or "front"
        rows = read_hall_of_fame(path)
        front = (np.array([float(c.complexity) for c in rows]), np.array([max(c.loss, 1e-16) for c in rows]))
        panels.setdefault(title, {})[label] = front
        for candidate in rows:
            if any(r["selected"] and r["equation"] == candidate.equation for r in results):
                chosen.setdefault(title, []).append((float(candidate.complexity), max(candidate.loss, 1e-16)))
    if not panels:
        return [
            Notice(
                text=f"No hall_of_fame.csv below {folder.name}: the Pareto fronts are missing; run `dvc repro formula`."
            )
        ]
    return [
        Picture(
            svg=inline_svg(draw_pareto_fronts(panels, chosen), name="pareto", description="Pareto fronts of formulas"),
            caption="Pareto fronts: the error that a formula of given complexity leaves. Circled: what the fixed rule "
            "selects.",
        )
    ]


def _equations(results: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[str | Markup]] = []
    for i, record in enumerate(results):
        rows.append(
            [
                TARGET_WORDS.get(record["target"], record["target"]),
                f"{record['engine']}, {record['encoding']}",
                equation_markup(record, f"{i}"),
                number(record["complexity"]),
                number(record["r2_test"], 5),
                number(record["r2_extrapolation"], 5),
                law_words(record["matches"]) if record["matches"] else "no",
                "yes" if record["equivalent_srbench"] else "no",
                number(record["seed_stability"], 2),
            ]
        )
    return Table(
        columns=["target", "engine, inputs", "formula", "nodes", "R² test", "R² beyond", "match", "SRBench", "seeds"],
        rows=rows,
        highlighted=frozenset(i for i, record in enumerate(results) if record["selected"]),
        caption="All reported formulas, the selected ones highlighted. Beyond: the deepest Kondo regime, held out. "
        "Match: the terms of a judge law, in its ratios. SRBench: equal to a judge law up to one constant after "
        "rounding. Seeds: share of runs that pick the same terms.",
    )


def _controls(controls: Any) -> Table | Notice:  # noqa: ANN401 - JSON
    if not controls:
        return Notice(text="No controls are recorded in reports/metrics/formula.json.")
    return Table(
        columns=["control", "engine", "expected", "found", "passed"],
        rows=[
            [*(str(c[key]) for key in ("control", "engine", "expected", "found")), "✓" if c["passed"] else "✗ no"]
            for c in controls
        ],
        caption="The same search where the answer is known: shuffled targets, rival laws, useless inputs.",
    )
