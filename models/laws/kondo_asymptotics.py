"""Is a formula for T_K/D the law? Decided by its expansion at large u = U/Gamma, at fixed xi = eps_d/U.

    log(T_K/D) = a(xi) u + p log u + q log(Gamma/D) + c + c_1(xi) / u + O(1 / u^2)

Theory (models.laws.kondo_law):  a = (pi/2) xi (1 + xi),  p = 1/2,  q = 1,  c = -log(2)/2,  c_1 = pi/2 at every xi, so
that T_K = sqrt(U Gamma / 2) exp(pi eps_d (eps_d + U) / (2 U Gamma) + pi Gamma / (2 U)). U has the power p and Gamma the
power q - p. The formula's expansion comes from `models.laws.asymptotics` at the particle-hole symmetric point and at
two asymmetries; the terms the engine wrote do not matter. Every number has the percentile interval of a bootstrap that
refits all constants of the formula and counts the errors of the labels (models.laws.structure).

exponent    the whole interval of a(xi) within EXPONENT_TOLERANCE of theory, at all xi
prefactor   the whole intervals of both powers within PREFACTOR_TOLERANCE of 1/2, at all xi
constant    the interval of c holds -log(2)/2, at all xi
correction  resolved: the interval of c_1 excludes 0; agrees: it is resolved and holds pi/2; both at all xi

A formula that is no such expansion (log log u, u^1.1) has no powers; its exponent may still be right.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import log, pi
from typing import Any

import numpy as np

from models.laws.asymptotics import MP, PRECISE_FUNCTIONS, NoExpansion, expand_at_infinity, growth
from models.laws.intervals import Interval, interval_of
from models.laws.structure import Structure, bootstrap_constants
from models.laws.symbolic_engine import FloatArray

__all__ = ["ASYMMETRIES", "KondoAsymptotics", "kondo_asymptotics"]

ASYMMETRIES = (0.0, 0.3, -0.6)  # (U + 2 eps_d) / U; xi = (asymmetry - 1) / 2
EXPONENT_TOLERANCE = 0.02
PREFACTOR_TOLERANCE = 0.1
GAMMA = MP.mpf("1e-5")  # [D]
LINKED: Mapping[str, Callable[[Any], Any]] = {  # log(T_K/D) from the linked target
    "identity": MP.log,
    "fourth_root": lambda v: 4 * MP.log(v),
    "log": lambda v: v,
}


@dataclass(frozen=True, kw_only=True)
class KondoAsymptotics:
    """Intervals by asymmetry: `exponent_ratio` a / theory, both powers, c, c_1; `problem` says why some are missing."""

    exponent_ratio: dict[str, Interval]
    power_of_interaction: dict[str, Interval]
    power_of_hybridization: dict[str, Interval]
    constant: dict[str, Interval]
    inverse: dict[str, Interval]
    exponent: bool
    prefactor: bool
    constant_agrees: bool
    correction_resolved: bool
    correction_agrees: bool
    problem: str | None

    def record(self) -> dict[str, Any]:
        return asdict(self)


def kondo_asymptotics(
    structure: Structure,
    exponents: Sequence[Mapping[str, int]],  # of every input of the structure in U, eps_d, Gamma, D
    link: str,
    inputs: FloatArray,
    linked: FloatArray,
    errors: FloatArray,
    *,
    n_bootstrap: int,
    confidence: float,
    seed: int,
) -> KondoAsymptotics:
    """The verdict on `structure`, found for `linked`, g(T_K/D), with these estimated errors on the rows of `inputs`."""
    model = structure.function([PRECISE_FUNCTIONS])
    samples = bootstrap_constants(structure, inputs, linked, errors, n_bootstrap, seed)
    rows = [
        judged([log_scale(model, constants, exponents, link, asymmetry) for asymmetry in ASYMMETRIES])
        for constants in samples[np.isfinite(samples).all(axis=1)]
    ]
    lost = len(samples) - len(rows)
    problems = [problem for *_, problem in rows if problem] + [f"{lost} refits failed"] * (lost > 0)
    return verdict(
        complete([slopes for slopes, _, _ in rows], len(samples)),
        complete([table for _, table, _ in rows], len(samples)),
        problems[0] if problems else None,
        confidence,
    )


def judged(
    functions: Sequence[Callable[..., Any]],
) -> tuple[list[float] | None, list[list[float]] | None, str | None]:
    """For every asymmetry the slope, and [p, power of Gamma, c, c_1]; None where there are none, and why."""
    slopes, table = None, None
    try:
        slopes = [growth(partial(f, gamma=GAMMA)) for f in functions]
        table = [expanded(f) for f in functions]
    except NoExpansion as problem:
        return slopes, table, str(problem)
    return slopes, table, None


def complete(samples: list[Any | None], n_samples: int) -> FloatArray | None:
    """Those that exist, the first of all rows; None where it, or more than a twentieth of the resamples, has none."""
    existing = [sample for sample in samples if sample is not None]
    if not samples or samples[0] is None or len(existing) < 0.95 * n_samples:
        return None
    return np.array(existing)


def log_scale(
    model: Callable[..., Any],
    constants: FloatArray,
    exponents: Sequence[Mapping[str, int]],
    link: str,
    asymmetry: float,
) -> Callable[..., Any]:
    """log(T_K/D) as a function of u and `gamma` = Gamma/D at fixed asymmetry."""
    xi = (MP.mpf(str(asymmetry)) - 1) / 2
    parameters = [MP.mpf(float(c)) for c in constants]

    def value(u: Any, gamma: Any) -> Any:  # noqa: ANN401 - multiple-precision numbers
        energies = {"U": u * gamma, "eps_d": xi * u * gamma, "Gamma": gamma, "D": MP.mpf(1)}
        columns = []
        for powers in exponents:
            column = MP.mpf(1)
            for name, power in powers.items():
                column *= energies[name] ** power
            columns.append(column)
        return LINKED[link](model(*columns, *parameters))

    return value


def expanded(function: Callable[..., Any]) -> list[float]:
    """[p, power of Gamma, c, c_1] from the expansion in u; Gamma/D must be one power and change nothing else."""
    here, there, farther = (
        expand_at_infinity(partial(function, gamma=GAMMA * factor)) for factor in (1, MP.e, MP.e**2)
    )
    q, again = there.constant - here.constant, farther.constant - there.constant
    moved = max(abs(there.linear - here.linear), abs(there.logarithm - here.logarithm), abs(q - again))
    if moved > 1e-6:
        raise NoExpansion("Gamma/D does not come in as a power")
    p = here.logarithm
    return [p, q - p, here.constant - q * float(MP.log(GAMMA)), here.inverse]


def verdict(
    slopes: FloatArray | None,  # (1 + n_bootstrap, n_asymmetries)
    table: FloatArray | None,  # (1 + n_bootstrap, n_asymmetries, 4)
    problem: str | None,
    confidence: float,
) -> KondoAsymptotics:
    theory = np.array([pi / 2 * (x**2 - 1) / 4 for x in ASYMMETRIES])
    ratio = {} if slopes is None else intervals(slopes / theory, confidence)
    p, q, c, c_1 = ({} if table is None else intervals(table[:, :, i], confidence) for i in range(4))
    powers = [*p.values(), *q.values()]
    resolved = bool(c_1) and all(i.low > 0 or i.high < 0 for i in c_1.values())
    return KondoAsymptotics(
        exponent_ratio=ratio,
        power_of_interaction=p,
        power_of_hybridization=q,
        constant=c,
        inverse=c_1,
        exponent=bool(ratio) and all(within(i, 1.0, EXPONENT_TOLERANCE) for i in ratio.values()),
        prefactor=bool(powers) and all(within(i, 0.5, PREFACTOR_TOLERANCE) for i in powers),
        constant_agrees=bool(c) and all(i.low <= -log(2) / 2 <= i.high for i in c.values()),
        correction_resolved=resolved,
        correction_agrees=resolved and all(i.low <= pi / 2 <= i.high for i in c_1.values()),
        problem=problem,
    )


def intervals(samples: FloatArray, confidence: float) -> dict[str, Interval]:
    """By asymmetry, of the columns of `samples` (1 + n_bootstrap, n_asymmetries)."""
    return {f"{x:+.1f}": interval_of(samples[:, i], confidence) for i, x in enumerate(ASYMMETRIES)}


def within(interval: Interval, expected: float, tolerance: float) -> bool:
    return interval.inside(expected * (1 - tolerance), expected * (1 + tolerance))
