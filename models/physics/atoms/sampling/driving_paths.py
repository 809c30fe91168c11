"""Temperature and density that change along a trajectory, so that one run visits melt, glass and crystal.

    x(t) = (1 - t/t_max) x_start + (t/t_max) x_end + x_amplitude sin^2(pi t / x_period)

for the temperature [K] and for the number density [1/A^3], every number drawn at random for each trajectory. The start
density is that of the cell from which the trajectory starts. J. S. Smith et al., Nat. Commun. 12, 1257 (2021).
"""

import math
from dataclasses import dataclass

import numpy as np

from models.physics.atoms.sampling.ranges import number_problems, range_problems, refuse_if

__all__ = ["DENSEST_SPHERES", "DrivingPath", "DrivingPaths", "Ramp"]

DENSEST_SPHERES = math.pi / math.sqrt(18)  # share of space that equal spheres can fill


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """One quantity along a trajectory."""

    start: float
    end: float
    amplitude: float = 0.0
    period_fs: float = 1.0

    def at(self, time_fs: float, duration_fs: float) -> float:
        share = time_fs / duration_fs if duration_fs > 0 else 0.0
        wave = self.amplitude * math.sin(math.pi * time_fs / self.period_fs) ** 2
        return (1 - share) * self.start + share * self.end + wave


@dataclass(frozen=True, kw_only=True)
class DrivingPath:
    """Of one trajectory."""

    temperature_K: Ramp
    density_1_A3: Ramp


@dataclass(frozen=True, kw_only=True)
class DrivingPaths:
    """Ranges [low, high] from which each trajectory draws uniformly; the amplitude of the density is relative to it."""

    temperature_start_K: tuple[float, float]
    temperature_end_K: tuple[float, float]
    temperature_amplitude_K: tuple[float, float]
    temperature_period_fs: tuple[float, float]
    volume_end_A3: tuple[float, float]  # per atom
    density_amplitude: tuple[float, float]  # may be negative
    density_period_fs: tuple[float, float]

    def __post_init__(self) -> None:
        problems = []
        for name in ("temperature_start_K", "temperature_end_K", "temperature_amplitude_K"):
            low, high = getattr(self, name)
            problems += number_problems(**{f"{name}[0]": low}) + number_problems(low, **{f"{name}[1]": high})
        for name in ("temperature_period_fs", "density_period_fs", "volume_end_A3"):
            problems += range_problems(name, getattr(self, name))
        low, high = self.density_amplitude
        if not -0.5 <= low <= high <= 0.5:
            problems.append(f"density_amplitude = {[low, high]}: expected -0.5 <= low <= high <= 0.5")
        refuse_if(problems)

    def draw(self, volume_A3: float, rng: np.random.Generator) -> DrivingPath:
        """For a trajectory that starts at this volume per atom."""
        temperature = Ramp(
            start=float(rng.uniform(*self.temperature_start_K)),
            end=float(rng.uniform(*self.temperature_end_K)),
            amplitude=float(rng.uniform(*self.temperature_amplitude_K)),
            period_fs=float(rng.uniform(*self.temperature_period_fs)),
        )
        density = Ramp(
            start=1 / volume_A3,
            end=1 / float(rng.uniform(*self.volume_end_A3)),
            amplitude=float(rng.uniform(*self.density_amplitude)) / volume_A3,
            period_fs=float(rng.uniform(*self.density_period_fs)),
        )
        return DrivingPath(temperature_K=temperature, density_1_A3=density)

    def density_problems(self, smallest_start_A3: float, minimum_distance_A: float) -> list[str]:
        """Why no atoms this far apart could follow these paths, in words."""
        densest = (
            1 / min(smallest_start_A3, self.volume_end_A3[0]) + max(0.0, self.density_amplitude[1]) / smallest_start_A3
        )
        filled = math.pi * minimum_distance_A**3 / 6 * densest
        if filled <= DENSEST_SPHERES:
            return []
        return [
            f"impossible density: paths lead to {1 / densest:.2f} A^3 per atom, where spheres of "
            f"{minimum_distance_A:g} A fill {filled:.2f} of space, expected {DENSEST_SPHERES:.2f} at most; "
            "raise volume_end_A3 or lower density_amplitude"
        ]
