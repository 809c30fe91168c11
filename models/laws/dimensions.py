"""Dimensionless groups from the units alone (Buckingham 1914), chosen by a stated rule.

Quantity j has the exponents A[:, j] in the base units. A product prod_j q_j^n_j is dimensionless where A n = 0; n
quantities of rank r have n - r independent groups. Which ones, the units do not say. The rule:

1. integer exponents; the vectors with the smallest sum of |n_j|, shortest first, until they span the null space: pairs
   before triples, no group more complicated than it must be;
2. among the bases of such vectors the one whose groups vary most independently over the rows: the largest determinant
   of the correlation matrix of log|group| (a constant quantity leaves its column out);
3. a group and its inverse are the same: a quantity that is negative in some row stands in the numerator, else the
   quantity named first does.

The target is divided by the one quantity `reference`, so that it stays what is asked for. Nothing here knows a law.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import sympy as sp

from models.laws.symbolic_engine import FloatArray

__all__ = ["DimensionlessGroup", "dimensionless_groups", "group_values"]

MAX_EXPONENT = 3
MAX_BASES = 20_000


@dataclass(frozen=True, kw_only=True)
class DimensionlessGroup:
    """prod_j q_j^exponents[j]; `name` is an identifier, such as U_per_Gamma."""

    name: str
    exponents: Mapping[str, int]


def dimensionless_groups(
    units: Mapping[str, Sequence[int]],  # quantity -> its exponents in the base units
    values: Mapping[str, FloatArray],  # quantity -> (n_samples,), no zeros
) -> tuple[DimensionlessGroup, ...]:
    """The groups of the rule above. Raises ValueError where the units allow none, or a value is 0 or not finite."""
    names = list(units)
    check(units, values)
    matrix = np.array([units[name] for name in names], dtype=int).T  # (n_units, n_quantities)
    n_groups = len(names) - int(sp.Matrix(matrix).rank())
    if n_groups == 0:
        raise ValueError(f"units of {', '.join(names)}: found no dimensionless product, expected at least one")
    candidates = shortest_null_vectors(matrix, n_groups)
    logs = np.stack([np.log(np.abs(values[name])) for name in names])  # (n_quantities, n_samples)
    chosen = most_independent(candidates, n_groups, logs)
    oriented = [orient(vector, names, values) for vector in chosen]
    return tuple(
        DimensionlessGroup(
            name=name_of(vector, names), exponents={n: int(e) for n, e in zip(names, vector, strict=True) if e}
        )
        for vector in oriented
    )


def group_values(groups: Sequence[DimensionlessGroup], values: Mapping[str, FloatArray]) -> FloatArray:
    """Columns (n_samples, n_groups)."""
    columns = [np.prod([values[q] ** float(n) for q, n in group.exponents.items()], axis=0) for group in groups]
    return np.stack(columns, axis=1)


def check(units: Mapping[str, Sequence[int]], values: Mapping[str, FloatArray]) -> None:
    problems = []
    if set(units) != set(values):
        problems.append(f"found units of {sorted(units)} and values of {sorted(values)}, expected the same quantities")
    if len({len(u) for u in units.values()}) > 1:
        problems.append("found exponents of different length, expected one for each base unit")
    for name, column in values.items():
        if not (np.isfinite(column).all() and (column != 0).all()):
            problems.append(f"{name}: found zeros or values that are not finite; leave those rows out")
    if problems:
        raise ValueError("dimensionless groups: " + "; ".join(problems))


def shortest_null_vectors(matrix: np.ndarray, n_groups: int) -> list[tuple[int, ...]]:
    """Primitive integer null vectors up to sign, all of the length at which they first span the null space, or less."""
    n = matrix.shape[1]
    by_length: dict[int, list[tuple[int, ...]]] = {}
    for vector in product(range(-MAX_EXPONENT, MAX_EXPONENT + 1), repeat=n):
        first = next((e for e in vector if e), 0)
        if first > 0 and np.gcd.reduce(vector) == 1 and not (matrix @ np.array(vector)).any():
            by_length.setdefault(sum(map(abs, vector)), []).append(vector)
    vectors: list[tuple[int, ...]] = []
    for length in sorted(by_length):
        vectors += by_length[length]
        if int(np.linalg.matrix_rank(np.array(vectors))) == n_groups:
            return vectors
    raise ValueError(f"dimensionless groups: found fewer than {n_groups} with exponents up to {MAX_EXPONENT}")


def most_independent(candidates: list[tuple[int, ...]], n_groups: int, logs: FloatArray) -> list[tuple[int, ...]]:
    """The basis with the least total length, then the largest determinant of the correlations of log|group|."""
    best: tuple[float, float] | None = None
    chosen: list[tuple[int, ...]] = []
    for number, basis in enumerate(combinations(candidates, n_groups)):
        if number == MAX_BASES:
            break
        vectors = np.array(basis)
        if int(np.linalg.matrix_rank(vectors)) < n_groups:
            continue
        columns = vectors @ logs
        columns = columns[columns.std(axis=1) > 1e-12]
        independence = float(np.linalg.det(np.atleast_2d(np.corrcoef(columns)))) if len(columns) > 1 else 1.0
        score = (float(np.abs(vectors).sum()), -independence)
        if best is None or score < best:
            best, chosen = score, list(basis)
    return chosen


def orient(vector: tuple[int, ...], names: Sequence[str], values: Mapping[str, FloatArray]) -> tuple[int, ...]:
    negative = [e for e, name in zip(vector, names, strict=True) if e and (values[name] < 0).any()]
    leading = negative[0] if negative else next(e for e in vector if e)
    return vector if leading > 0 else tuple(-e for e in vector)


def name_of(vector: Sequence[int], names: Sequence[str]) -> str:
    def part(sign: int) -> str:
        used = [(name, abs(e)) for e, name in zip(vector, names, strict=True) if e * sign > 0]
        return "_".join(name if e == 1 else f"{name}{e}" for name, e in used)

    return f"{part(1)}_per_{part(-1)}" if part(1) and part(-1) else part(1) or f"inverse_{part(-1)}"
