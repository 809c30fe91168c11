"""What the formula stage writes to its metrics and details: searches, coefficient test and controls."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from models.laws.controls import ControlResult
from models.laws.discovery import Discovery, Finding, Problem
from models.laws.engine_choice import EngineChoice
from models.laws.intervals import Interval
from models.laws.kondo_law import CoefficientTest
from models.laws.linked_discovery import LinkedFinding
from pipeline.formula_params import FormulaParams
from pipeline.formula_targets import Impurities

__all__ = ["METRIC_KEYS", "metrics_record", "plain"]

METRIC_KEYS = ("results", "correction_resolved", "controls_passed", "controls_run")  # the rest are details


def metrics_record(
    params: FormulaParams,
    choice: EngineChoice,
    targets: dict[str, Impurities],
    left_out: dict[str, str],
    searches: list[tuple[Problem, Discovery]],
    linked: list[tuple[Problem, LinkedFinding]],
    test: dict[str, CoefficientTest],
    controls: list[ControlResult],
) -> dict[str, Any]:
    results = [record for problem, found in searches for record in search_records(problem, found)]
    results += [linked_record(problem, free) for problem, free in linked]
    correction = {key: value for key, value in test["correction"].record().items() if key != "variants"}
    return {
        "results": results,
        "correction_resolved": correction,
        "coefficient_test": {term: outcome.record() for term, outcome in test.items()},
        "controls": [asdict(control) for control in controls],
        "controls_passed": sum(control.passed for control in controls),
        "controls_run": len(controls),
        "engine_choice": {"requested": choice.requested, "ran": choice.ran, "why": choice.why},
        "rules": {
            "selection": "highest score = -d log(loss) / d complexity among equations with loss <= 1.5 min(loss)",
            "tolerance": params.tolerance,
            "confidence": params.confidence,
            "intervals": "bootstrap of rows, the terms being given; coefficient_test adds variants of the fit",
            "library": "a strong prior: its terms span both judge laws",
        },
        "targets": {name: {"origin": rows.origin, "n_rows": len(rows.value)} for name, rows in targets.items()},
        "left_out": left_out,
    }


def search_records(problem: Problem, found: Discovery) -> list[dict[str, Any]]:
    """The selected equation, then front members that have the terms of a judge law."""
    selected = finding_record(problem, found.engine, found.selected, selected=True)
    selected["seed_stability"] = found.seed_stability
    selected["stability_by"] = found.stability_by
    members = [finding_record(problem, found.engine, member, selected=False) for member in found.law_members]
    return [selected, *members]


def finding_record(problem: Problem, engine: str, finding: Finding, *, selected: bool) -> dict[str, Any]:
    return {
        "target": problem.target,
        "engine": engine,
        "encoding": problem.encoding,
        "link": "identity",
        "equation": finding.equation.text,
        "latex": finding.equation.latex,
        "complexity": finding.equation.complexity,
        "loss": finding.equation.loss,
        "r2_test": finding.r2_test,
        "r2_extrapolation": finding.r2_extrapolation,
        "equivalent_srbench": finding.equivalent_srbench,
        "matches": finding.matches,
        "has_exponent": finding.has_exponent,
        "ratios": {law: interval_records(match.ratios) for law, match in finding.affine.items() if match.same_terms},
        "coefficients": interval_records(finding.coefficients),
        "seed_stability": None,
        "selected": selected,
    }


def linked_record(problem: Problem, free: LinkedFinding) -> dict[str, Any]:
    return {
        "target": problem.target,
        "engine": "library",
        "encoding": problem.encoding,
        "link": "monotone",
        "equation": free.equation.text,
        "latex": free.equation.latex,
        "complexity": free.equation.complexity,
        "loss": free.equation.loss,
        "r2_test": free.r2_test,
        "r2_extrapolation": free.r2_extrapolation,
        "equivalent_srbench": False,
        "matches": free.matches,
        "has_exponent": free.has_exponent,
        "ratios": {law: interval_records(match.ratios) for law, match in free.affine.items() if match.same_terms},
        "coefficients": interval_records(free.coefficients),
        "seed_stability": free.seed_stability,
        "stability_by": "bootstrap",
        "link_monotone": free.link_monotone,
        "selected": True,
    }


def interval_records(intervals: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    return {term: asdict(interval) for term, interval in intervals.items()}


def plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    """JSON without NaN or infinity, floats at ten digits, so that the same run writes the same bytes."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.10g}") if np.isfinite(value) else None
    return value
