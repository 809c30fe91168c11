"""Searches for formulas, the same for every run that ends in one: their settings, and what they found as JSON."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveInt

from models.laws.discovery import Discovery, Finding, Problem, Rules
from models.laws.intervals import Interval
from models.laws.monotone_link import LinkedFinding
from models.laws.symbolic_engine import SYMBOLIC_ENGINES, EngineChoice, choose_engine
from models.settings import settings

__all__ = ["SearchSettings", "linked_record", "search_records"]

Share = Annotated[float, Field(gt=0, lt=1)]


@settings
class SearchSettings:
    """Engines with their budgets, and what decides; everything stands here before a search begins."""

    engine: str  # auto: the first of `engines` that is ready; or the name of one of them
    engines: Annotated[dict[str, Any], SYMBOLIC_ENGINES.by_name]
    seed: NonNegativeInt
    n_seeds: PositiveInt  # runs per search; 5 for a claim of stability
    max_rows: Annotated[int, Field(ge=20)]  # training rows that an engine sees
    test_fraction: Share
    extrapolation_fraction: Share  # rows of the largest values of one quantity, kept from training
    confidence: Annotated[float, Field(ge=0.5, lt=1)]
    n_bootstrap: Annotated[int, Field(ge=20)]

    def __post_init__(self) -> None:
        problems, names = [], ["auto", *self.engines]
        if self.engine not in names:
            problems.append(f"engine: found {self.engine!r}, expected one of {names}, or another one in `engines`")
        if (held_out := self.test_fraction + self.extrapolation_fraction) > 0.7:
            problems.append(
                f"the two fractions: found a sum of {held_out:g}, expected at most 0.7, which leaves rows to train on"
            )
        if problems:
            raise ValueError("; ".join(problems))

    def choose_engine(self) -> EngineChoice:
        """Raises EngineError where the named engine, or with `auto` every engine, cannot run."""
        return choose_engine(self.engine, list(self.engines.values()))

    @property
    def rules(self) -> Rules:
        """Without reference laws the tolerance of coefficient ratios is never used."""
        return Rules(
            tolerance=0.0,
            confidence=self.confidence,
            n_bootstrap=self.n_bootstrap,
            n_seeds=self.n_seeds,
            max_rows=self.max_rows,
            seed=self.seed,
        )


def search_records(problem: Problem, discovery: Discovery) -> list[dict[str, Any]]:
    """The selected equation, then front members that have the terms of a reference law."""
    selected = finding_record(problem, discovery.engine, discovery.selected, selected=True)
    selected["seed_stability"] = discovery.seed_stability
    selected["stability_by"] = discovery.stability_by
    members = [finding_record(problem, discovery.engine, member, selected=False) for member in discovery.law_members]
    return [selected, *members]


def finding_record(
    problem: Problem, engine: str, finding: Finding, *, selected: bool, link: str = "identity"
) -> dict[str, Any]:
    return {
        "target": problem.target,
        "engine": engine,
        "encoding": problem.encoding,
        "link": link,
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


def linked_record(problem: Problem, linked: LinkedFinding) -> dict[str, Any]:
    record = finding_record(problem, "library", linked.finding, selected=True, link="monotone")
    return record | {
        "seed_stability": linked.seed_stability,
        "stability_by": "bootstrap",
        "link_monotone": linked.link_monotone,
    }


def interval_records(intervals: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    return {term: asdict(interval) for term, interval in intervals.items()}
