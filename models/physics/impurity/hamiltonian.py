"""The single-impurity Anderson model with a flat band.

    H = eps_d (n_up + n_dn) + U n_up n_dn - B S_z
        + sum_ks eps_k c+_ks c_ks + V sum_ks (d+_s c_ks + h.c.),        S_z = (n_up - n_dn) / 2

Energies are in units of the half bandwidth D = 1, the chemical potential is 0 and k_B = g mu_B = 1. The band is flat on
[-1, 1], so the impurity sees it only through the constant hybridization Gamma = pi rho V^2 (rho = 1/2 per spin), the
half width at half maximum of the resonance at U = 0.

| symbol | name |
|---|---|
| U | interaction |
| eps_d | level |
| Gamma | hybridization |
| B | field |
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["AndersonImpurity", "hybridization_function"]


@dataclass(frozen=True, kw_only=True)
class AndersonImpurity:
    """Parameters of one impurity; raises ValueError that lists every parameter out of range."""

    interaction: float
    level: float
    hybridization: float
    field: float = 0.0

    def __post_init__(self) -> None:
        problems = [
            f"{name} = {value!r}: expected a finite number [D]"
            for name, value in vars(self).items()
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not math.isfinite(value)
        ]
        if not problems and self.hybridization <= 0:
            problems.append(f"hybridization = {self.hybridization!r}: expected Gamma > 0 [D]")
        if problems:
            raise ValueError("AndersonImpurity: " + "; ".join(problems))

    def particle_hole_mirror(self) -> "AndersonImpurity":
        """d_s -> d+_s: the impurity whose A_s(w) is this one's A_s(-w), with n_s -> 1 - n_s."""
        return replace(self, level=-self.interaction - self.level, field=-self.field)

    def spin_flipped(self) -> "AndersonImpurity":
        """up <-> down: the impurity whose A_up(w) is this one's A_dn(w)."""
        return replace(self, field=-self.field)


def hybridization_function(omega: NDArray[np.float64], hybridization: float) -> NDArray[np.complex128]:
    """Delta(w + i0) = (Gamma/pi) ln|(1 + w)/(1 - w)| - i Gamma theta(1 - |w|) of the flat band, same shape as omega.

    The logarithm diverges at the band edges |w| = 1, where there is no finite value to return: ValueError.
    """
    if np.any(np.abs(omega) == 1.0):
        raise ValueError("omega = +-1 (the band edge): Delta diverges there; expected a grid that avoids it")
    real = hybridization / np.pi * np.log(np.abs((1 + omega) / (1 - omega)))
    imaginary = np.where(np.abs(omega) < 1, -hybridization, 0.0)
    return np.asarray(real + 1j * imaginary)
