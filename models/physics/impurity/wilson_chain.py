"""The flat band as a Wilson chain.

The band is cut into logarithmic intervals whose edges are shifted by z in (0, 1]. Demanding that the z-average of the
discretised band reproduces the continuous one exactly (Zitko and Pruschke, Phys. Rev. B 79, 085106 (2009)) gives an
ordinary differential equation for the representative energies; for the flat band it has the closed solution, per sign,

    E_1 = 1 - z + (1 - Lambda^-z) / ln Lambda            w_1 = (1 - Lambda^-z) / 2
    E_j = Lambda^(2-j-z) (1 - 1/Lambda) / ln Lambda      w_j = Lambda^(2-j-z) (1 - 1/Lambda) / 2      (j >= 2)

so no correction factor A_Lambda is needed. Lanczos turns this star into the chain whose first site is the orbital that
the impurity couples to. It loses hundreds of digits, hence the multiple-precision arithmetic.

Plain logarithmic discretisation (Wilson 1975, E_j at the middle of its interval) has hoppings in closed form, which
the tests use as the oracle of the Lanczos step.
"""

import math
from functools import cache
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

__all__ = ["flat_band_star", "lanczos_hoppings", "precise", "wilson_chain"]


@cache
def wilson_chain(lambda_: float, z: float, n_sites: int) -> NDArray[np.float64]:
    """Hoppings t_n between chain sites n and n+1, (n_sites - 1,) [D], read-only; on-site energies vanish by symmetry.

    Cached: the chain depends on no impurity parameter.
    """
    n_levels = n_sites // 2 + math.ceil(17 * math.log(10) / math.log(lambda_))  # what is cut off lies 1e-17 below
    arithmetic = precise(lambda_, n_sites)
    hoppings = lanczos_hoppings(*flat_band_star(lambda_, z, n_levels, arithmetic), n_sites, arithmetic)
    hoppings.setflags(write=False)
    return hoppings


def precise(lambda_: float, n_sites: int) -> mpmath.MPContext:
    """Arithmetic with enough digits for the Lanczos recursion, which loses n^2 log10(Lambda) / 4 of them by site n.

    Measured: 108 digits fail at site 33 of Lambda = 2.5, 440 digits at site 46 of Lambda = 5. A context of its own,
    because mpmath's global precision is shared by all threads of a process.
    """
    context = mpmath.MPContext()
    context.dps = 40 + math.ceil(0.28 * n_sites**2 * math.log10(lambda_))
    return context


def flat_band_star(lambda_: float, z: float, n_levels: int, mp: mpmath.MPContext) -> tuple[list[Any], list[Any]]:
    """Positive energies and weights (both signs together sum to 1) of the discretised flat band."""
    base, shift = mp.mpf(lambda_), mp.mpf(z)
    log_base = mp.log(base)
    energies = [1 - shift + (1 - base**-shift) / log_base]
    weights = [(1 - base**-shift) / 2]
    for j in range(2, n_levels + 1):
        edge = base ** (2 - j - shift) * (1 - 1 / base)
        energies.append(edge / log_base)
        weights.append(edge / 2)
    return energies, weights


def lanczos_hoppings(
    energies: list[Any], weights: list[Any], n_sites: int, mp: mpmath.MPContext
) -> NDArray[np.float64]:
    """Tridiagonalise a star symmetric about zero (levels +-E_j, weights w_j each); returns t_n, (n_sites - 1,).

    The Krylov vectors alternate between even and odd in E, so only the amplitudes at +E_j are stored.
    """
    total = mp.fsum(weights)
    current = [mp.sqrt(w / total) for w in weights]  # amplitude at +E_j times sqrt(2)
    previous = [mp.mpf(0)] * len(current)
    hopping = mp.mpf(0)
    hoppings = []
    for _ in range(n_sites - 1):
        image = [e * c - hopping * p for e, c, p in zip(energies, current, previous, strict=True)]
        hopping = mp.sqrt(mp.fsum(v * v for v in image))
        previous, current = current, [v / hopping for v in image]
        hoppings.append(float(hopping))
    return np.array(hoppings)
