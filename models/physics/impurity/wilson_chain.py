"""The flat band as a Wilson chain.

The band is cut into logarithmic intervals whose edges are shifted by z in (0, 1]. Demanding that the z-average of the
discretised band reproduces the continuous one exactly (Zitko and Pruschke, Phys. Rev. B 79, 085106 (2009)) gives an
ordinary differential equation for the representative energies; for the flat band it has the closed solution, per sign,

    E_1 = 1 - z + (1 - Lambda^-z) / ln Lambda            w_1 = (1 - Lambda^-z) / 2
    E_j = Lambda^(2-j-z) (1 - 1/Lambda) / ln Lambda      w_j = Lambda^(2-j-z) (1 - 1/Lambda) / 2      (j >= 2)

so no correction factor A_Lambda is needed. Lanczos turns this star into the chain whose first site is the orbital that
the impurity couples to. It loses about three digits a site, hence the multiple-precision arithmetic.

Plain logarithmic discretisation (Wilson 1975, E_j at the middle of its interval) has hoppings in closed form, which
the tests use as the oracle of the Lanczos step.
"""

import math
from functools import cache

import mpmath
import numpy as np
from numpy.typing import NDArray

__all__ = ["flat_band_star", "lanczos_hoppings", "wilson_chain"]


@cache
def wilson_chain(lambda_: float, z: float, n_sites: int) -> NDArray[np.float64]:
    """Hoppings t_n between chain sites n and n+1, (n_sites - 1,) [D], read-only; on-site energies vanish by symmetry.

    Cached: the chain depends on no impurity parameter.
    """
    n_levels = n_sites // 2 + math.ceil(
        17 * math.log(10) / math.log(lambda_)
    )  # what is cut off lies 1e-17 below the last site
    hoppings = lanczos_hoppings(*flat_band_star(lambda_, z, n_levels, digits(n_sites)), n_sites)
    hoppings.setflags(write=False)
    return hoppings


def digits(n_sites: int) -> int:
    """Decimal digits that keep the Lanczos recursion stable (measured: 80 + 6 n is enough, 108 fails at 33 sites)."""
    return 80 + 6 * n_sites


def flat_band_star(lambda_: float, z: float, n_levels: int, n_digits: int) -> tuple[list[mpmath.mpf], list[mpmath.mpf]]:
    """Positive energies and weights (both signs together sum to 1) of the discretised flat band."""
    with mpmath.workdps(n_digits):
        base, shift = mpmath.mpf(lambda_), mpmath.mpf(z)
        log_base = mpmath.log(base)
        energies = [1 - shift + (1 - base**-shift) / log_base]
        weights = [(1 - base**-shift) / 2]
        for j in range(2, n_levels + 1):
            edge = base ** (2 - j - shift) * (1 - 1 / base)
            energies.append(edge / log_base)
            weights.append(edge / 2)
        return energies, weights


def lanczos_hoppings(energies: list[mpmath.mpf], weights: list[mpmath.mpf], n_sites: int) -> NDArray[np.float64]:
    """Tridiagonalise a star symmetric about zero (levels +-E_j, weights w_j each); returns t_n, (n_sites - 1,).

    The Krylov vectors alternate between even and odd in E, so only the amplitudes at +E_j are stored.
    """
    with mpmath.workdps(digits(n_sites)):
        total = mpmath.fsum(weights)
        current = [mpmath.sqrt(w / total) for w in weights]  # amplitude at +E_j times sqrt(2)
        previous = [mpmath.mpf(0)] * len(current)
        hopping = mpmath.mpf(0)
        hoppings = []
        for _ in range(n_sites - 1):
            image = [e * c - hopping * p for e, c, p in zip(energies, current, previous, strict=True)]
            hopping = mpmath.sqrt(mpmath.fsum(v * v for v in image))
            previous, current = current, [v / hopping for v in image]
            hoppings.append(float(hopping))
    return np.array(hoppings)
