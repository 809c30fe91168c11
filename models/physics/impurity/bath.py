"""The band that an impurity couples to, as its hybridization function.

One spin of the impurity sees its bath only through

    Delta(w + i0) = sum_k V_k^2 / (w + i0 - eps_k),     Gamma(w) = -Im Delta(w + i0) = pi sum_k V_k^2 delta(w - eps_k).

Gamma is given at points and linear between them, or as a function that is resolved by such points. A frequency that
stands twice is a step: from the first value to the second. Beyond the first and the last point there is no weight.
Near w = 0 a grid has no end: with `exponent` r > 0, Gamma ~ |w|^r from the innermost point of each sign down to zero.
Weights are then integrals of straight lines and powers, and so is the real part,

    Re Delta(w) = (1/pi) P int Gamma(e) / (w - e) de,

a sum of logarithms, and for the power law on [0, b], with u = w / b and H_r the harmonic number,

    P int_0^1 x^r / (u - x) dx  =  F(1, r+1; r+2; 1/u) / ((r+1) u)                                |u| > 1
                                =  pi cot(pi r) u^r - F(1, -r; 1-r; u) / r                        0 < u < 1
                                =  pi |u|^r / sin(pi r) - F(1, -r; 1-r; u) / r                   -1 < u < 0
                                ->  -ln|1 - u| - H_r                                             u -> 1.

At a step Re Delta diverges; everywhere else it is finite. Energies are in units of the half bandwidth D.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy import special

__all__ = ["Bath", "NoWeightAtFermiLevel", "Pieces", "SpinBaths"]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
TOLERANCE = 1e-5  # of the straight lines that resolve a function, relative to the function
SMALL = 1e-3  # of the largest value: below it the tolerance is absolute
NARROWEST = 1e-13  # of the support: a mesh is not refined further
MOST_POINTS = 200_000


class NoWeightAtFermiLevel(UserWarning):
    """Gamma vanishes on an interval around w = 0: nothing screens a spin, and Friedel's rule has no meaning."""


class Pieces(NamedTuple):
    """Intervals where Gamma is no zero, ascending, and whether it is a power law or a straight line there."""

    low: Floats  # (n_pieces,) each [D]
    high: Floats
    at_low: Floats  # Gamma there [D]
    at_high: Floats
    exponent: Floats  # r, NaN for a straight line


@dataclass(frozen=True, eq=False)
class Bath:
    """Gamma(omega) of one spin; raises ValueError that lists all that is wrong with it.

    omega: ascending, a frequency twice in a row for a step, (n,) [D]; gamma: >= 0, (n,) [D]. Two baths are equal where
    their points are.
    """

    omega: Floats
    gamma: Floats
    exponent: float | None = None

    def __init__(self, omega: ArrayLike, gamma: ArrayLike, exponent: float | None = None) -> None:
        points, values = (np.array(x, dtype=np.float64) for x in (omega, gamma))
        problems = problems_of_grid(points, values, exponent)
        if problems:
            raise ValueError("Bath: " + "; ".join(problems))
        if exponent is not None and exponent > 0:
            points, values = points[points != 0], values[points != 0]
        elif exponent is not None:
            points, values = with_constant_core(points, values)
        for array in (points, values):
            array.setflags(write=False)
        for name, value in (("omega", points), ("gamma", values), ("exponent", exponent)):
            object.__setattr__(self, name, value)
        if not self.has_fermi_level:
            warnings.warn(
                "Bath: no weight at the Fermi level omega = 0; the chain ends at the gap, and a spin stays free",
                NoWeightAtFermiLevel, stacklevel=2,
            )  # fmt: skip

    @classmethod
    def from_function(
        cls, gamma: Callable[[Floats], Floats], low: float, high: float, *,
        exponent: float | None = None, breakpoints: Sequence[float] = (),
    ) -> "Bath":  # fmt: skip
        """Resolve Gamma(omega) on [low, high] [D] by straight lines that are right to 1e-5 of it.

        gamma: (n,) -> (n,). breakpoints: steps, kinks and edges of gaps.
        exponent: of the power law that gamma follows below 1e-6 of the support.
        """
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"Bath: support [{low!r}, {high!r}]: expected two finite numbers, the lower one first [D]")
        core = 0.0 if exponent is None else 1e-6 * (high - low)
        inner = {float(x) for x in breakpoints if low < x < high} | ({-core, core} if exponent is not None else set())
        ends = [low, *sorted(x for x in inner if low < x < high), high]
        meshes, values = [], []
        for a, b in pairwise(ends):
            if exponent is None or not -core <= 0.5 * (a + b) <= core:
                x, y = resolved(gamma, a, b, high - low)
                meshes.append(x)
                values.append(y)
        return cls(np.concatenate(meshes), np.concatenate(values), exponent)

    @classmethod
    def flat(cls, hybridization: float, low: float = -1.0, high: float = 1.0) -> "Bath":
        """The box."""
        return cls([low, high], [hybridization, hybridization])

    @classmethod
    def power_law(cls, hybridization: float, exponent: float, low: float = -1.0, high: float = 1.0) -> "Bath":
        """Gamma |w / D|^r on [low, high], r >= 0: a pseudogap."""
        ends = np.array([low, high])
        return cls(ends, hybridization * np.abs(ends) ** exponent, exponent)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bath) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @cached_property
    def key(self) -> tuple[bytes, bytes, float | None]:
        return self.omega.tobytes(), self.gamma.tobytes(), self.exponent

    @cached_property
    def pieces(self) -> Pieces:
        x, y = self.omega, self.gamma
        low, high, at_low, at_high = x[:-1], x[1:], y[:-1], y[1:]
        exponent = np.full(low.size, np.nan)
        if self.exponent is not None and self.exponent > 0:
            core = (low <= 0) & (high >= 0)
            tails = [
                (point, 0.0, value, 0.0) if point < 0 else (0.0, point, 0.0, value)
                for point, value in zip((x[x < 0][-1:].tolist() + x[x > 0][:1].tolist()),
                                        (y[x < 0][-1:].tolist() + y[x > 0][:1].tolist()), strict=True)
            ]  # fmt: skip
            columns = np.array(tails).T
            low, high, at_low, at_high = (
                np.concatenate([old[~core], new])
                for old, new in zip((low, high, at_low, at_high), columns, strict=True)
            )
            exponent = np.concatenate([exponent[~core], np.full(len(tails), self.exponent)])
        used = (high > low) & ((at_low > 0) | (at_high > 0))
        order = np.argsort(low[used], kind="stable")
        return Pieces(*(column[used][order] for column in (low, high, at_low, at_high, exponent)))

    @cached_property
    def support(self) -> tuple[float, float]:
        """First and last frequency with weight [D]."""
        return float(self.pieces.low[0]), float(self.pieces.high[-1])

    @property
    def reach(self) -> float:
        """Largest |omega| with weight [D]."""
        return max(abs(edge) for edge in self.support)

    @property
    def has_fermi_level(self) -> bool:
        """Whether there is weight at least on one side of w = 0, however close to it."""
        return bool(np.any((self.pieces.low <= 0) & (self.pieces.high >= 0)))

    @property
    def at_fermi_level(self) -> float:
        """Gamma(0) [D]; NaN where it is a step."""
        middle = self.gamma[self.omega == 0]
        return float(self(np.zeros(1))[0]) if middle.size < 2 or middle[0] == middle[-1] else math.nan

    @cached_property
    def steps(self) -> Floats:
        """Frequencies where Gamma jumps and Re Delta diverges, ascending [D]."""
        x, y = self.omega, self.gamma
        inner = x[:-1][(x[:-1] == x[1:]) & (y[:-1] != y[1:])]
        return np.concatenate([x[:1][y[:1] > 0], inner, x[-1:][y[-1:] > 0]])

    @cached_property
    def coupling_squared(self) -> float:
        """V^2 = int Gamma / pi [D^2]."""
        p = self.pieces
        return math.fsum(weight_of(p, p.low, p.at_low, p.high, p.at_high)) / math.pi

    @property
    def mean(self) -> float:
        """Gamma averaged over the width of all intervals with weight, its scale [D]; of a box its height."""
        return math.pi * self.coupling_squared / math.fsum(self.pieces.high - self.pieces.low)

    def __call__(self, omega: Floats) -> Floats:
        """Gamma [D], same shape as omega; at a step the mean of both sides."""
        x = np.asarray(omega, dtype=np.float64)
        return np.asarray(0.5 * (self.one_sided(x, "left") + self.one_sided(x, "right")))

    def one_sided(self, omega: Floats, side: str) -> Floats:
        p = self.pieces
        index = np.searchsorted(p.low, omega, side="right" if side == "right" else "left") - 1
        at = np.clip(index, 0, None)
        inside = (index >= 0) & ((omega < p.high[at]) if side == "right" else (omega <= p.high[at]))
        return np.where(inside, value_of(Pieces(*(column[at] for column in p)), omega), 0.0)

    def cumulative(self, omega: Floats) -> Floats:
        """int Gamma from the lower end of the support to omega [D^2], exact for the points; same shape."""
        p, x = self.pieces, np.asarray(omega, dtype=np.float64)
        before = np.concatenate([[0.0], np.cumsum(weight_of(p, p.low, p.at_low, p.high, p.at_high))])
        index = np.searchsorted(p.low, x, side="right") - 1
        at = np.clip(index, 0, None)
        piece = Pieces(*(column[at] for column in p))
        end = np.clip(x, piece.low, piece.high)
        part = weight_of(piece, piece.low, piece.at_low, end, value_of(piece, end))
        return np.where(index >= 0, before[at] + part, 0.0)

    def delta(self, omega: Floats) -> Complexes:
        """Delta(omega + i0) [D], same shape; ValueError at a step, where its real part diverges."""
        x = np.asarray(omega, dtype=np.float64)
        bad = np.isin(x, self.steps)
        if bad.any():
            raise ValueError(
                f"omega = {np.unique(x[bad]).tolist()}: Gamma jumps there and Delta diverges; "
                "expected a grid that avoids the steps of the bath"
            )
        p = self.pieces
        flat = np.ascontiguousarray(x.ravel())
        line = np.isnan(p.exponent)
        real = principal_value(flat, *(np.ascontiguousarray(column[line]) for column in p[:4]))
        for low, high, at_low, at_high, r in zip(*(column[~line] for column in p), strict=True):
            sign, end, value = (1, high, at_high) if low == 0 else (-1, -low, at_low)
            real += sign * value * power_law_integral(sign * flat / end, float(r), float(end))
        return np.asarray(real.reshape(x.shape) / math.pi - 1j * self(x))

    def mirrored(self) -> "Bath":
        """Gamma(-omega), the bath of the particle-hole mirror."""
        return Bath(-self.omega[::-1], self.gamma[::-1], self.exponent)

    def slope_integral(self, omega: Floats) -> Floats:
        """sign(w) int Gamma'(e) / (w - e) de over e of the other sign than w != 0, steps included; same shape [1].

        What Friedel's rule asks of the bath, see friedel.py; for Gamma(0) = 0 by a power law it diverges.
        """
        p = split_at_zero(self.pieces)
        p = Pieces(*(column[np.isnan(p.exponent)] for column in p))
        edges = np.unique(np.concatenate([p.low, p.high]))
        edges = edges[edges != 0]
        jumps = self.one_sided(edges, "right") - self.one_sided(edges, "left")
        x = np.asarray(omega, dtype=np.float64)
        slopes = (p.at_high - p.at_low) / (p.high - p.low)
        flat = slopes == 0
        return opposite_slopes(
            x.ravel(), p.low[~flat], p.high[~flat], slopes[~flat], edges[jumps != 0], jumps[jumps != 0]
        ).reshape(x.shape)


@dataclass(frozen=True, kw_only=True)
class SpinBaths:
    """One bath for each spin, as between ferromagnetic leads."""

    up: Bath
    dn: Bath

    def flipped(self) -> "SpinBaths":
        return replace(self, up=self.dn, dn=self.up)

    def mirrored(self) -> "SpinBaths":
        return SpinBaths(up=self.up.mirrored(), dn=self.dn.mirrored())


def problems_of_grid(omega: Floats, gamma: Floats, exponent: float | None) -> list[str]:
    if omega.ndim != 1 or omega.shape != gamma.shape:
        return [f"omega of shape {omega.shape} and gamma of shape {gamma.shape}: expected two of the same length (n,)"]
    if omega.size < 2:
        return [f"{omega.size} points: expected at least 2, the ends of the support"]
    problems = []
    for name, values in (("omega", omega), ("gamma", gamma)):
        if not np.isfinite(values).all():
            where = np.flatnonzero(~np.isfinite(values))[:5].tolist()
            problems.append(f"{name} is not finite at points {where}: expected numbers [D]; end the grid before it")
    if problems:
        return problems
    if np.any(np.diff(omega) < 0) or np.any(omega[2:] == omega[:-2]) or omega[0] == omega[-1]:
        problems.append("omega: expected ascending, a frequency at most twice (a step); sort the points")
    if np.any(gamma < 0):
        worst = int(np.argmin(gamma))
        problems.append(f"gamma({omega[worst]:g}) = {gamma[worst]:g}: expected Gamma = -Im Delta >= 0; clip noise at 0")
    elif not np.any(gamma[1:] * np.diff(omega) + gamma[:-1] * np.diff(omega) > 0):
        problems.append("gamma is zero everywhere: expected some weight; an impurity without a bath needs no NRG")
    if exponent is not None and not (math.isfinite(exponent) and exponent >= 0):
        problems.append(f"exponent = {exponent!r}: expected r >= 0 of |omega|^r, or None")
    elif exponent is not None and exponent > 0 and np.any(gamma[omega == 0] > 0):
        problems.append(f"gamma(0) > 0 with exponent = {exponent!r}: expected 0; leave exponent out")
    elif exponent is not None and not np.any(omega[omega != 0]):
        problems.append("omega: expected points beside 0 that the power law goes through")
    return problems


def with_constant_core(omega: Floats, gamma: Floats) -> tuple[Floats, Floats]:
    """r = 0: between the innermost points of both signs Gamma is constant on each side of zero."""
    below, above = omega < 0, omega > 0
    left = [0.0] if below.any() else []
    right = [0.0] if above.any() else []
    x = np.concatenate([omega[below], left, right, omega[above]])
    y = np.concatenate([gamma[below], gamma[below][-1:], gamma[above][:1], gamma[above]])
    return x, y


def resolved(gamma: Callable[[Floats], Floats], low: float, high: float, width: float) -> tuple[Floats, Floats]:
    """Points on [low, high] between which gamma is a straight line to TOLERANCE, logarithmic towards both ends."""
    first = max(NARROWEST * width, 4 * np.spacing(max(abs(low), abs(high))))
    half = 0.5 * (high - low)
    near = np.geomspace(first, half, 288) if half > first else np.empty(0)
    x = np.unique(np.concatenate([[low], low + near, np.linspace(low, high, 401), high - near, [high]]))
    if low < 0 < high:
        x = np.unique(np.concatenate([x, -(log := np.geomspace(first, min(-low, high), 288)), [0.0], log]))
    y = evaluated(gamma, x)
    for end, next_ in ((0, 1), (-1, -2)):  # where it jumps at the end, what counts is the limit from within
        if not abs(y[end] - y[next_]) <= 1e-4 * np.max(y[1:-1], initial=0.0):
            y[end] = y[next_]
    scale = SMALL * float(np.max(np.abs(y), initial=0.0))
    open_ = np.ones(x.size - 1, bool)
    while open_.any() and x.size < MOST_POINTS:
        index = np.flatnonzero(open_)
        centre = 0.5 * (x[index] + x[index + 1])
        between = evaluated(gamma, centre)
        bend = np.abs(between - 0.5 * (y[index] + y[index + 1]))
        coarse = (bend > TOLERANCE * np.maximum(np.abs(between), scale)) & (
            np.diff(x)[index] > NARROWEST * np.maximum(width, np.abs(centre))
        )
        split = index[coarse]
        open_ = np.zeros(x.size - 1, bool)
        open_[split] = True
        open_ = np.insert(open_, split, True)
        x, y = np.insert(x, split + 1, centre[coarse]), np.insert(y, split + 1, between[coarse])
    return x, y


def evaluated(gamma: Callable[[Floats], Floats], x: Floats) -> Floats:
    y = np.asarray(gamma(x), dtype=np.float64)
    if y.shape != x.shape:
        raise ValueError(f"Bath: gamma(omega) has shape {y.shape}: expected that of omega, {x.shape}")
    return y


def value_of(piece: Pieces, x: Floats) -> Floats:
    """Gamma at x within its piece; both of the same shape."""
    line = np.isnan(piece.exponent)
    share = (x - piece.low) / (piece.high - piece.low)
    linear = piece.at_low * (1 - share) + piece.at_high * share
    above = piece.high > 0  # a power law lies on one side of zero
    end, value = np.where(above, piece.high, -piece.low), np.where(above, piece.at_high, piece.at_low)
    ratio = np.abs(x) / np.where(line, 1.0, end)
    return np.where(line, linear, value * np.where(line, 1.0, ratio) ** np.where(line, 1.0, piece.exponent))


def weight_of(piece: Pieces, low: Floats, at_low: Floats, high: Floats, at_high: Floats) -> Floats:
    """int Gamma from low to high within its piece."""
    line = np.isnan(piece.exponent)
    power = (high * at_high - low * at_low) / np.where(line, 1.0, 1 + piece.exponent)
    return np.where(line, 0.5 * (high - low) * (at_low + at_high), power)


def split_at_zero(p: Pieces) -> Pieces:
    """The same with pieces that contain w = 0 cut there."""
    cut = (p.low < 0) & (p.high > 0)
    middle = value_of(Pieces(*(column[cut] for column in p)), np.zeros(int(cut.sum())))
    zero = np.zeros(middle.size)
    return Pieces(
        low=np.concatenate([p.low, zero]), high=np.concatenate([np.where(cut, 0.0, p.high), p.high[cut]]),
        at_low=np.concatenate([p.at_low, middle]),
        at_high=np.concatenate([with_value(p.at_high, cut, middle), p.at_high[cut]]),
        exponent=np.concatenate([p.exponent, p.exponent[cut]]),
    )  # fmt: skip


def with_value(values: Floats, where: NDArray[np.bool_], new: Floats) -> Floats:
    result = values.copy()
    result[where] = new
    return result


@njit(cache=True)
def principal_value(omega: Floats, low: Floats, high: Floats, at_low: Floats, at_high: Floats) -> Floats:
    """P int Gamma(e) / (w - e) de of straight lines, (n_omega,).

    With y = (b - a) / (w - b) and L = ln|1 + y|, the weight of Gamma(a) is 1 - L / y and that of Gamma(b) is L less
    that. At the end of a piece the logarithm of zero is left out: it cancels between neighbours.
    """
    total = np.zeros(omega.size)
    for i in range(omega.size):
        w = omega[i]
        for k in range(low.size):
            width = high[k] - low[k]
            if w == low[k]:
                total[i] += (1.0 - np.log(width)) * at_low[k] - at_high[k]
            elif w == high[k]:
                total[i] += at_low[k] + (np.log(width) - 1.0) * at_high[k]
            else:
                y = width / (w - high[k])
                if abs(y) < 0.02:  # most of all pairs on a fine mesh, and exact to rounding
                    tail = 1 / 4 - y * (1 / 5 - y * (1 / 6 - y * (1 / 7 - y / 8)))
                    of_low = y * (1 / 2 - y * (1 / 3 - y * tail))
                    log_ratio = y * (1.0 - of_low)
                else:
                    log_ratio = np.log1p(y if y > -1.0 else -2.0 - y)
                    of_low = 1.0 - log_ratio / y
                total[i] += of_low * at_low[k] + (log_ratio - of_low) * at_high[k]
    return total


@njit(cache=True)
def opposite_slopes(omega: Floats, low: Floats, high: Floats, slopes: Floats, edges: Floats, jumps: Floats) -> Floats:
    """sign(w) int Gamma'(e) / (w - e) de over the other side of zero, for slopes of pieces and jumps at edges."""
    total = np.zeros(omega.size)
    for i in range(omega.size):
        w = omega[i]
        sign = 1.0 if w > 0 else -1.0
        for k in range(low.size):
            if (low[k] + high[k]) * sign < 0:
                total[i] += sign * slopes[k] * np.log1p((high[k] - low[k]) / (w - high[k]))
        for k in range(edges.size):
            if edges[k] * sign < 0:
                total[i] += sign * jumps[k] / (w - edges[k])
    return total


def power_law_integral(u: Floats, r: float, end: float) -> Floats:
    """P int_0^1 x^r / (u - x) dx, (n,); at u = 1 without the logarithm of |1 - u| end, see `principal_value`."""
    result = np.empty(u.size)
    far, edge = np.abs(u) > 1, u == 1
    result[edge] = math.log(end) - special.digamma(1 + r) - np.euler_gamma
    result[far] = special.hyp2f1(1, r + 1, r + 2, 1 / u[far]) / ((r + 1) * u[far])
    near = ~far & ~edge
    v = u[near]
    whole, part = math.floor(r), r - math.floor(r)
    if part == 0:
        value = np.where(v == 0, 0.0, np.log(np.abs(np.where(v == 0, 1.0, v / (v - 1)))))
    else:
        factor = np.where(v > 0, math.pi / math.tan(math.pi * part), math.pi / math.sin(math.pi * part))
        value = factor * np.abs(v) ** part - special.hyp2f1(1, -part, 1 - part, v) / part
    for n in range(whole):
        value = v * value - 1 / (n + 1 + part)
    result[near] = value
    return result
