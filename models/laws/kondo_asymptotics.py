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

Order by order: a formula that ends in log log u has an exponent and no powers; one with log(u)/u has powers and no c_1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import log, pi
from typing import Any

import numpy as np

from models.laws.asymptotics import MP, PRECISE_FUNCTIONS, NoExpansion, expand_at_infinity, growth, power
from models.laws.intervals import Interval, interval_of
from models.laws.structure import Structure, bootstrap_constants
from models.laws.symbolic_engine import FloatArray

__all__ = ["ASYMMETRIES_OVER_U", "KondoAsymptotics", "kondo_asymptotics"]

ASYMMETRIES_OVER_U = (0.0, 0.3, -0.6)  # (U + 2 eps_d) / U; xi = (asymmetry_over_U - 1) / 2
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
    """By (U + 2 eps_d) / U: `exponent_ratio` a / theory, powers, c, c_1; `problem` says what is missing."""

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
        judged(
            [log_scale(model, constants, exponents, link, asymmetry_over_U) for asymmetry_over_U in ASYMMETRIES_OVER_U]
        )
        for constants in samples[np.isfinite(samples).all(axis=1)]
    ]
    lost = len(samples) - len(rows)
    problems = [row.problem for row in rows if row.problem] + [f"{lost} refits failed"] * (lost > 0)
    slopes, powers, inverse = (
        complete([getattr(row, name) for row in rows], len(samples)) for name in ("slopes", "powers", "inverse")
    )
    return verdict(slopes, powers, inverse, problems[0] if problems else None, confidence)


@dataclass(kw_only=True)
class Judged:
    """Of one refit, by (U + 2 eps_d) / U: the slope; [p, power of Gamma, c]; c_1. None with the reason in `problem`."""

    slopes: list[float] | None = None
    powers: list[list[float]] | None = None
    inverse: list[float] | None = None
    problem: str | None = None


def judged(functions: Sequence[Callable[..., Any]]) -> Judged:
    found = Judged()
    try:
        found.slopes = [growth(partial(f, gamma=GAMMA)) for f in functions]
        found.powers = [powers_of(f) for f in functions]
        found.inverse = [expand_at_infinity(partial(f, gamma=GAMMA)).inverse for f in functions]
    except NoExpansion as problem:
        found.problem = str(problem)
    return found


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
    asymmetry_over_U: float,
) -> Callable[..., Any]:
    """log(T_K/D) as a function of u and `gamma` = Gamma/D at fixed (U + 2 eps_d) / U."""
    xi = (MP.mpf(str(asymmetry_over_U)) - 1) / 2
    parameters = [MP.mpf(float(c)) for c in constants]

    def value(u: Any, gamma: Any) -> Any:  # noqa: ANN401 - multiple-precision numbers
        energies = {"U": u * gamma, "eps_d": xi * u * gamma, "Gamma": gamma, "D": MP.mpf(1)}
        columns = []
        for powers in exponents:
            column = MP.mpf(1)
            for name, exponent in powers.items():
                column *= energies[name] ** exponent
            columns.append(column)
        return LINKED[link](model(*columns, *parameters))

    return value


def powers_of(function: Callable[..., Any]) -> list[float]:
    """[p, power of Gamma, c]; Gamma/D must be one power and change nothing else."""
    here, there, farther = (power(partial(function, gamma=GAMMA * factor)) for factor in (1, MP.e, MP.e**2))
    q, again = there[2] - here[2], farther[2] - there[2]
    moved = max(abs(there[0] - here[0]), abs(there[1] - here[1]), abs(q - again))
    if moved > 1e-6:
        raise NoExpansion("Gamma/D does not come in as a power")
    p = here[1]
    return [p, q - p, here[2] - q * float(MP.log(GAMMA))]


def verdict(
    slopes: FloatArray | None,  # (1 + n_bootstrap, n_asymmetries)
    powers: FloatArray | None,  # (1 + n_bootstrap, n_asymmetries, 3)
    inverse: FloatArray | None,  # (1 + n_bootstrap, n_asymmetries)
    problem: str | None,
    confidence: float,
) -> KondoAsymptotics:
    theory = np.array([pi / 2 * (x**2 - 1) / 4 for x in ASYMMETRIES_OVER_U])
    ratio = {} if slopes is None else intervals(slopes / theory, confidence)
    p, q, c = ({} if powers is None else intervals(powers[:, :, i], confidence) for i in range(3))
    c_1 = {} if inverse is None else intervals(inverse, confidence)
    both = [*p.values(), *q.values()]
    resolved = bool(c_1) and all(i.low > 0 or i.high < 0 for i in c_1.values())
    return KondoAsymptotics(
        exponent_ratio=ratio,
        power_of_interaction=p,
        power_of_hybridization=q,
        constant=c,
        inverse=c_1,
        exponent=bool(ratio) and all(within(i, 1.0, EXPONENT_TOLERANCE) for i in ratio.values()),
        prefactor=bool(both) and all(within(i, 0.5, PREFACTOR_TOLERANCE) for i in both),
        constant_agrees=bool(c) and all(i.low <= -log(2) / 2 <= i.high for i in c.values()),
        correction_resolved=resolved,
        correction_agrees=resolved and all(i.low <= pi / 2 <= i.high for i in c_1.values()),
        problem=problem,
    )


def intervals(samples: FloatArray, confidence: float) -> dict[str, Interval]:
    """By asymmetry, of the columns of `samples` (1 + n_bootstrap, n_asymmetries)."""
    return {f"{x:+.1f}": interval_of(samples[:, i], confidence) for i, x in enumerate(ASYMMETRIES_OVER_U)}


def within(interval: Interval, expected: float, tolerance: float) -> bool:
    return interval.inside(expected * (1 - tolerance), expected * (1 + tolerance))
