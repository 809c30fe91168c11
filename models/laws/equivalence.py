"""Is a found equation the law? Two tests, both decided by rule.

`srbench_equivalent`, the symbolic solution of SRBench (La Cava et al. 2021): floats rounded to 6 digits,
sympy.simplify; a solution when law - equation or equation / law is constant, given R2 > 0.5 on test rows; whatever
sympy cannot do counts as no. Constants fitted to noisy data practically never pass. One step comes first here: a
difference and a quotient which both vary on the data are not constant.

`affine_match`: equation = a * law + b with a and b free, since the scale of a latent is unknown; weaker than SRBench,
which frees one of them. The equation must have exactly the terms of the law, and for every term the ratio
    r_k = (c_k / l_k) / (c_ref / l_ref),      c fitted, l of the law, ref = the law's term of largest spread,
must have its whole bootstrap interval in [1 - tolerance, 1 + tolerance]; the tolerance is a parameter, fixed before
the search.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp

from models.laws.canonical import Equation, additive_terms, evaluate, parse_equation, term_columns
from models.laws.intervals import Interval, bootstrap_coefficients, interval_of
from models.laws.symbolic_engine import FloatArray

__all__ = ["AffineMatch", "affine_match", "first_match", "has_part", "ratio_match", "same_terms", "srbench_equivalent"]

DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class AffineMatch:
    """`ratios`: r_k of every term but the reference (empty when the terms differ); `scale`: c_ref / l_ref."""

    same_terms: bool
    matches: bool
    scale: Interval | None
    ratios: dict[str, Interval]


def srbench_equivalent(equation: Equation, law: str, inputs: FloatArray, r2_test: float) -> bool:
    """SRBench's symbolic solution of `law` by `equation`, both in the names of the equation."""
    if not r2_test > 0.5:
        return False
    truth = sp.N(parse_equation(law, equation.symbols), 15)
    values, model_values = evaluate(truth, inputs, equation.symbols), equation.predict(inputs)
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = model_values / values
    spreads = (np.std(values - model_values) / np.std(values), np.std(quotient) / np.abs(np.mean(quotient)))
    if not min(spreads) < 1e-3:
        return False
    try:
        model = round_floats(sp.simplify(equation.expression, ratio=1))
        difference = round_floats(sp.expand(round_floats(truth) - model))
        quotient_form = round_floats(sp.simplify(model / truth, ratio=1))
        if not difference.is_constant():
            difference = round_floats(sp.simplify(difference, ratio=1))
        return bool(difference.is_constant()) or bool(quotient_form.is_constant())
    except (TypeError, ValueError, AttributeError, ArithmeticError, NotImplementedError, RecursionError):
        return False


def round_floats(expression: sp.Expr) -> sp.Expr:
    """Every float in the expression rounded to 6 digits after the point."""
    return expression.xreplace({f: sp.Float(round(float(f), DIGITS), 15) for f in expression.atoms(sp.Float)})


def same_terms(equation: Equation, law: str) -> bool:
    return set(equation.terms) == set(additive_terms(law, equation.symbols)[1])


def affine_match(
    equation: Equation,
    law: str,
    inputs: FloatArray,
    target: FloatArray,
    *,
    tolerance: float,
    n_bootstrap: int,
    confidence: float,
    seed: int,
) -> AffineMatch:
    """Affine test of `equation` against `law` on the training rows (inputs, target)."""
    if not same_terms(equation, law):
        return AffineMatch(same_terms=False, matches=False, scale=None, ratios={})
    columns = term_columns(equation, inputs)
    design = np.column_stack([columns, np.ones(len(target))])
    samples = bootstrap_coefficients(design, target, n_bootstrap, seed)[:, :-1]
    expected = additive_terms(law, equation.symbols)[1]
    return ratio_match(list(equation.terms), samples, expected, columns.std(axis=0), tolerance, confidence)


def has_part(
    equation: Equation, part: str, coefficients: Mapping[str, Interval], tolerance: float, *, free_scale: bool
) -> bool:
    """All terms of `part` are in the equation, each with its whole interval within the tolerance of its coefficient.

    With `free_scale` (a latent) only the ratios of its coefficients count.
    """
    expected = additive_terms(part, equation.symbols)[1]
    if not set(expected) <= set(equation.terms):
        return False
    if free_scale:
        relative = [coefficients[term].coefficient / c for term, c in expected.items()]
        return all(abs(r / relative[0] - 1.0) <= tolerance for r in relative)
    bounds = {term: sorted((c * (1.0 - tolerance), c * (1.0 + tolerance))) for term, c in expected.items()}
    return all(coefficients[term].inside(*bound) for term, bound in bounds.items())


def ratio_match(
    terms: list[str],
    samples: FloatArray,
    expected: Mapping[str, float],
    spreads: FloatArray,
    tolerance: float,
    confidence: float,
) -> AffineMatch:
    """The ratio rule on coefficient samples (1 + n_bootstrap, n_terms), the first row those of all data."""
    law = np.array([expected[t] for t in terms])
    reference = int(np.argmax(np.abs(law) * spreads))
    relative = samples / law
    scale = interval_of(relative[:, reference], confidence)
    if scale.low <= 0.0 <= scale.high:
        return AffineMatch(same_terms=True, matches=False, scale=scale, ratios={})
    ratios = {
        term: interval_of(relative[:, i] / relative[:, reference], confidence)
        for i, term in enumerate(terms)
        if i != reference
    }
    matches = all(ratio.inside(1.0 - tolerance, 1.0 + tolerance) for ratio in ratios.values())
    return AffineMatch(same_terms=True, matches=matches, scale=scale, ratios=ratios)


def first_match(matches: Mapping[str, AffineMatch]) -> str | None:
    """Name of the law which passes (the laws' term sets differ, so at most one can)."""
    return next((name for name, match in matches.items() if match.matches), None)
