"""The single-impurity Anderson model, with a flat band or with any other.

    H = eps_d (n_up + n_dn) + U n_up n_dn - B S_z
        + sum_ks eps_k c+_ks c_ks + V sum_ks (d+_s c_ks + h.c.),        S_z = (n_up - n_dn) / 2

Energies are in units of the half bandwidth D = 1, the chemical potential is 0 and k_B = g mu_B = 1. The band is flat on
[-1, 1], so the impurity sees it only through the constant hybridization Gamma = pi rho V^2 (rho = 1/2 per spin), the
half width at half maximum of the resonance at U = 0. `ImpurityInBath` has another band, see bath.py, which may differ
between the spins; then Delta(w) = sum_k V_k^2 / (w + i0 - eps_k) takes the place of -i Gamma.

| symbol | name |
|---|---|
| U | interaction |
| eps_d | level |
| Gamma | hybridization |
| B | field |
| Delta | bath, `delta` |
"""

import dataclasses
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.physics.impurity.bath import Bath, SpinBaths

__all__ = ["AndersonImpurity", "ImpurityInBath", "hybridization_function"]


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
            for name in ("interaction", "level", "hybridization", "field")
            for value in (getattr(self, name),)
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

    @property
    def spin_symmetric(self) -> bool:
        """Whether up and dn are alike."""
        return self.field == 0

    def delta(self, omega: NDArray[np.float64], spin: int) -> NDArray[np.complex128]:
        """Delta(omega + i0) [D] of spin +1 for up, -1 for dn, same shape as omega; ValueError where it diverges."""
        return hybridization_function(omega, self.hybridization)

    def divergences(self) -> NDArray[np.float64]:
        """Frequencies where Delta has no finite value, ascending [D]."""
        return np.array([-1.0, 1.0])

    @property
    def reach(self) -> float:
        """Largest |omega| of the band [D]."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class ImpurityInBath(AndersonImpurity):
    """An impurity in any bath, one for both spins or one for each.

    `hybridization`, which is not asked for, is Gamma averaged over the band and the spins: a scale, nothing else.
    """

    hybridization: float = dataclasses.field(init=False)
    bath: Bath | SpinBaths

    def __post_init__(self) -> None:
        if not isinstance(self.bath, Bath | SpinBaths):
            raise ValueError(
                f"ImpurityInBath: bath = {self.bath!r}: expected a Bath or SpinBaths; a number is a flat band, "
                "AndersonImpurity(hybridization=...)"
            )
        object.__setattr__(self, "hybridization", 0.5 * (self.baths.up.mean + self.baths.dn.mean))
        super().__post_init__()

    @property
    def baths(self) -> SpinBaths:
        return self.bath if isinstance(self.bath, SpinBaths) else SpinBaths(up=self.bath, dn=self.bath)

    def of_spin(self, spin: int) -> Bath:
        return self.baths.up if spin > 0 else self.baths.dn

    def particle_hole_mirror(self) -> "ImpurityInBath":
        return replace(self, level=-self.interaction - self.level, field=-self.field, bath=self.bath.mirrored())

    def spin_flipped(self) -> "ImpurityInBath":
        flipped = self.bath.flipped() if isinstance(self.bath, SpinBaths) else self.bath
        return replace(self, field=-self.field, bath=flipped)

    @property
    def spin_symmetric(self) -> bool:
        return self.field == 0 and self.baths.up == self.baths.dn

    def delta(self, omega: NDArray[np.float64], spin: int) -> NDArray[np.complex128]:
        return self.of_spin(spin).delta(omega)

    def divergences(self) -> NDArray[np.float64]:
        return np.union1d(self.baths.up.steps, self.baths.dn.steps)

    @property
    def reach(self) -> float:
        return max(self.baths.up.reach, self.baths.dn.reach)


def hybridization_function(omega: NDArray[np.float64], hybridization: float) -> NDArray[np.complex128]:
    """Delta(w + i0) = (Gamma/pi) ln|(1 + w)/(1 - w)| - i Gamma theta(1 - |w|) of the flat band, same shape as omega.

    The logarithm diverges at the band edges |w| = 1, where there is no finite value to return: ValueError.
    """
    if np.any(np.abs(omega) == 1.0):
        raise ValueError("omega = +-1 (the band edge): Delta diverges there; expected a grid that avoids it")
    real = hybridization / np.pi * np.log(np.abs((1 + omega) / (1 - omega)))
    imaginary = np.where(np.abs(omega) < 1, -hybridization, 0.0)
    return np.asarray(real + 1j * imaginary)
