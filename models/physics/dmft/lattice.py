"""Lattices of dynamical mean-field theory: their density of states, and the local Green function of a self-energy.

    G(w) = int rho(e) de / (zeta - e),     zeta = w + i0 + mu - Sigma(w)

Bethe lattice of infinite connectivity, half bandwidth D = 1: rho(e) = (2/pi) sqrt(1 - e^2), G = 2 (zeta -
sqrt(zeta^2 - 1)) with the root that makes G -> 1/zeta. Any other lattice is its density of states at points, linear
between them, for which the integral is a sum of complex logarithms. Energies are in units of the half bandwidth.

Georges, Kotliar, Krauth, Rozenberg, Rev. Mod. Phys. 68, 13 (1996).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["BetheLattice", "DensityOfStates", "Lattice", "cubic_lattice"]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]


class Lattice(Protocol):
    """zeta has Im zeta >= 0, G the same shape; `symmetric`: rho(-e) = rho(e); `mean`: int rho(e) e de [D]."""

    @property
    def mean(self) -> float: ...

    @property
    def symmetric(self) -> bool: ...

    def green_function(self, zeta: Complexes) -> Complexes: ...


@dataclass(frozen=True, kw_only=True)
class BetheLattice:
    """Half bandwidth 1."""

    @property
    def mean(self) -> float:
        return 0.0

    @property
    def symmetric(self) -> bool:
        return True

    def green_function(self, zeta: Complexes) -> Complexes:
        root = np.sqrt(zeta - 1) * np.sqrt(zeta + 1)  # cut on [-1, 1] alone, root -> zeta far away
        return np.asarray(2 * (zeta - root))


@dataclass(frozen=True, eq=False)
class DensityOfStates:
    """Density of states of one spin [1/D] at ascending energies [D]; scaled to norm 1.

    Raises ValueError that lists all that is wrong with it.
    """

    energy: Floats
    density: Floats

    def __post_init__(self) -> None:
        energy, density = (np.array(x, dtype=np.float64) for x in (self.energy, self.density))
        problems = []
        if energy.ndim != 1 or energy.shape != density.shape or energy.size < 3:
            problems.append(f"found shapes {energy.shape} and {density.shape}, expected two of (n,), n at least 3")
        elif not (np.isfinite(energy).all() and np.isfinite(density).all()):
            problems.append("found values that are not finite, expected numbers")
        elif not (np.diff(energy) > 0).all() or (density < 0).any():
            problems.append("expected ascending energies and a density >= 0")
        elif not np.trapezoid(density, energy) > 0:
            problems.append("found no weight, expected a density that is not zero everywhere")
        if problems:
            raise ValueError("density of states: " + "; ".join(problems))
        object.__setattr__(self, "energy", energy)
        object.__setattr__(self, "density", density / np.trapezoid(density, energy))

    @property
    def mean(self) -> float:
        a, b = self.energy[:-1], self.energy[1:]
        at_a, at_b = self.density[:-1], self.density[1:]
        return float(np.sum((b - a) * (at_a * (2 * a + b) + at_b * (a + 2 * b))) / 6)

    @property
    def symmetric(self) -> bool:
        mirrored = (-self.energy[::-1], self.density[::-1])
        return np.allclose(self.energy, mirrored[0], atol=1e-9) and np.allclose(self.density, mirrored[1], atol=1e-6)

    def green_function(self, zeta: Complexes) -> Complexes:
        """sum over intervals [a, b]: (rho(zeta) L - slope (b - a)), L = log((zeta - a) / (zeta - b))."""
        flat = zeta.ravel()
        result = np.zeros(flat.shape, dtype=complex)
        slopes = np.diff(self.density) / np.diff(self.energy)
        for a, b, value, slope in zip(self.energy[:-1], self.energy[1:], self.density[:-1], slopes, strict=True):
            result += (value + slope * (flat - a)) * np.log((flat - a) / (flat - b)) - slope * (b - a)
        return result.reshape(zeta.shape)


def cubic_lattice(n_points: int = 401, n_k: int = 96) -> DensityOfStates:
    """Simple cubic, e = -(cos kx + cos ky + cos kz) / 3: convolution of three chains, half bandwidth 1."""
    edges = np.linspace(-1.0, 1.0, n_points)
    k = np.pi * (np.arange(n_k) + 0.5) / n_k
    chain = np.cos(k) / 3
    square = (chain[:, None] + chain[None, :]).ravel()
    # one chain exactly: of e given the other two, the share of k with cos k below x is arccos(-x)/pi
    below = np.array([np.mean(np.arccos(np.clip(-3 * (edge - square), -1, 1)) / np.pi) for edge in edges])
    middle, density = (edges[1:] + edges[:-1]) / 2, np.diff(below) / np.diff(edges)
    return DensityOfStates(np.concatenate([[-1.0], middle, [1.0]]), np.concatenate([[0.0], density, [0.0]]))
