"""One search: split the rows, run an engine over several seeds, select by rule, compare with the reference laws.

Rows: the largest values of one quantity (U/Gamma, the deepest Kondo regime) are held out as extrapolation box; of the
rest a random part is the test set; engines see only the training rows, at most max_rows of them. The fronts of all
seeds are brought to canonical form and merged, and the rule of `models.laws.selection.best_index` picks. Seed
stability: the share of single runs whose own pick has the same set of terms. An engine that does not depend on its
seed is rerun on bootstrap resamples of the training rows instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.laws.canonical import Equation, term_columns
from models.laws.equivalence import AffineMatch, affine_match, first_match, has_part, same_terms, srbench_equivalent
from models.laws.intervals import Interval, bootstrap_coefficients, interval_of, r_squared
from models.laws.selection import best_index, canonical_front
from models.laws.symbolic_engine import FloatArray, FrontResult, SymbolicEngine

__all__ = ["Discovery", "Finding", "Problem", "Rules", "coefficient_intervals", "discover", "score", "split_rows"]

IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What decides, fixed before the search."""

    tolerance: float
    confidence: float
    n_bootstrap: int
    n_seeds: int
    max_rows: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Problem:
    """inputs (n_samples, n_inputs), values (n_samples,); `laws` maps the name of a reference law to its equation."""

    target: str
    encoding: str
    names: tuple[str, ...]
    inputs: FloatArray
    units: tuple[int, ...]
    values: FloatArray
    train: IntArray
    test: IntArray
    extrapolation: IntArray
    laws: Mapping[str, str]
    exponent: str | None  # what all laws share; its presence is tested by itself
    free_scale: bool = False  # the target has no scale of its own: of the exponent only ratios count


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One equation with all its scores."""

    equation: Equation
    r2_test: float
    r2_extrapolation: float
    equivalent_srbench: bool
    equivalent_to: str | None
    matches: str | None
    has_exponent: bool
    affine: Mapping[str, AffineMatch]
    coefficients: Mapping[str, Interval]


@dataclass(frozen=True, kw_only=True)
class Discovery:
    """`law_members`: members of the front with exactly the terms of a reference law, that were not selected."""

    engine: str
    front: list[Equation]
    selected: Finding
    law_members: list[Finding]
    seed_stability: float
    stability_by: str


def split_rows(
    ratio: FloatArray, test_fraction: float, extrapolation_fraction: float, max_rows: int, seed: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Row numbers (train, test, extrapolation); the box holds the largest `ratio`."""
    order = np.argsort(ratio, kind="stable")
    n_box = round(extrapolation_fraction * len(ratio))
    box, rest = order[len(order) - n_box :], order[: len(order) - n_box]
    shuffled = np.random.default_rng(seed).permutation(rest)
    n_test = round(test_fraction * len(ratio))
    test, train = shuffled[:n_test], shuffled[n_test:][:max_rows]
    return np.sort(train), np.sort(test), np.sort(box)


def discover(problem: Problem, engine: SymbolicEngine, rules: Rules, *, unit_constraint: bool = False) -> Discovery:
    """Run `engine` n_seeds times on the training rows, select and score."""
    inputs, values = problem.inputs[problem.train], problem.values[problem.train]
    units = problem.units if unit_constraint else None
    fronts: list[FrontResult] = []
    for run in range(rules.n_seeds):
        rows = np.arange(len(values))
        if engine.deterministic and run > 0:
            rows = np.random.default_rng([rules.seed, run]).integers(len(values), size=len(values))
        fronts.append(engine.fit(inputs[rows], values[rows], problem.names, seed=rules.seed + run, units=units))
    singles = [canonical_front([front], inputs, values) for front in fronts]
    merged = canonical_front(fronts, inputs, values)
    chosen = merged[best_index(merged)]
    same = [set(single[best_index(single)].terms) == set(chosen.terms) for single in singles if single]
    members = [e for e in merged if e is not chosen and any(same_terms(e, law) for law in problem.laws.values())]
    return Discovery(
        engine=engine.name,
        front=merged,
        selected=score(chosen, problem, rules),
        law_members=[score(member, problem, rules) for member in members],
        seed_stability=sum(same) / rules.n_seeds,
        stability_by="bootstrap" if engine.deterministic else "seed",
    )


def score(equation: Equation, problem: Problem, rules: Rules) -> Finding:
    """R2 on rows that no engine saw, both equivalence tests, coefficient intervals."""
    train, values = problem.train, problem.values
    predicted = equation.predict(problem.inputs)
    r2_test = r_squared(values[problem.test], predicted[problem.test])
    equivalent = [
        law for law, text in problem.laws.items() if srbench_equivalent(equation, text, problem.inputs[train], r2_test)
    ]
    affine = {
        law: affine_match(
            equation,
            text,
            problem.inputs[train],
            values[train],
            tolerance=rules.tolerance,
            n_bootstrap=rules.n_bootstrap,
            confidence=rules.confidence,
            seed=rules.seed,
        )
        for law, text in problem.laws.items()
    }
    coefficients = coefficient_intervals(equation, problem.inputs[train], values[train], rules)
    return Finding(
        equation=equation,
        r2_test=r2_test,
        r2_extrapolation=r_squared(values[problem.extrapolation], predicted[problem.extrapolation]),
        equivalent_srbench=bool(equivalent),
        equivalent_to=equivalent[0] if equivalent else None,
        matches=first_match(affine),
        has_exponent=problem.exponent is not None
        and has_part(equation, problem.exponent, coefficients, rules.tolerance, free_scale=problem.free_scale),
        affine=affine,
        coefficients=coefficients,
    )


def coefficient_intervals(
    equation: Equation, inputs: FloatArray, values: FloatArray, rules: Rules
) -> dict[str, Interval]:
    """Bootstrap interval of every linear coefficient and of the constant (key `1`)."""
    design = np.column_stack([np.ones(len(values)), term_columns(equation, inputs)])
    samples = bootstrap_coefficients(design, values, rules.n_bootstrap, rules.seed)
    return {term: interval_of(samples[:, i], rules.confidence) for i, term in enumerate(["1", *equation.terms])}
