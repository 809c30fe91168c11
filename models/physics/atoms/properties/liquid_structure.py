"""What positions of a liquid tell: radial distribution, mean square displacement and diffusion, remaining crystal.

g(r)  = V/N^2 <sum_i sum_{j != i} delta(r - r_ij)> / (4 pi r^2)
MSD(t) = <|r_i(s + t) - r_i(s)|^2>_{i, s},   D = slope of MSD / 6   (Einstein)
order  = max_G |sum_i exp(i G.r_i)|^2 / N^2  over the (200) waves of the fcc crystal the cell was cut from
"""

from dataclasses import dataclass

import numpy as np

from models.physics.atoms.properties.crystals import FloatArray

__all__ = [
    "RadialDistribution",
    "crystalline_order",
    "diffusion_coefficient",
    "mean_square_displacement",
    "radial_distribution",
]


@dataclass(frozen=True, kw_only=True)
class RadialDistribution:
    """`r_A` are the middles of the bins."""

    r_A: FloatArray
    g: FloatArray
    density_A3: float  # atoms per A^3

    @property
    def first_peak(self) -> tuple[float, float]:
        """(place [A], height) of the highest bin, refined by a parabola through its neighbours."""
        index = int(np.argmax(self.g))
        if not 0 < index < len(self.g) - 1:
            return float(self.r_A[index]), float(self.g[index])
        low, mid, high = self.g[index - 1 : index + 2]
        bend = low - 2 * mid + high
        shift = 0.5 * (low - high) / bend if bend < 0 else 0.0
        return float(self.r_A[index] + shift * (self.r_A[1] - self.r_A[0])), float(mid - 0.25 * (low - high) * shift)

    @property
    def first_minimum_A(self) -> float:
        """Where g is lowest between its highest bin and 1.7 times that distance."""
        start = int(np.argmax(self.g))
        stop = int(np.searchsorted(self.r_A, 1.7 * self.r_A[start]))
        return float(self.r_A[start + int(np.argmin(self.g[start:stop]))])

    def neighbours_within(self, radius_A: float) -> float:
        """Mean number of atoms closer than `radius_A`."""
        width = self.r_A[1] - self.r_A[0]
        shells = 4 * np.pi * (self.r_A**2 + width**2 / 12) * width * self.density_A3 * self.g
        return float(shells[self.r_A < radius_A].sum())


def radial_distribution(
    positions_FN3: FloatArray, cell_A: FloatArray, *, r_max_A: float | None = None, bin_A: float = 0.05
) -> RadialDistribution:
    """Of a periodic cell with right angles, (3,) edges in A; to half the shortest edge unless `r_max_A` is less."""
    edges = np.asarray(cell_A, dtype=float)
    half = float(edges.min()) / 2
    reach = half if r_max_A is None else min(r_max_A, half)
    n_frames, n_atoms = positions_FN3.shape[:2]
    bins = np.arange(0.0, reach + bin_A / 2, bin_A)
    counts = np.zeros(len(bins) - 1)
    first, second = np.triu_indices(n_atoms, 1)
    for positions in positions_FN3:
        offsets = positions[first] - positions[second]
        offsets -= edges * np.round(offsets / edges)
        counts += np.histogram(np.sqrt((offsets**2).sum(1)), bins)[0]
    density = n_atoms / float(edges.prod())
    shells = 4 / 3 * np.pi * np.diff(bins**3)
    return RadialDistribution(
        r_A=(bins[1:] + bins[:-1]) / 2,
        g=2 * counts / (n_frames * n_atoms * density * shells),
        density_A3=density,
    )


def mean_square_displacement(positions_FN3: FloatArray) -> FloatArray:
    """(F // 2 + 1,) [A^2] by lag, averaged over atoms and starts, without the drift of the centre of mass."""
    relative = positions_FN3 - positions_FN3.mean(axis=1, keepdims=True)
    lags = range(1, len(relative) // 2 + 1)
    return np.array([0.0, *(float(((relative[k:] - relative[:-k]) ** 2).sum(2).mean()) for k in lags)])


def diffusion_coefficient(positions_FN3: FloatArray, interval_ps: float) -> float:
    """[A^2/ps] = 1e-8 m^2/s, from the slope over the second half of the lags."""
    msd = mean_square_displacement(positions_FN3)
    start = len(msd) // 2
    lags = np.arange(start, len(msd)) * interval_ps
    return float(np.polyfit(lags, msd[start:], 1)[0] / 6)


def crystalline_order(positions_N3: FloatArray, cell_A: FloatArray, cells: tuple[int, int, int]) -> float:
    """1 in the perfect crystal of `cells` cubes along the edges, about 1/N in a liquid."""
    waves = 2 * np.pi * 2 * np.diag(np.asarray(cells) / np.asarray(cell_A, dtype=float))
    return float((np.abs(np.exp(1j * positions_N3 @ waves.T).mean(axis=0)) ** 2).max())
