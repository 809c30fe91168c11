"""Equations of a quantity known only up to a monotone map: h(z) = c_0 + sum_k c_k phi_k(x), h found with the terms.

A learned latent z is defined only up to such a map, so z itself need not be a simple formula. The link h is a cubic
spline in z (B(z) a, knots at quantiles); for a set S of library terms the best pair (a, c) is the first canonical
pair of B(z) and Phi_S (Hotelling 1936), whose squared correlation is the largest eigenvalue of
    L^-1 (A_S^T A_S) L^-T,    A = Q_B^T Phi,   Phi_S^T Phi_S = L L^T      (columns centred, Q_B orthonormal in B).
A beam search over S, then the selection rule of `models.laws.selection` with loss 1 - correlation^2. The scale of h
is free, so only ratios of coefficients mean anything. A link that is not monotone disqualifies a match; `monotone` =
|h(end) - h(start)| / total variation.

`discover_linked` searches and scores such an equation by the rules of `models.laws.discovery`. The affine test applies
to h(z); with h free the coefficient ratios carry the spline's bias, some 10 to 20 percent, which is why no match is
claimed unless all bootstrap intervals (link refitted each time) stay within the tolerance and h is monotone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import BSpline

from models.laws.canonical import Equation, additive_terms, canonicalise, term_columns
from models.laws.discovery import Finding, Problem, Rules
from models.laws.engines.library import KEPT_PER_SIZE, LibraryEngine, beam_width, library_terms
from models.laws.equivalence import has_part, ratio_match, same_terms
from models.laws.intervals import interval_of
from models.laws.selection import best_index, pareto_front
from models.laws.symbolic_engine import FloatArray, check_problem

__all__ = ["Link", "LinkedEquation", "LinkedFinding", "bootstrap_linked", "discover_linked", "linked_front"]


@dataclass(frozen=True, kw_only=True)
class Link:
    """h(z), zero mean and unit variance on the training rows; held constant outside the training range."""

    knots: FloatArray
    weights: FloatArray
    offset: float

    def __call__(self, latent: FloatArray) -> FloatArray:
        return np.asarray(spline_basis(latent, self.knots) @ self.weights - self.offset, dtype=float)

    @property
    def monotone(self) -> float:
        values = self(np.linspace(self.knots[0], self.knots[-1], 201))
        return float(abs(values[-1] - values[0]) / np.abs(np.diff(values)).sum())


@dataclass(frozen=True, kw_only=True)
class LinkedEquation:
    equation: Equation
    link: Link


def linked_front(
    inputs: FloatArray, latent: FloatArray, names: Sequence[str], *, library: LibraryEngine, n_spline: int
) -> list[LinkedEquation]:
    """Pareto front of equations for h(latent), inputs (n_samples, n_inputs); every member has its own link."""
    check_problem(inputs, latent, names)
    labels, columns = library_terms(inputs, names, library.max_power, library.max_total, None)
    knots = spline_knots(latent, n_spline)
    basis = spline_basis(latent, knots)
    members: dict[tuple[str, ...], LinkedEquation] = {}
    for subset in search_linked(basis, columns, library.max_terms, library.beam):
        link = first_link(basis, columns[:, subset], knots)
        text = " + ".join(labels[i] for i in subset)
        equation = canonicalise(text, inputs, link(latent), names)
        if equation is not None:
            link = first_link(basis, term_columns(equation, inputs), knots)  # elimination may have dropped a term
            refitted = canonicalise(equation.text, inputs, link(latent), names)
            if refitted is not None:
                members.setdefault(tuple(refitted.terms), LinkedEquation(equation=refitted, link=link))
    front = pareto_front([member.equation for member in members.values()])
    return [members[tuple(equation.terms)] for equation in front]


def spline_knots(latent: FloatArray, n_spline: int) -> FloatArray:
    """Cubic knots for n_spline basis functions, inner knots at quantiles."""
    inner = np.quantile(latent, np.linspace(0.0, 1.0, n_spline - 2))
    inner = inner[1:-1][np.diff(inner[:-1]) > 1e-12 * np.ptp(latent)]
    return np.concatenate([np.full(4, latent.min()), inner, np.full(4, latent.max())])


def spline_basis(latent: FloatArray, knots: FloatArray) -> FloatArray:
    inside = np.clip(latent, knots[0], knots[-1])
    return np.asarray(BSpline.design_matrix(inside, knots, 3).toarray(), dtype=float)


def search_linked(basis: FloatArray, columns: FloatArray, max_terms: int, beam: int) -> list[tuple[int, ...]]:
    """The KEPT_PER_SIZE best subsets of each size by canonical correlation."""
    centred = columns - columns.mean(axis=0)
    centred = centred / np.linalg.norm(centred, axis=0)
    shared, gram = orthonormal(basis).T @ centred, centred.T @ centred
    subsets: list[tuple[int, ...]] = [()]
    best: list[tuple[int, ...]] = []
    for size in range(1, min(max_terms, columns.shape[1]) + 1):
        extended = sorted({tuple(sorted((*s, j))) for s in subsets for j in range(columns.shape[1]) if j not in s})
        index = np.array(extended)  # (n_subsets, size)
        order = np.argsort(-canonical_r2(shared, gram, index), kind="stable")
        subsets = [extended[i] for i in order[: beam_width(beam, size)]]
        best += subsets[:KEPT_PER_SIZE]
    return best


def canonical_r2(shared: FloatArray, gram: FloatArray, index: np.ndarray) -> FloatArray:
    """Largest squared canonical correlation of every subset (n_subsets,)."""
    size = index.shape[1]
    inner = gram[index[:, :, None], index[:, None, :]] + 1e-9 * np.eye(size)
    lower = np.linalg.cholesky(inner)
    part = np.moveaxis(shared[:, index], 0, -1)  # (n_subsets, size, n_basis)
    whitened = np.linalg.solve(lower, part)
    return np.asarray(np.linalg.eigvalsh(whitened @ whitened.swapaxes(1, 2))[:, -1], dtype=float)


def orthonormal(basis: FloatArray) -> FloatArray:
    """Orthonormal basis of the centred columns, dependent directions left out."""
    u, s, _ = np.linalg.svd(basis - basis.mean(axis=0), full_matrices=False)
    return np.asarray(u[:, s > 1e-8 * s[0]], dtype=float)


def first_link(basis: FloatArray, terms: FloatArray, knots: FloatArray) -> Link:
    """Link of the first canonical pair of the spline basis and the given terms, rising with z."""
    q_basis = orthonormal(basis)
    q_terms = orthonormal(terms / np.linalg.norm(terms, axis=0))
    values = q_basis @ np.linalg.svd(q_basis.T @ q_terms)[0][:, 0]
    weights = np.linalg.lstsq(basis, values, rcond=1e-10)[0]
    fitted = basis @ weights
    scale = fitted.std() * np.where(weights[-1] >= weights[0], 1.0, -1.0)
    return Link(knots=knots, weights=np.asarray(weights / scale, dtype=float), offset=float(fitted.mean() / scale))


def bootstrap_linked(
    member: LinkedEquation, inputs: FloatArray, latent: FloatArray, n_bootstrap: int, seed: int
) -> FloatArray:
    """Coefficients of h's equation (1 + n_bootstrap, n_terms), link refitted for every resample of the rows."""
    columns, basis = term_columns(member.equation, inputs), spline_basis(latent, member.link.knots)
    rng = np.random.default_rng(seed)
    samples = [list(member.equation.terms.values())]
    for _ in range(n_bootstrap):
        rows = rng.integers(len(latent), size=len(latent))
        link = first_link(basis[rows], columns[rows], member.link.knots)
        design = np.column_stack([columns[rows], np.ones(len(rows))])
        scale = np.linalg.norm(design, axis=0)
        fitted = np.linalg.lstsq(design / scale, link(latent[rows]), rcond=None)[0] / scale
        samples.append(fitted[:-1].tolist())
    return np.array(samples)


MONOTONE = 0.95


@dataclass(frozen=True, kw_only=True)
class LinkedFinding:
    """R2 of the finding are squared correlations of h(z) and the equation, scale and offset of h being free."""

    finding: Finding
    front: list[Equation]
    link_monotone: float
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
    finding = Finding(
        equation=chosen.equation,
        r2_test=shared_variance(chosen, problem, problem.test),
        r2_extrapolation=shared_variance(chosen, problem, problem.extrapolation),
        equivalent_srbench=False,
        equivalent_to=None,
        matches=next((law for law, match in affine.items() if match.matches), None),
        has_exponent=problem.exponent is not None
        and has_part(chosen.equation, problem.exponent, coefficients, rules.tolerance, free_scale=True),
        affine=affine,
        coefficients=coefficients,
    )
    return LinkedFinding(
        finding=finding,
        front=[member.equation for member in members],
        link_monotone=chosen.link.monotone,
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
