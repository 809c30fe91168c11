"""Any bath as a Wilson chain, by Lanczos from its star.

    H = sum_n e_n f+_n f_n + sum_n t_n (f+_n f_(n+1) + h.c.),        V^2 = int Gamma / pi to site 0.

Without particle-hole symmetry the sites have energies e_n. As in wilson_chain.py the recursion eats digits without
mercy, more of them where one sign of the energy or a power law makes the levels fall faster; how many is not guessed:
the last vector must be orthogonal to the first one, or it is done again with more of them.

A gap makes the star finite, and the chain has as many sites as the star has levels. Where the baths of both spins
differ, the shorter chain is continued by sites that are coupled to nothing and lie so high that they stay empty.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import mpmath
import numpy as np
from numpy.typing import NDArray

from models.physics.impurity.bath import Bath, SpinBaths
from models.physics.impurity.discretization import Star, discretized

__all__ = ["BathChain", "SpinChains", "bath_chain", "lanczos", "spin_chains"]

Floats = NDArray[np.float64]
CUT_OFF = 1e-17  # of the scale of the last site: levels below change no digit
ORTHOGONAL = 1e-20
TRIES = 8  # 17 times the digits
IDLE_LEVEL = 20.0  # energy of a site that is coupled to nothing, in units of its scale


@dataclass(frozen=True, kw_only=True)
class BathChain:
    """Chain of one spin, all [D]."""

    coupling: float  # V
    levels: Floats  # (n_sites,)
    hoppings: Floats  # (n_sites - 1,) between sites n and n + 1
    scales: Floats  # (n_sites,) energy that NRG measures in when site n is added


@dataclass(frozen=True, kw_only=True)
class SpinChains:
    """Chains of both spins, of one length; `dn` is `up` where the bath is the same."""

    up: BathChain
    dn: BathChain
    scales: Floats  # (n_sites,) [D], of both


def spin_chains(baths: SpinBaths, lambda_: float, z: float, n_sites: int) -> SpinChains:
    """At most n_sites; ValueError where only one spin's bath reaches the Fermi level from both sides."""
    up = bath_chain(baths.up, lambda_, z, n_sites)
    if baths.up == baths.dn:
        return SpinChains(up=up, dn=up, scales=up.scales)
    sides = [sides_at_fermi_level(bath) for bath in (baths.up, baths.dn)]
    if sorted(sides) == [1, 2]:
        raise ValueError(
            f"baths of up and dn reach the Fermi level from {sides[0]} and {sides[1]} sides: their energies fall at "
            "different rates along a chain, expected the same number; a tail of small weight on the empty side mends it"
        )
    dn = bath_chain(baths.dn, lambda_, z, n_sites)
    n = max(up.levels.size, dn.levels.size)
    scales = np.zeros(n)
    for chain in (up, dn):
        scales[: chain.scales.size] = np.maximum(scales[: chain.scales.size], chain.scales)
    return SpinChains(up=continued(up, scales), dn=continued(dn, scales), scales=scales)


def sides_at_fermi_level(bath: Bath) -> int:
    """From how many sides weight comes arbitrarily near w = 0."""
    p = bath.pieces
    return int(np.any((p.low < 0) & (p.high >= 0))) + int(np.any((p.low <= 0) & (p.high > 0)))


def continued(chain: BathChain, scales: Floats) -> BathChain:
    missing = scales.size - chain.levels.size
    return BathChain(
        coupling=chain.coupling, levels=np.concatenate([chain.levels, IDLE_LEVEL * scales[scales.size - missing :]]),
        hoppings=np.concatenate([chain.hoppings, np.zeros(missing)]), scales=scales,
    )  # fmt: skip


@lru_cache(maxsize=256)
def bath_chain(bath: Bath, lambda_: float, z: float, n_sites: int) -> BathChain:
    """At most n_sites sites, fewer where a gap ends the star; cached, for it depends on no other parameter."""
    star = discretized(bath, lambda_, z, n_sites + math.ceil(-math.log(CUT_OFF) / math.log(lambda_)))
    n_sites = min(n_sites, star.energies.size)
    used = np.abs(star.energies) >= CUT_OFF * star.scales[n_sites - 1]
    used[:n_sites] = True
    levels, hoppings = lanczos(Star(star.energies[used], star.weights[used], star.scales[used]), n_sites)
    chain = BathChain(
        coupling=math.sqrt(bath.coupling_squared), levels=levels, hoppings=hoppings, scales=star.scales[:n_sites]
    )
    for array in (chain.levels, chain.hoppings, chain.scales):
        array.setflags(write=False)
    return chain


def lanczos(star: Star, n_sites: int) -> tuple[Floats, Floats]:
    """Energies (n_sites,) and hoppings (n_sites - 1,) of the chain [D]."""
    digits = 40 + math.ceil(0.56 * n_sites * math.log10(star.scales[0] / star.scales[n_sites - 1]))
    for _ in range(TRIES):
        levels, hoppings, overlap = tridiagonal(star, n_sites, digits)
        if overlap < ORTHOGONAL:
            return levels, hoppings
        digits = math.ceil(1.5 * digits)
    raise ArithmeticError(f"Lanczos: no orthogonal chain of {n_sites} sites with {digits} digits; ask for fewer sites")


def tridiagonal(star: Star, n_sites: int, digits: int) -> tuple[Floats, Floats, float]:
    """The recursion with so many digits, and the overlap of its first and its last vector (0 for up to two sites)."""
    mp = mpmath.MPContext()
    mp.dps = digits
    energies = [mp.mpf(e) for e in star.energies.tolist()]
    weights = [mp.mpf(w) for w in star.weights.tolist()]
    total = mp.fsum(weights)
    first = [mp.sqrt(w / total) for w in weights]
    current, previous = first, [mp.mpf(0)] * len(first)
    hopping = mp.mpf(0)
    levels, hoppings = [], []
    for n in range(n_sites):
        image = [e * c for e, c in zip(energies, current, strict=True)]
        level = mp.fdot(image, current)
        levels.append(float(level))
        if n == n_sites - 1:
            break
        image = [v - level * c - hopping * p for v, c, p in zip(image, current, previous, strict=True)]
        hopping = mp.sqrt(mp.fdot(image, image))
        previous, current = current, [v / hopping for v in image]
        hoppings.append(float(hopping))
    overlap = float(abs(mp.fdot(first, current))) if n_sites > 2 else 0.0
    return np.array(levels), np.array(hoppings), overlap
