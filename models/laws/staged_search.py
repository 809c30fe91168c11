"""A general engine asked in stages for y > 0 that may span many decades: link, skeleton, remainder.

link       y itself, its fourth root or its logarithm: the engine searches g(y) for each link g (with exp among its
           functions unless g is the logarithm), and the link whose best formula has the smallest median |log(f / y)| on
           validation rows is taken. That y is an exponential is found where the logarithm wins, or where exp stands in
           the formula of another link.
skeleton   the simplest formula of all seeds that leaves at most REST of the variance of g(y) on the training rows: what
           the first search settles.
remainder  the target less the skeleton, searched anew; skeleton plus remainder refitted together. The target's scale
           is then that of what is still unknown. The simplest formula that leaves at most REST of what the skeleton
           left is the skeleton of the next round, of n_rounds: it grows as an expansion does, the large terms first.
sums       of few terms out of all the formulas (models.laws.recombination).
choice     of all formulas of all stages the simplest whose mean squared error on the validation rows is at most
           SLACK times the smallest there, or that of the labels themselves: what lies closer together than the
           labels' own errors, the labels cannot tell apart. Validation rows are half of the rows with the largest
           `order`, which no engine saw, and half of the random test rows; the other halves are for the report and
           choose nothing.

An engine that returns nothing is recorded in `failures` and ends the search only where no stage gave a formula.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from models.laws.canonical import Equation, canonicalise, term_columns
from models.laws.recombination import recombined
from models.laws.selection import canonical_front, pareto_front
from models.laws.symbolic_engine import EngineFailed, FloatArray, FrontResult, SymbolicEngine

__all__ = ["LINKS", "StagedLaw", "StagedRows", "StagedRules", "search_in_stages", "split_in_stages"]

IntArray = npt.NDArray[np.intp]
Map = Callable[[FloatArray], FloatArray]
SLACK = 2.0
REST = 0.01
LINKS: Mapping[str, tuple[Map, Map]] = {
    "identity": (lambda y: y, lambda t: t),
    "fourth_root": (lambda y: y**0.25, lambda t: np.where(t > 0, t, np.nan) ** 4),
    "log": (np.log, np.exp),
}


@dataclass(frozen=True, kw_only=True)
class StagedRules:
    """`n_seeds` runs of the engine in every stage; of each other link than the logarithm one run."""

    n_seeds: int
    n_rounds: int
    test_fraction: float
    extrapolation_fraction: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class StagedRows:
    train: IntArray
    validation: IntArray
    report: IntArray


@dataclass(frozen=True, kw_only=True)
class StagedLaw:
    """`equation` gives the linked target; errors are medians of |log(f / y)|, infinite where f is not positive."""

    link: str
    link_errors: dict[str, float]
    equation: Equation
    skeleton: Equation
    front: list[Equation]
    error_validation: float
    error_report: float
    failures: list[str] = field(default_factory=list)


def split_in_stages(order: FloatArray, rules: StagedRules) -> StagedRows:
    """Row numbers; the rows of largest `order` (n_samples,) are never trained on."""
    ranked = np.argsort(order, kind="stable")
    n_box, n_test = (round(f * len(order)) for f in (rules.extrapolation_fraction, rules.test_fraction))
    box, rest = ranked[len(order) - n_box :], ranked[: len(order) - n_box]
    shuffled = np.random.default_rng(rules.seed).permutation(rest)
    test, train = shuffled[:n_test], shuffled[n_test:]
    return StagedRows(
        train=np.sort(train),
        validation=np.sort(np.concatenate([box[::2], test[::2]])),
        report=np.sort(np.concatenate([box[1::2], test[1::2]])),
    )


def search_in_stages(
    inputs: FloatArray,  # (n_samples, n_inputs)
    target: FloatArray,  # (n_samples,), positive
    names: tuple[str, ...],
    rows: StagedRows,
    engine: SymbolicEngine,
    rules: StagedRules,
    errors: FloatArray | None = None,  # (n_samples,), relative, of the target; None: exact
) -> StagedLaw:
    """Raises EngineFailed where the engine gave no usable formula at all, ValueError for targets that are not > 0."""
    if not (target > 0).all():
        raise ValueError(f"target: found {int((~(target > 0)).sum())} values that are not positive")
    failures: list[str] = []
    fronts = {name: link_front(name, inputs, target, names, rows, engine, rules, failures) for name in LINKS}
    link_errors = {name: best_error(fronts[name], name, inputs, target, rows) for name in LINKS}
    link = min(link_errors, key=lambda name: link_errors[name])
    if not np.isfinite(link_errors[link]):
        reason = "; ".join(failures) or "none is finite on the validation rows"
        raise EngineFailed(engine.name, f"no usable formula with any link ({reason})", "raise its budget")
    linked = LINKS[link][0](target)
    equations = list(fronts[link])
    skeleton = first = settled(equations, linked[rows.train])
    for number in range(rules.n_rounds):
        equations += remainder(skeleton, inputs, linked, names, rows, engine, rules, number, failures)
        skeleton = grown(skeleton, equations)
    equations += recombined(equations, inputs[rows.train], linked[rows.train])
    steps = 0.0 if errors is None else (LINKS[link][0](target * (1 + errors)) - linked)[rows.validation]
    chosen = choose(equations, inputs, linked, rows, resolution=float(np.mean(np.square(steps))))
    inverse = LINKS[link][1]
    predicted = inverse(chosen.predict(inputs))
    return StagedLaw(
        link=link,
        link_errors=link_errors,
        equation=chosen,
        skeleton=first,
        front=pareto_front(equations),
        error_validation=log_error(predicted[rows.validation], target[rows.validation]),
        error_report=log_error(predicted[rows.report], target[rows.report]),
        failures=failures,
    )


def link_front(
    link: str,
    inputs: FloatArray,
    target: FloatArray,
    names: tuple[str, ...],
    rows: StagedRows,
    engine: SymbolicEngine,
    rules: StagedRules,
    failures: list[str],
) -> list[Equation]:
    """The canonical front of g(y) on the training rows; empty where the engine gave nothing."""
    used = engine if link == "log" else engine.with_exponential()
    linked = LINKS[link][0](target[rows.train])
    scale = 1.0 if link == "log" else float(linked.std())  # engines expect targets of order one
    n_seeds = rules.n_seeds if link == "log" else 1
    fronts = runs(used, inputs[rows.train], linked / scale, names, n_seeds, rules.seed, failures, f"link {link}")
    front = canonical_front(fronts, inputs[rows.train], linked / scale)
    return [rescaled(equation, scale) for equation in front]


def runs(
    engine: SymbolicEngine,
    inputs: FloatArray,
    target: FloatArray,
    names: tuple[str, ...],
    n_seeds: int,
    seed: int,
    failures: list[str],
    stage: str,
) -> list[FrontResult]:
    fronts = []
    for run in range(n_seeds):
        try:
            front = engine.fit(inputs, target, names, seed=seed + run)
        except EngineFailed as error:
            failures.append(f"{stage}, seed {seed + run}: {error}")
            continue
        if front.candidates:
            fronts.append(front)
        else:
            failures.append(f"{stage}, seed {seed + run}: {engine.name} returned no formula")
    return fronts


def rescaled(equation: Equation, scale: float) -> Equation:
    terms = {text: scale * c for text, c in equation.terms.items()}
    return replace(equation, intercept=scale * equation.intercept, terms=terms, loss=scale**2 * equation.loss)


def best_error(front: list[Equation], link: str, inputs: FloatArray, target: FloatArray, rows: StagedRows) -> float:
    inverse, held = LINKS[link][1], rows.validation
    with np.errstate(all="ignore"):
        return min((log_error(inverse(e.predict(inputs[held])), target[held]) for e in front), default=np.inf)


def log_error(predicted: FloatArray, target: FloatArray) -> float:
    """Median of |log(f / y)|; infinite for what is not positive."""
    with np.errstate(all="ignore"):
        errors = np.abs(np.log(predicted / target))
    return float(np.median(np.where(np.isfinite(errors), errors, np.inf)))


def settled(front: list[Equation], linked: FloatArray) -> Equation:
    """The simplest that leaves at most REST of the variance, else the most accurate."""
    good = [e for e in front if e.loss <= REST * linked.var()]
    return min(good, key=lambda e: e.complexity) if good else min(front, key=lambda e: e.loss)


def grown(skeleton: Equation, equations: list[Equation]) -> Equation:
    """The simplest formula that leaves at most REST of what `skeleton` leaves; where there is none, `skeleton`."""
    good = [e for e in equations if e.loss <= REST * skeleton.loss]
    return min(good, key=lambda e: (e.complexity, e.loss), default=skeleton)


def remainder(
    skeleton: Equation,
    inputs: FloatArray,
    linked: FloatArray,
    names: tuple[str, ...],
    rows: StagedRows,
    engine: SymbolicEngine,
    rules: StagedRules,
    number: int,
    failures: list[str],
) -> list[Equation]:
    """Skeleton plus what the engine finds in the rest, each refitted as one formula."""
    x, y = inputs[rows.train], linked[rows.train]
    rest = y - term_columns(skeleton, x) @ np.array(list(skeleton.terms.values()), dtype=float)
    seed = rules.seed + 100 * (number + 1)
    fronts = runs(engine, x, rest, names, rules.n_seeds, seed, failures, f"remainder {number + 1}")
    begin = " + ".join(f"1.0*({text})" for text in skeleton.terms)
    whole = [canonicalise(f"{begin} + {c.equation}", x, y, names) for front in fronts for c in front.candidates]
    return pareto_front([equation for equation in whole if equation is not None])


def choose(
    equations: list[Equation], inputs: FloatArray, linked: FloatArray, rows: StagedRows, *, resolution: float = 0.0
) -> Equation:
    """The simplest with a mean squared error on validation rows within SLACK of the smallest, or below `resolution`."""
    held = rows.validation
    with np.errstate(all="ignore"):
        errors = np.array([np.mean((e.predict(inputs[held]) - linked[held]) ** 2) for e in equations])
    errors = np.where(np.isfinite(errors), errors, np.inf)
    allowed = [i for i in range(len(equations)) if errors[i] <= max(SLACK * errors.min(), resolution)]
    return equations[min(allowed, key=lambda i: (equations[i].complexity, errors[i]))]
