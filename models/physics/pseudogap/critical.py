"""The quantum critical point of the particle-hole symmetric pseudogap impurity, and the exponent of its energy scale.

At fixed U and 0 < r < 1/2 a critical coupling Gamma_c separates the free moment (Gamma_0 < Gamma_c) from symmetric
strong coupling. T chi_imp first comes to a value of the critical point, and leaves it at a temperature T* that vanishes
on both sides,

    T* ~ |Gamma_0 - Gamma_c|^nu.

T* is where T chi_imp is half way between the critical value and that of the phase, on a logarithmic scale of T. So nu
is the slope of ln T* over ln |Gamma_0 / Gamma_c - 1|: Gamma_c depends on Lambda and the number of kept states, but is
found for the same chain and drops out.

A second measurement has neither a threshold nor a fit. Close to Gamma_c the flows of Gamma_c (1 +- x) part in
proportion to x, and what is odd in x grows by one factor for each factor of Lambda in temperature,

    T chi(-x; T) - T chi(+x; T) ~ T^(-1/nu).

On a chain that is exact once irrelevant corrections have died out, and before the difference is large. T* itself keeps
a ripple with the period ln Lambda; distances whose T* lie whole periods apart (`matched_distances`) see none of it.

Gamma_c is bisected, and in the linear regime interpolated. A run says its phase where T chi_imp comes near one of the
closed forms, or, where it is critical to the lowest temperature, by whether it rises or falls at the end. For r > 3/8
rounding breaks particle-hole symmetry, which is relevant there (Gonzalez-Buxton and Ingersent, Phys. Rev. B 57, 14254
(1998)): runs should end above 1e-60 D.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.physics.pseudogap.flow import Flow, FlowSettings, PseudogapImpurity, fixed_point_moments, flow

__all__ = [
    "FEWEST", "SIDES", "CriticalPoint", "ExponentFit", "Growth", "NoCriticalPoint", "Side",
    "critical_point", "crossover_temperature", "fitted_exponent", "growth", "matched_distances", "phase_of",
]  # fmt: skip

Floats = NDArray[np.float64]
Side = Literal["screened", "local moment"]
SIDES: tuple[Side, Side] = ("screened", "local moment")
NEAR = 0.02  # of the distance between the closed forms: a phase is reached
DIGITS = 100  # least distance, in units of the error of Gamma_c
FEWEST = 4  # distances of a fit
GUESS = 0.01  # half of the next bracket in units of the last one
ROUNDING = 2e-15  # relative: couplings nearer to each other are one
SAME = 2e-3  # of that distance: two flows still agree, and are critical


class NoCriticalPoint(ArithmeticError):
    """No coupling of the range lies on the other side of a transition."""


@dataclass(frozen=True, kw_only=True)
class CriticalPoint:
    """Gamma_c of one chain, and what the impurity has there."""

    exponent: float  # r
    interaction: float  # U [D]
    coupling: float  # Gamma_c [D]
    error: float  # half the last bracket, relative to Gamma_c
    effective_moment: float  # T chi_imp at the critical point
    entropy: float  # [k_B]
    temperature: float  # down to which the flows of both ends of the bracket agree [D]


def phase_of(flow: Flow, exponent: float) -> Side:
    """The phase that a flow goes to, by the nearer closed form; one that is still critical by its direction."""
    screened, free = fixed_point_moments(exponent)
    last, margin = float(flow.effective_moment[-1]), NEAR * (free - screened)
    if last < screened + margin or last > free - margin:
        return "screened" if last < 0.5 * (screened + free) else "local moment"
    earlier = float(flow.effective_moment[-1 - min(12, flow.temperatures.size - 1)])
    return "screened" if last < earlier else "local moment"


def critical_point(
    exponent: float, interaction: float, settings: FlowSettings, *, lowest: float = 1e-80,
    bracket: tuple[float, float] | None = None,
) -> CriticalPoint:  # fmt: skip
    """Bisect ln Gamma_0 until runs to `lowest` [D] no longer tell the phases apart, or Gamma_0 has no more digits.

    bracket: couplings in the free and in the screened phase [D]; by default U / 1000 to U, widened where needed.
    Raises NoCriticalPoint where the ends of the range lie in one phase.
    """
    screened, free = fixed_point_moments(exponent)
    margin = NEAR * (free - screened)

    def run(coupling: float) -> Flow:
        impurity = PseudogapImpurity(exponent=exponent, interaction=interaction, hybridization=coupling)
        return flow(impurity, settings, lowest, decided_outside=(screened + margin, free - margin))

    low, high = bracket if bracket is not None else (1e-3 * interaction, interaction)
    flows = {low: run(low), high: run(high)}
    if (phase_of(flows[low], exponent), phase_of(flows[high], exponent)) != ("local moment", "screened"):
        raise NoCriticalPoint(
            f"r = {exponent}, U = {interaction} D: Gamma_0 = {low:.4g} and {high:.4g} D flow to "
            f"{phase_of(flows[low], exponent)} and {phase_of(flows[high], exponent)}; expected a free moment and a "
            "screened one: give another bracket, and r below 1/2"
        )
    while (
        high / low - 1 > ROUNDING
        and agree(flows[low], flows[high], free - screened) > lowest * settings.discretization**2
    ):
        guesses = guessed(low, high, flows[low], flows[high], free - screened)
        for coupling in (*guesses, math.sqrt(low * high)):
            if coupling <= low or coupling >= high or (coupling not in guesses and low in guesses and high in guesses):
                continue
            flows[coupling] = run(coupling)
            low, high = (low, coupling) if phase_of(flows[coupling], exponent) == "screened" else (coupling, high)
        if not low < math.sqrt(low * high) < high:
            break
    return at_critical_point(exponent, interaction, (low, high), (flows[low], flows[high]))


def guessed(low: float, high: float, a: Flow, b: Flow, range_: float) -> tuple[float, ...]:
    """Two couplings close to both sides of Gamma_c, where the flows of the bracket leave it in the linear regime.

    There T chi_imp of a coupling between them is their mean with weights; at Gamma_c it does not change with T.
    """
    n = min(a.temperatures.size, b.temperatures.size)
    apart = a.effective_moment[:n] - b.effective_moment[:n]
    near = np.flatnonzero((apart > 0) & (apart < 10 * SAME * range_))
    if not near.size or near[-1] < 24 or high / low > 1.01:
        return ()
    i, earlier = near[-1], near[-1] - 4
    slopes = [float(x.effective_moment[i] - x.effective_moment[earlier]) for x in (a, b)]
    if not slopes[0] > 0 > slopes[1]:
        return ()
    middle, half = low + (high - low) * slopes[0] / (slopes[0] - slopes[1]), GUESS * (high - low)
    return middle - half, middle + half


def agree(a: Flow, b: Flow, range_: float) -> float:
    """Lowest temperature to which both flows have one T chi_imp [D]."""
    n = min(a.temperatures.size, b.temperatures.size)
    apart = np.abs(a.effective_moment[:n] - b.effective_moment[:n]) > SAME * range_
    first = int(np.argmax(apart)) if apart.any() else n
    return float(a.temperatures[max(first - 1, 0)])


def at_critical_point(
    exponent: float, interaction: float, bracket: tuple[float, float], flows: tuple[Flow, Flow]
) -> CriticalPoint:
    low, high = bracket
    screened, free = fixed_point_moments(exponent)
    temperature = agree(*flows, free - screened)
    index = int(np.flatnonzero(flows[0].temperatures == temperature)[0])
    moment, entropy = (
        0.5 * float(getattr(flows[0], name)[index] + getattr(flows[1], name)[index])
        for name in ("effective_moment", "entropy")
    )
    return CriticalPoint(
        exponent=exponent, interaction=interaction, coupling=math.sqrt(low * high), error=(high / low - 1) / 2,
        effective_moment=moment, entropy=entropy, temperature=temperature,
    )  # fmt: skip


def crossover_temperature(
    point: CriticalPoint, side: Side, distance: float, settings: FlowSettings, *, lowest: float = 1e-80
) -> float:
    """T* [D] at Gamma_0 = Gamma_c (1 +- distance); NaN where it lies below `lowest` or Gamma_c is not known so well."""
    if not 0 < distance < 1:
        raise ValueError(f"distance {distance!r}: expected 0 < |Gamma_0 / Gamma_c - 1| < 1")
    if distance < DIGITS * point.error:
        return math.nan
    screened, free = fixed_point_moments(point.exponent)
    final = screened if side == "screened" else free
    middle = 0.5 * (point.effective_moment + final)
    beyond = 0.1 * (final - middle)
    coupling = point.coupling * (1 + distance if side == "screened" else 1 - distance)
    impurity = PseudogapImpurity(exponent=point.exponent, interaction=point.interaction, hybridization=coupling)
    bounds = (middle + beyond, math.inf) if side == "screened" else (-math.inf, middle + beyond)
    return crossing(flow(impurity, settings, lowest, decided_outside=bounds), middle)


def crossing(flow: Flow, value: float) -> float:
    """The lowest temperature where T chi_imp is `value` [D], linear in ln T between temperatures; NaN without one."""
    apart = flow.effective_moment - value
    changes = np.flatnonzero(apart[:-1] * apart[1:] <= 0)
    if not changes.size:
        return math.nan
    i = int(changes[-1])
    log_t = np.log(flow.temperatures)
    share = apart[i] / (apart[i] - apart[i + 1]) if apart[i] != apart[i + 1] else 0.0
    return float(np.exp(log_t[i] + share * (log_t[i + 1] - log_t[i])))


@dataclass(frozen=True, kw_only=True)
class Growth:
    """1/nu from how fast two flows part on both sides of Gamma_c."""

    inverse_exponent: float  # 1/nu, where it changes least
    error: float  # largest change over the three periods around it
    temperatures: Floats  # [D], falling, a factor of Lambda apart, (n,)
    local: Floats  # 1/nu at each, (n,)


def growth(point: CriticalPoint, settings: FlowSettings, *, lowest: float = 1e-80) -> Growth:
    """Two runs; ArithmeticError where they part within fewer than six periods."""
    screened, free = fixed_point_moments(point.exponent)
    range_, period = free - screened, settings.temperatures_per_step
    distance = min(max(1e-7, 10 * DIGITS * point.error), 1e-2)
    bounds = (point.effective_moment - 0.1 * range_, point.effective_moment + 0.1 * range_)
    lower, upper = (
        flow(
            PseudogapImpurity(
                exponent=point.exponent, interaction=point.interaction, hybridization=point.coupling * (1 + x)
            ),
            settings, lowest, decided_outside=bounds,
        )
        for x in (-distance, distance)
    )  # fmt: skip
    n = min(lower.temperatures.size, upper.temperatures.size)
    apart = lower.effective_moment[:n] - upper.effective_moment[:n]
    used = apart > 0
    start = n - int(np.argmin(used[::-1])) if not used.all() else 0
    apart, temperatures = apart[start::period], lower.temperatures[start:n:period]
    local = np.log(apart[1:] / apart[:-1]) / math.log(settings.discretization)
    if local.size < 6:
        raise ArithmeticError(
            f"r = {point.exponent}: the flows at Gamma_c (1 +- {distance:.2g}) part within {local.size} periods of "
            "Lambda; expected at least 6, lower the lowest temperature"
        )
    change = np.array([np.ptp(local[i - 1 : i + 3]) for i in range(1, local.size - 2)])
    best = int(np.argmin(change)) + 1
    return Growth(
        inverse_exponent=float(local[best]), error=float(change[best - 1]), temperatures=temperatures[1:], local=local
    )


def matched_distances(largest: float, inverse_exponent: float, settings: FlowSettings, n: int, periods: int) -> Floats:
    """n distances, falling, whose T* lie `periods` factors of Lambda apart for this 1/nu."""
    return np.asarray(largest * settings.discretization ** (-periods * inverse_exponent * np.arange(n)))


@dataclass(frozen=True, kw_only=True)
class ExponentFit:
    """nu from crossover temperatures at several distances."""

    exponent: float  # nu
    error: float  # twice the change where an end of the distances is left out, and what the error of Gamma_c does
    local_slopes: Floats  # (n_distances - 1,) between neighbours
    distances: Floats  # geometric mean of neighbours, ascending, (n_distances - 1,)


def fitted_exponent(distances: Floats, temperatures: Floats, *, coupling_error: float) -> ExponentFit:
    """Least squares, ln T* = a + nu ln x + b x: T* is analytic in Gamma_0 but for the power.

    coupling_error: relative, of Gamma_c. NaN among the T* are left out; ValueError with fewer than four that are left.
    """
    known = np.isfinite(temperatures)
    if known.sum() < FEWEST:
        raise ValueError(
            f"found {int(known.sum())} distances with a crossover temperature, expected at least {FEWEST}: choose "
            "larger distances, or lower the lowest temperature"
        )
    order = np.argsort(distances[known])
    x, y = distances[known][order], np.log(temperatures[known][order])
    nu = slope(x, y)
    left_out = max(abs(slope(x[1:], y[1:]) - nu), abs(slope(x[:-1], y[:-1]) - nu))
    shifted = max(abs(slope(x + shift, y) - nu) for shift in (-coupling_error, coupling_error))
    error = 2 * left_out + shifted
    return ExponentFit(
        exponent=nu, error=error, local_slopes=np.diff(y) / np.diff(np.log(x)), distances=np.sqrt(x[1:] * x[:-1])
    )


def slope(x: Floats, y: Floats) -> float:
    terms = np.column_stack([np.log(x), np.ones_like(x), x / x.max()])
    return float(np.linalg.lstsq(terms, y, rcond=None)[0][0])
