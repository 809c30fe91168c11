"""What is known of 1/nu and Gamma_c at the ends of 0 < r < 1/2, to lowest orders, by short derivations.

1. Small r, weak Kondo coupling j = rho J. The two-loop flow of a metal, dj/dl = j^2 - j^3 / 2, gains the dimension of a
   bath whose density of states falls as |w|^r (Withoff and Fradkin, Phys. Rev. Lett. 64, 1835 (1990)):

       dj/dl = -r j + j^2 - j^3 / 2,        j_c = r + r^2 / 2,        1/nu = -r + 2 j_c - 3 j_c^2 / 2 = r - r^2 / 2.

2. Near r = 1/2, about the resonant level U = 0 of symmetric strong coupling. There d has the propagator |w|^-r, hence U
   the dimension -(1 - 2r). The particle-hole transformation of one spin takes U to -U, so the flow is odd in U:

       dU/dl = -(1 - 2r) U + c U^3,        1/nu = -(1 - 2r) + 3 c U_c^2 = 2 (1 - 2r), whatever c is.

3. Gamma_c at small r. A symmetric level, U << D, has the exchange j = 8 Gamma(w) / (pi U) (Schrieffer and Wolff, Phys.
   Rev. 149, 491 (1966)) below the energy U / 2 of its charge fluctuations, where j must be j_c. The cutoff is right but
   for a factor c, which enters as c^r:

       Gamma_c = pi U j_c / 8 (U / 2D)^(-r).
"""

import math

__all__ = ["coupling_near_zero", "near_one_half", "near_zero"]


def near_zero(exponent: float) -> float:
    """r - r^2 / 2, the error is of order r^3."""
    return exponent - exponent**2 / 2


def near_one_half(exponent: float) -> float:
    """2 (1 - 2r), the error is of order (1 - 2r)^2."""
    return 2 * (1 - 2 * exponent)


def coupling_near_zero(exponent: float, interaction: float) -> float:
    """Gamma_c [D] of the third derivation, interaction in D."""
    return math.pi * interaction / 8 * (exponent + exponent**2 / 2) * math.pow(interaction / 2, -exponent)
