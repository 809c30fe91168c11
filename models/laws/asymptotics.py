"""The expansion of a formula at a large argument, from the formula alone.

    f(u) = linear u + logarithm log u + constant + inverse / u + O(1 / u^2)          (u -> infinity)

decides what two formulas of different shape have in common: log(u/2)/2 and log sqrt(u/2) agree in all four, a fitted
.532 log(.395 u + 2.11) has the power .532 however well it fits where it was fitted. The four numbers follow from values
of f at u_0 2^k in multiple precision, as the solution of a linear system with N_INVERSE inverse powers; the error
falls as u_0^-(N_INVERSE + 1). The same from another u_0 must agree, else f has no such expansion (u^1.1, log log u,
exp): NoExpansion. So a power that is hidden where the formula was fitted is still found, and nothing that fits well
for a while passes for one. A formula may have the leading terms without the rest, as log(u - log u) has a power of u
and no 1/u: `growth` asks for the linear coefficient alone, `power` for it, the power and the constant.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import mpmath

__all__ = ["MP", "PRECISE_FUNCTIONS", "Expansion", "NoExpansion", "expand_at_infinity", "growth", "power"]

DIGITS = 150
N_INVERSE = 6
FIRST = 2.0**20
FAR = (150, 230)  # powers of 2 of the two large arguments between which a limit must not move
AGREEMENT = 1e-6
MP = mpmath.MPContext()  # of its own: mpmath's global precision is shared by all threads
MP.dps = DIGITS
PRECISE_FUNCTIONS = {"log": MP.log, "exp": MP.exp, "sqrt": MP.sqrt, "pi": MP.pi}  # for sympy.lambdify


class NoExpansion(ValueError):
    """The formula does not behave as linear + logarithm + constant + inverse powers at a large argument."""


@dataclass(frozen=True, kw_only=True)
class Expansion:
    linear: float
    logarithm: float
    constant: float
    inverse: float


def expand_at_infinity(function: Callable[[Any], Any]) -> Expansion:
    """`function` takes and gives numbers of the context MP, whose functions it must use. Raises NoExpansion."""
    try:
        one, other = (solve(function, factor) for factor in (1.0, 1.7))
    except (ArithmeticError, ValueError, TypeError) as error:
        raise NoExpansion(f"no value at a large argument ({error})") from error
    scale = max(1.0, *(abs(v) for v in one))
    if not all(abs(a - b) <= AGREEMENT * scale < math.inf for a, b in zip(one, other, strict=True)):
        raise NoExpansion(f"two ranges of large arguments give {rounded(one)} and {rounded(other)}")
    linear, logarithm, constant, inverse = one
    return Expansion(linear=linear, logarithm=logarithm, constant=constant, inverse=inverse)


def growth(function: Callable[[Any], Any]) -> float:
    """lim f(u) / u, whatever grows more slowly. Raises NoExpansion where there is none."""
    return float(limit(lambda u: (function(2 * u) - function(u)) / u, "slopes"))


def power(function: Callable[[Any], Any]) -> tuple[float, float, float]:
    """(linear, logarithm, constant) of f(u) = linear u + logarithm log u + constant + o(1). Raises NoExpansion."""
    linear = limit(lambda u: (function(2 * u) - function(u)) / u, "slopes")
    # f(4u) - 3 f(2u) + 2 f(u) = -logarithm log 2, whatever the linear term is
    logarithm = limit(lambda u: (3 * function(2 * u) - function(4 * u) - 2 * function(u)) / MP.log(2), "powers")
    constant = limit(lambda u: 2 * function(u) - function(2 * u) - logarithm * (MP.log(u) - MP.log(2)), "constants")
    return float(linear), float(logarithm), float(constant)


def limit(sequence: Callable[[Any], Any], what: str) -> Any:  # noqa: ANN401 - a number of the context MP
    try:
        values = [sequence(MP.mpf(2) ** exponent) for exponent in FAR]
        near = abs(values[0] - values[1]) <= AGREEMENT * max(1, abs(values[0]))
    except (ArithmeticError, ValueError, TypeError) as error:
        raise NoExpansion(f"no value at a large argument ({error})") from error
    if not near:
        raise NoExpansion(f"two large arguments give the {what} {rounded([float(MP.re(v)) for v in values])}")
    return values[1]


def solve(function: Callable[[Any], Any], factor: float) -> list[float]:
    points, rows = system(factor)
    values = [function(u) for u in points]
    if any(not MP.isfinite(v) or MP.im(v) != 0 for v in values):
        raise ValueError("found a value that is not real and finite")
    return [float(sum(a * v for a, v in zip(row, values, strict=True))) for row in rows]


@cache
def system(factor: float) -> tuple[list[Any], list[list[Any]]]:
    """Arguments, and the rows of the inverse matrix that give the four leading coefficients."""
    n = 3 + N_INVERSE
    points = [MP.mpf(FIRST) * MP.mpf(factor) * 2**k for k in range(n)]
    matrix = MP.matrix(n, n)
    for i, u in enumerate(points):
        for j, value in enumerate([u, MP.log(u), MP.mpf(1), *(u**-p for p in range(1, N_INVERSE + 1))]):
            matrix[i, j] = value
    inverse = matrix**-1
    return points, [[inverse[i, j] for j in range(n)] for i in range(4)]


def rounded(values: list[float]) -> list[float]:
    return [float(f"{v:.4g}") for v in values]
