"""Searches as records for JSON: what was found, with everything that judges it. The same for every lane."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from models.laws.discovery import Discovery, Finding, Problem
from models.laws.intervals import Interval
from models.laws.linked_discovery import LinkedFinding

__all__ = ["linked_record", "search_records"]


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
