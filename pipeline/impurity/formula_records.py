"""What the formula stage writes to its metrics and details: searches, coefficient test and controls."""

from dataclasses import asdict
from typing import Any

from models.laws.controls import ControlResult
from models.laws.discovery import Discovery, Problem
from models.laws.engine_choice import EngineChoice
from models.laws.kondo_law import CoefficientTest
from models.laws.linked_discovery import LinkedFinding
from pipeline.discover.search_records import linked_record, search_records
from pipeline.impurity.formula_params import FormulaParams
from pipeline.impurity.formula_targets import Impurities

__all__ = ["METRIC_KEYS", "metrics_record"]

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
