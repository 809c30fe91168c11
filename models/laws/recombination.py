"""Sums of few terms, out of all the terms that stand in the formulas of a search.

Genetic programming accepts a function that bends like the sum of two terms, log(u + 3) for log u + 3/u, and leaves the
terms themselves in other formulas, beside what these do not need. Here the terms of all formulas are pooled, the best
sums of each size come from the beam search of `models.laws.engines.library`, and those that no other beats in both
complexity and loss are returned. The terms are the engine's; none is added.
"""

from collections.abc import Sequence

import numpy as np
import sympy as sp

from models.laws.canonical import Equation, canonicalise, complexity_of, evaluate_text, parse_equation, refit
from models.laws.engines.library import search_subsets
from models.laws.selection import pareto_front
from models.laws.symbolic_engine import FloatArray

__all__ = ["recombined"]

MOST_TERMS = 7
BEAM = 100


def recombined(
    equations: Sequence[Equation],
    inputs: FloatArray,  # (n_samples, n_inputs)
    target: FloatArray,  # (n_samples,)
) -> list[Equation]:
    """Pareto front of complexity and training loss of the sums of at most MOST_TERMS terms of `equations`."""
    symbols, names = equations[0].symbols, equations[0].names
    columns = {text: evaluate_text(text, inputs, symbols) for text in sorted({t for e in equations for t in e.terms})}
    terms = [text for text, column in columns.items() if np.isfinite(column).all() and column.std() > 0]
    if not terms:
        return []
    table = np.stack([columns[text] for text in terms], axis=1)
    nodes = [complexity_of(sp.Float(1.5) * parse_equation(text, symbols)) + 1 for text in terms]
    sums = []
    for subset in search_subsets(table, target, MOST_TERMS, BEAM, kept=BEAM):
        chosen = [columns[terms[i]] for i in subset]
        c = refit(chosen, target)
        loss = float(np.mean((target - c[0] - c[1:] @ np.array(chosen)) ** 2))
        sums.append((1 + sum(nodes[i] for i in subset), loss, subset))
    front, best = list[Equation](), np.inf
    for _, loss, subset in sorted(sums):
        if loss < best:
            best = loss
            equation = canonicalise(" + ".join(f"1.0*({terms[i]})" for i in subset), inputs, target, names)
            front += [] if equation is None else [equation]
    return pareto_front(front)
