"""Sparse selection from a fixed library of terms: y = c_0 + sum_k c_k phi_k(x), NumPy only.

The library holds all monomials prod_i x_i^(a_i) with |a_i| <= max_power and sum |a_i| <= max_total, and log x_i of
every positive input. With units (energy exponents) only dimensionless monomials (exponent sum 0) and logarithms of
ratios stay. Best subsets of one to max_terms terms come from a beam search (every subset on the beam is extended by
every term; gain from the Schur complement of the Gram matrix):
    gain_j = (b_j - G_jS G_SS^-1 b_S)^2 / (G_jj - G_jS G_SS^-1 G_Sj),   G = Phi^T Phi, b = Phi^T y
(columns centred, unit length).
The engine's own pick minimises the extended BIC (Chen and Chen, Biometrika 95, 759, 2008):
    EBIC = n log(SSE/n) + k log n + 2 log binomial(p, k).
A strong prior: the truth must lie in the span. A success of this engine says which terms, not that no other form
would do.
"""

from collections.abc import Sequence
from itertools import combinations, product
from math import comb, log
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveInt

from models.laws.symbolic_engine import (
    SYMBOLIC_ENGINES,
    Candidate,
    FloatArray,
    FrontResult,
    SymbolicEngine,
    check_problem,
)
from models.settings import settings

__all__ = ["LibraryEngine", "beam_width", "library_terms", "search_subsets"]

KEPT_PER_SIZE = 3


@SYMBOLIC_ENGINES.register("library")
@settings
class LibraryEngine(SymbolicEngine):
    """Also its settings: bounds of the exponents, of the terms of an equation, and of the search."""

    name = "library"
    deterministic = True
    max_power: Annotated[int, Field(ge=1, le=4)]
    max_total: PositiveInt
    max_terms: Annotated[int, Field(ge=1, le=10)]
    beam: PositiveInt

    def fit(
        self,
        inputs: FloatArray,
        target: FloatArray,
        names: Sequence[str],
        *,
        seed: int,
        units: Sequence[int] | None = None,
    ) -> FrontResult:
        """Front of the best subsets of each size; the search is exact up to the beam, so `seed` changes nothing."""
        check_problem(inputs, target, names)
        labels, columns = library_terms(inputs, names, self.max_power, self.max_total, units)
        candidates: list[Candidate] = [
            Candidate(equation=repr(float(target.mean())), complexity=1, loss=float(target.var()))
        ]
        scores = [len(target) * log(max(target.var(), 1e-300))]
        for subset in search_subsets(columns, target, self.max_terms, self.beam):
            candidate, n_terms = fit_subset(columns, labels, target, subset), len(subset)
            candidates.append(candidate)
            n = len(target)
            penalty = n_terms * log(n) + 2.0 * log(comb(len(labels), n_terms))
            scores.append(n * log(max(candidate.loss, 1e-300)) + penalty)
        return FrontResult(
            engine=self.name, names=tuple(names), candidates=tuple(candidates), pick=int(np.argmin(np.array(scores)))
        )


def library_terms(
    inputs: FloatArray, names: Sequence[str], max_power: int, max_total: int, units: Sequence[int] | None
) -> tuple[list[str], FloatArray]:
    """Labels (sympy) and columns (n_samples, n_terms) of the library; constant or non-finite columns left out."""
    labels: list[str] = []
    columns: list[FloatArray] = []
    exponents = range(-max_power, max_power + 1)
    for powers in product(exponents, repeat=len(names)):
        if not 0 < sum(map(abs, powers)) <= max_total:
            continue
        if units is not None and sum(p * unit for p, unit in zip(powers, units, strict=True)) != 0:
            continue
        with np.errstate(divide="ignore", over="ignore"):
            column = np.prod(inputs ** np.array(powers, dtype=float), axis=1)
        labels.append("*".join(f"{name}**({p})" for name, p in zip(names, powers, strict=True) if p != 0))
        columns.append(column)
    positive = [i for i in range(len(names)) if (inputs[:, i] > 0).all()]
    if units is None:
        logs = [(f"log({names[i]})", np.log(inputs[:, i])) for i in positive]
    else:
        logs = [(f"log({names[i]})", np.log(inputs[:, i])) for i in positive if units[i] == 0]
        pairs = [(i, j) for i, j in combinations(positive, 2) if units[i] == units[j] != 0]
        logs += [(f"(log({names[i]}) - log({names[j]}))", np.log(inputs[:, i] / inputs[:, j])) for i, j in pairs]
    labels += [label for label, _ in logs]
    columns += [column for _, column in logs]
    usable = [i for i, c in enumerate(columns) if np.isfinite(c).all() and c.std() > 1e-12 * (1e-300 + np.abs(c).max())]
    if not usable:
        raise ValueError(
            f"library engine: found no varying term in inputs {list(names)}, expected at least one input that varies"
        )
    return [labels[i] for i in usable], np.stack([columns[i] for i in usable], axis=1)


def search_subsets(
    columns: FloatArray, target: FloatArray, max_terms: int, beam: int, *, kept: int = KEPT_PER_SIZE
) -> list[tuple[int, ...]]:
    """The `kept` best subsets found of each size 1 ... max_terms."""
    centred = columns - columns.mean(axis=0)
    centred = centred / np.linalg.norm(centred, axis=0)  # (n_samples, n_terms)
    gram, projection = centred.T @ centred, centred.T @ (target - target.mean())
    n_terms = len(projection)
    subsets = np.empty((1, 0), dtype=np.intp)  # (n_beam, size)
    explained = np.zeros(1)
    best: list[tuple[int, ...]] = []
    for size in range(1, min(max_terms, n_terms, len(target) // 3) + 1):
        gains = extension_gains(gram, projection, subsets)  # (n_beam, n_terms)
        totals = explained[:, None] + gains
        n_best = min(beam_width(beam, size) * size, totals.size)
        order = np.argsort(-totals, axis=None, kind="stable")[:n_best]
        rows, terms = np.unravel_index(order, totals.shape)
        chosen: dict[tuple[int, ...], float] = {}
        for row, term in zip(rows, terms, strict=True):
            if gains[row, term] > 0.0:
                chosen.setdefault(tuple(sorted([*subsets[row].tolist(), int(term)])), float(totals[row, term]))
            if len(chosen) == beam_width(beam, size):
                break
        if not chosen:
            break
        subsets, explained = np.array(list(chosen), dtype=np.intp), np.array(list(chosen.values()))
        best += list(chosen)[:kept]
    return best


def beam_width(beam: int, size: int) -> int:
    """Subsets kept of one size: ten times more pairs, since a pair that needs a third term starts low (u x, u x^2)."""
    return 10 * beam if size <= 2 else beam


def extension_gains(gram: FloatArray, projection: FloatArray, subsets: np.ndarray) -> FloatArray:
    """Drop of the squared error when each term joins each subset; 0 for members and (nearly) dependent terms."""
    n_beam, size = subsets.shape
    rest, left = np.broadcast_to(projection, (n_beam, len(projection))), np.ones((n_beam, len(projection)))
    if size:
        cross = gram[subsets]  # (n_beam, size, n_terms)
        inner = gram[subsets[:, :, None], subsets[:, None, :]] + 1e-13 * np.eye(size)
        solved = np.linalg.solve(inner, np.concatenate([cross, projection[subsets][:, :, None]], axis=2))
        rest = projection - np.einsum("bst,bs->bt", cross, solved[:, :, -1])
        left = 1.0 - np.einsum("bst,bst->bt", cross, solved[:, :, :-1])
    return np.where(left > 1e-7, rest**2 / np.maximum(left, 1e-7), 0.0)


def fit_subset(columns: FloatArray, labels: list[str], target: FloatArray, subset: tuple[int, ...]) -> Candidate:
    """Least squares on the terms of `subset`, as an equation string; complexity is the raw count 4 k + 1."""
    design = np.column_stack([np.ones(len(target)), columns[:, subset]])
    scale = np.linalg.norm(design, axis=0)
    coefficients = np.linalg.lstsq(design / scale, target, rcond=None)[0] / scale
    loss = float(np.mean((design @ coefficients - target) ** 2))
    terms = [f"({float(c)!r})*{labels[i]}" for c, i in zip(coefficients[1:], subset, strict=True)]
    return Candidate(
        equation=" + ".join([repr(float(coefficients[0])), *terms]), complexity=4 * len(subset) + 1, loss=loss
    )
