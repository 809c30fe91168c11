"""Any bath as a star: levels that the impurity couples to, one for each logarithmic interval of each sign.

The sign's own band edge D_s starts the intervals, D_s Lambda^(2-x) >= |w| >= D_s Lambda^(1-x) at x = j + z with j = 1,
2 ..., nothing lies above D_s, and z is in (0, 1]. A level carries the weight of its interval exactly, w(x) = int Gamma.
Its energy is to make the average over z exact: levels of all z together have the density Gamma, which is the condition
of Zitko and Pruschke, Phys. Rev. B 79, 085106 (2009),

    Gamma(E) dE/dx = -w(x),        E(1) = D_s.

They integrate it numerically. With the cumulative weight F(e) = int_0^e Gamma its left side is dF(E(x))/dx, and w(x) is
F at the upper end less F at the lower one, so that it is solved by

    F(E(x)) = int_x^(x+1) F(e(x')) dx',        e(x) = min(D_s, D_s Lambda^(2-x)):

the weight below the level is the weight below e, averaged over the interval on its logarithmic scale. It holds for any
Gamma, and for the flat band gives the closed form of wilson_chain.py. Intervals without weight have no level; below a
gap at the Fermi level there are none at all, and the star is finite.

Campo and Oliveira, Phys. Rev. B 72, 104432 (2005), take E = w / int Gamma(e) / e de instead. That is the same for
j >= 2 of a flat band, but leaves out weight near the band edge: `benchmarks/bath.md` compares both.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.physics.impurity.bath import Bath, Pieces, split_at_zero, value_of, weight_of

__all__ = ["Interval", "Star", "discretized", "intervals", "representative_energy"]

Floats = NDArray[np.float64]
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(12)
NEGLIGIBLE = 1e-28  # of all weight in one interval: it counts as empty


class Interval(NamedTuple):
    """One logarithmic interval of |w| [D] and what of the bath lies in it, in ascending |w|."""

    low: float
    high: float
    plateau: float  # length in x over which e(x) stays at the band edge; 1 - z for j = 1, else 0
    pieces: Pieces
    weight: float  # int Gamma [D^2]


class Star(NamedTuple):
    """Levels of the bath in the order of falling |energy|."""

    energies: Floats  # (n_levels,) [D]
    weights: Floats  # (n_levels,) int Gamma over the interval of each, [D^2]
    scales: Floats  # (n_levels,) n-th: where n levels lie above, the energy scale of chain site n [D]


def discretized(
    bath: Bath, lambda_: float, z: float, n_levels: int, energy_of: Callable[[Interval, float], float] | None = None
) -> Star:
    """At most n_levels for each sign; energy_of(interval, Lambda) [D] is `representative_energy` by default."""
    energy_of = representative_energy if energy_of is None else energy_of
    energies, weights = [], []
    steps: list[tuple[float, float]] = []
    for sign in (-1, 1):
        for interval in intervals(bath, sign, lambda_, z, n_levels):
            energies.append(sign * energy_of(interval, lambda_))
            weights.append(interval.weight)
            steps.append((interval.low, interval.high))
    order = np.argsort(-np.abs(energies), kind="stable")
    return Star(np.array(energies)[order], np.array(weights)[order], scales(steps, lambda_))


def intervals(bath: Bath, sign: int, lambda_: float, z: float, n_levels: int) -> list[Interval]:
    """The first n_levels intervals of one sign that hold weight, from the band edge down."""
    side = one_side(bath, sign)
    if not side.low.size:
        return []
    edge, gap, total = float(side.high[-1]), float(side.low[0]), math.pi * bath.coupling_squared
    result: list[Interval] = []
    high, j = edge, 1
    while len(result) < n_levels and high > gap and high > 1e-290:
        low = edge * lambda_ ** (1 - j - z)
        pieces = clipped(side, low, high)
        weight = math.fsum(weight_of(pieces, pieces.low, pieces.at_low, pieces.high, pieces.at_high))
        infinite = gap == 0  # the weights fall without end
        if weight > 0 and (infinite or weight > NEGLIGIBLE * total):
            result.append(Interval(low, high, 1 - z if j == 1 else 0.0, pieces, weight))
        high, j = low, j + 1
    return result


def one_side(bath: Bath, sign: int) -> Pieces:
    """Pieces of one sign as functions of |w|, ascending."""
    p = split_at_zero(bath.pieces)
    here = np.sign(p.low + p.high) == sign
    low, high, at_low, at_high, exponent = (column[here] for column in p)
    if sign < 0:
        low, high, at_low, at_high = -high, -low, at_high, at_low
    order = np.argsort(low, kind="stable")
    return Pieces(*(column[order] for column in (low, high, at_low, at_high, exponent)))


def clipped(side: Pieces, low: float, high: float) -> Pieces:
    """The part of it between low and high."""
    first, last = np.searchsorted(side.high, low, side="right"), np.searchsorted(side.low, high, side="left")
    inner = Pieces(*(column[first:last] for column in side))
    ends = np.maximum(inner.low, low), np.minimum(inner.high, high)
    at_low = np.where(ends[0] == inner.low, inner.at_low, value_of(inner, ends[0]))
    at_high = np.where(ends[1] == inner.high, inner.at_high, value_of(inner, ends[1]))
    return Pieces(ends[0], ends[1], at_low, at_high, inner.exponent)


def representative_energy(interval: Interval, lambda_: float) -> float:
    """E of the equation above [D]; all weights are counted from the lower end of the interval, which keeps digits."""
    p = interval.pieces
    weights = weight_of(p, p.low, p.at_low, p.high, p.at_high)
    below = np.concatenate([[0.0], np.cumsum(weights)])  # F at the ends of the pieces
    log_base = math.log(lambda_)
    averaged = interval.plateau * below[-1]
    starts = np.concatenate([p.low, [interval.high]])
    averaged += float(np.sum(below[1:] * np.log(starts[1:] / p.high))) / log_base  # between pieces F is constant
    half = 0.5 * np.log(p.high / p.low)
    points = p.low[:, None] * np.exp(half[:, None] * (1 + NODES))  # (n_pieces, n_nodes)
    columns = Pieces(*(column[:, None] for column in p))
    cumulative = below[:-1, None] + weight_of(columns, columns.low, columns.at_low, points, value_of(columns, points))
    averaged += float(np.sum(half * (cumulative @ NODE_WEIGHTS))) / log_base
    k = min(int(np.searchsorted(below, averaged, side="right")) - 1, weights.size - 1)
    rest = averaged - below[k]
    low, at_low, high, at_high, r = (float(column[k]) for column in (p.low, p.at_low, p.high, p.at_high, p.exponent))
    if math.isnan(r):
        slope = (at_high - at_low) / (high - low)
        energy = low + 2 * rest / (at_low + math.sqrt(max(at_low**2 + 2 * slope * rest, 0.0)))
    else:
        energy = (low ** (1 + r) + (1 + r) * rest * high**r / at_high) ** (1 / (1 + r))
    return float(min(max(energy, low), high))


def scales(steps: list[tuple[float, float]], lambda_: float) -> Floats:
    """Where n levels lie above, n = 0, 1 ...: each interval of ratio Lambda counts for one, in all parts alike.

    For a band from -D to D it is D Lambda^(-n/2), with one sign alone D Lambda^(-n).
    """
    edges = np.unique(np.array(steps))[::-1]
    logs = -np.log(edges)
    low, high = (-np.log(np.array(steps)[:, k]) for k in (0, 1))
    middle = 0.5 * (logs[1:] + logs[:-1])
    alive = ((high < middle[:, None]) & (middle[:, None] < low)).sum(axis=1)
    above = np.concatenate([[0.0], np.cumsum(np.diff(logs) / math.log(lambda_) * alive)])
    used = np.concatenate([[True], np.diff(above) > 0])
    return np.asarray(np.exp(-np.interp(np.arange(len(steps)), above[used], logs[used])))
