"""Operators between multiplets: the Wigner-Eckart theorem, and what adding a site does to a reduced matrix element.

Where spin is conserved, the 2S + 1 states of a multiplet differ by Clebsch-Gordan coefficients alone. Of a tensor
operator T of rank k one number is left for each pair of multiplets a, b (Edmonds, Angular Momentum in Quantum
Mechanics, 1957),

    D_ab = <b||T||a> / sqrt(2k + 1),        D_ab^2 = sum_(m_a, m_b) <b, m_b|T_q|a, m_a>^2      for any one component q.

With this factor D takes the place of plain matrix elements in every sum over pairs of states: spectra and
susceptibilities need no more coefficients. Stored are, as for plain operators, bra a and ket b of

    d_s, d_s n_-s    rank 1/2: T = (d+_up, d+_dn), so that a has one electron less than b, and S_a = S_b -+ 1/2
    S_z              rank 1: a and b have equally many, S_a = S_b or S_b - 1; S_b + 1 by D_ba = (-1)^(S_a - S_b) D_ab.

An operator of the older part, whose multiplet p couples with the site's spin s (0 or 1/2) to S, goes on by a 6j symbol
(Edmonds, eq. 7.1.7):

    D_ab = (-1)^(S_pb + s + S_a + k) sqrt((2 S_a + 1)(2 S_b + 1)) {S_pa S_a s; S_b S_pb k} D_(pa, pb).

Spins and ranks are doubled here, so that they are integers.
"""

from fractions import Fraction
from functools import cache
from math import factorial, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.physics.impurity.shell import SPIN_DN, SPIN_UP

__all__ = ["DOUBLET", "FIRST", "SECOND", "SECOND_TRANSPOSED", "TRIPLET", "Recoupling", "recoupling", "six_j"]

Floats = NDArray[np.float64]
Charge = tuple[int, int]
SITE_SPIN = (0, 1, 1, 0)  # of the site in states s = 0 ... 3
OLDER_SPIN = (0, -1, 1, 0)  # of the older part, less that of the whole
# How far the highest weights (N_up, N_dn) of bra and ket differ, for the two kinds of pairs that are stored.
DOUBLET: tuple[Charge, Charge] = (SPIN_UP, SPIN_DN)
TRIPLET: tuple[Charge, Charge] = ((0, 0), (1, -1))
ABSENT, FIRST, SECOND, SECOND_TRANSPOSED = -1, 0, 1, 2


class Recoupling(NamedTuple):
    """D_ab of one kind of pair from D of the older part, for site states s_a, s_b."""

    factors: Floats  # (4, 4, most + 1) the last axis is 2 S_b
    source: NDArray[np.int64]  # (4, 4) the kind of pair that the older multiplets are, or ABSENT


@cache
def recoupling(kinds: tuple[Charge, Charge], kind: int, most: int) -> Recoupling:
    """How pairs of `kind` (0 or 1) of DOUBLET or TRIPLET follow from those of both; most: largest 2 S_b."""
    changes = [charge[1] - charge[0] for charge in kinds]
    rank = max(abs(change) for change in changes)
    factors, source = np.zeros((4, 4, most + 1)), np.full((4, 4), ABSENT)
    for s_a in range(4):
        for s_b in range(4):
            if s_a != s_b and not SITE_SPIN[s_a] == SITE_SPIN[s_b] == 1:
                continue
            older = changes[kind] + OLDER_SPIN[s_a] - OLDER_SPIN[s_b]
            if older in changes:
                source[s_a, s_b] = changes.index(older)
            elif rank == 2 and -older in changes:
                source[s_a, s_b] = SECOND_TRANSPOSED
            else:
                continue
            sign = -1 if source[s_a, s_b] == SECOND_TRANSPOSED else 1
            for b in range(most + 1):
                a = b + changes[kind]
                p_a, p_b = a + OLDER_SPIN[s_a], b + OLDER_SPIN[s_b]
                if min(a, p_a, p_b) >= 0:
                    phase = (-1) ** ((p_b + SITE_SPIN[s_b] + a + rank) // 2)
                    symbol = six_j(p_a, a, SITE_SPIN[s_b], b, p_b, rank)
                    factors[s_a, s_b, b] = sign * phase * sqrt((a + 1) * (b + 1)) * symbol
    return Recoupling(factors, source)


def six_j(a: int, b: int, c: int, d: int, e: int, f: int) -> float:
    """{a b c; d e f} of doubled spins, by Racah's formula in whole numbers."""
    triads = ((a, b, c), (a, e, f), (d, b, f), (d, e, c))
    if any(sum(t) % 2 or max(t) > sum(t) - max(t) for t in triads):
        return 0.0
    lows = [sum(t) // 2 for t in triads]
    highs = [(a + b + d + e) // 2, (b + c + e + f) // 2, (a + c + d + f) // 2]
    total = Fraction(0)
    for t in range(max(lows), min(highs) + 1):
        below = 1
        for low in lows:
            below *= factorial(t - low)
        for high in highs:
            below *= factorial(high - t)
        total += Fraction((-1) ** t * factorial(t + 1), below)
    triangles = Fraction(1)
    for x, y, z in triads:
        triangles *= Fraction(
            factorial((x + y - z) // 2) * factorial((x - y + z) // 2) * factorial((y + z - x) // 2),
            factorial((x + y + z) // 2 + 1),
        )
    return float(total) * sqrt(triangles)
