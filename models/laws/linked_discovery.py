"""A search for a latent known only up to a monotone map: `models.laws.monotone_link`, judged by the same rules.

The affine test applies to h(z); with h free the coefficient ratios carry the spline's bias, some 10 to 20 percent,
which is why no match is claimed unless all bootstrap intervals (link refitted each time) stay within the tolerance
and h is monotone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from models.laws.canonical import Equation, additive_terms, term_columns
from models.laws.discovery import Problem, Rules
from models.laws.engines.library import LibraryEngine
from models.laws.equivalence import AffineMatch, has_part, ratio_match, same_terms
from models.laws.intervals import Interval, interval_of
from models.laws.monotone_link import LinkedEquation, bootstrap_linked, linked_front
from models.laws.selection import best_index

__all__ = ["LinkedFinding", "discover_linked"]

MONOTONE = 0.95


@dataclass(frozen=True, kw_only=True)
class LinkedFinding:
    """R2 are squared correlations of h(z) and the equation, scale and offset of h being free."""

    equation: Equation
    front: list[Equation]
    link_monotone: float
    r2_test: float
    r2_extrapolation: float
    matches: str | None
    has_exponent: bool
    affine: Mapping[str, AffineMatch]
    coefficients: Mapping[str, Interval]
    seed_stability: float


def discover_linked(problem: Problem, library: LibraryEngine, rules: Rules, *, n_spline: int) -> LinkedFinding:
    """Best equation of h(values); stability over n_seeds fits, all but the first on bootstrap resamples."""
    inputs, values = problem.inputs[problem.train], problem.values[problem.train]
    members, chosen = select(inputs, values, problem, library, n_spline)
    same = 1
    for run in range(1, rules.n_seeds):
        rows = np.random.default_rng([rules.seed, run]).integers(len(values), size=len(values))
        other = select(inputs[rows], values[rows], problem, library, n_spline)[1]
        same += set(other.equation.terms) == set(chosen.equation.terms)
    samples = bootstrap_linked(chosen, inputs, values, min(rules.n_bootstrap, 200), rules.seed)
    spreads = term_columns(chosen.equation, inputs).std(axis=0)
    terms, affine = list(chosen.equation.terms), {}
    for law, text in problem.laws.items():
        if same_terms(chosen.equation, text):
            expected = additive_terms(text, chosen.equation.symbols)[1]
            match = ratio_match(terms, samples, expected, spreads, rules.tolerance, rules.confidence)
            affine[law] = replace(match, matches=match.matches and chosen.link.monotone >= MONOTONE)
    coefficients = {term: interval_of(samples[:, i], rules.confidence) for i, term in enumerate(terms)}
    return LinkedFinding(
        equation=chosen.equation,
        front=[member.equation for member in members],
        link_monotone=chosen.link.monotone,
        r2_test=shared_variance(chosen, problem, problem.test),
        r2_extrapolation=shared_variance(chosen, problem, problem.extrapolation),
        matches=next((law for law, match in affine.items() if match.matches), None),
        affine=affine,
        has_exponent=problem.exponent is not None
        and has_part(chosen.equation, problem.exponent, coefficients, rules.tolerance, free_scale=True),
        coefficients=coefficients,
        seed_stability=same / rules.n_seeds,
    )


def select(
    inputs: np.ndarray, values: np.ndarray, problem: Problem, library: LibraryEngine, n_spline: int
) -> tuple[list[LinkedEquation], LinkedEquation]:
    members = linked_front(inputs, values, problem.names, library=library, n_spline=n_spline)
    return members, members[best_index([member.equation for member in members])]


def shared_variance(member: LinkedEquation, problem: Problem, rows: np.ndarray) -> float:
    """Squared correlation of h(z) and the equation on `rows`; 0 where one of them is constant or not finite."""
    linked, predicted = member.link(problem.values[rows]), member.equation.predict(problem.inputs[rows])
    if not np.isfinite(predicted).all() or linked.std() == 0.0 or predicted.std() == 0.0:
        return 0.0
    return float(np.corrcoef(linked, predicted)[0, 1] ** 2)
