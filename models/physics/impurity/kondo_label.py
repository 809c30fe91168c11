"""T_K = 1 / (4 chi_loc(T -> 0)) extrapolated in the discretisation, with its own error.

One chain gives log T_K with three errors, each measured on the exact series of the symmetric model
(benchmarks/kondo_label_error.md):

discretisation  periodic in z. Its first harmonic, of the order exp(-pi^2 / log Lambda), cancels in the mean over two
                z half a period apart; what is left falls like q(Lambda) = exp(-2 pi^2 / log Lambda). Two values of
                Lambda therefore give log T_K (q -> 0) on a straight line.
truncation      where Gamma << D the first shells hold the four states of the impurity as one level that is nearly
                degenerate. A cut through it acts like a wrong eps_d and U, so the cut must fall into a wide gap
                (CUT_GAP); then few states are enough. The rest is estimated by a run with fewer of them.
temperature     chi(T) = chi(0) (1 - c (T / T_K)^2 ...): chi at T_K / 300 and four times that removes the T^2.

The error is half of |extrapolated - finest| and |fewer states - n_keep|, added in squares: by how much the answer moved
when each was improved, which is an estimate and no bound.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from models.physics.impurity.density_matrix import density_matrix, needs_discarded_pairs
from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.kondo import without_field
from models.physics.impurity.nrg import Truncation, iterate, last_sites
from models.physics.impurity.nrg_solver import one_thread
from models.physics.impurity.operators import IMPURITY_OPERATORS, carry
from models.physics.impurity.thermodynamics import static_susceptibility
from models.settings import settings

__all__ = ["KondoLabel", "KondoLabelSettings", "labelled_kondo_temperature"]

CUT_GAP = 0.1  # in units of omega_n
BELOW = 300.0  # T_K / T where chi is measured
STEP = 4.0  # ratio of the two temperatures
SATURATED = 0.02  # chi may differ by this fraction between them
Z_VALUES = (0.5, 1.0)

Discretization = Annotated[float, Field(ge=1.5, le=20)]
NKeep = Annotated[int, Field(ge=16, le=20_000)]


@settings
class KondoLabelSettings:
    """Two Lambda, the finer first; `n_keep_check` states are kept in the run that estimates the truncation error."""

    discretizations: tuple[Discretization, Discretization]
    n_keep: NKeep
    n_keep_check: NKeep

    def __post_init__(self) -> None:
        problems = []
        if not self.discretizations[0] < self.discretizations[1]:
            problems.append(f"discretizations: found {list(self.discretizations)}, expected the finer one first")
        if not self.n_keep_check < self.n_keep:
            problems.append(f"n_keep_check: found {self.n_keep_check}, expected fewer than n_keep = {self.n_keep}")
        if problems:
            raise ValueError("; ".join(problems))


@dataclass(frozen=True, kw_only=True)
class KondoLabel:
    """T_K and its estimated error [D]; NaN both where T_K lies below the lowest temperature."""

    value: float
    error: float


def labelled_kondo_temperature(
    impurity: AndersonImpurity, settings: KondoLabelSettings, *, lowest_temperature: float
) -> KondoLabel:
    """T_K at B = 0; the chains end where chi has saturated, at `lowest_temperature` [D] at the latest."""
    free = without_field(impurity)
    fine, coarse = settings.discretizations
    with one_thread().limit(limits=1):
        first = _log_kondo_temperature(free, coarse, settings.n_keep_check, Z_VALUES[-1], lowest_temperature)
        if math.isnan(first) or math.exp(first) < BELOW * lowest_temperature:
            return KondoLabel(value=math.nan, error=math.nan)
        temperature = math.exp(first) / BELOW
        logs = {
            base: [_log_kondo_temperature(free, base, settings.n_keep, z, temperature) for z in Z_VALUES]
            for base in (fine, coarse)
        }
        fewer = _log_kondo_temperature(free, fine, settings.n_keep_check, Z_VALUES[0], temperature)
    at_fine, at_coarse = float(np.mean(logs[fine])), float(np.mean(logs[coarse]))
    shift = (at_fine - at_coarse) * _residual(fine) / (_residual(coarse) - _residual(fine))
    value = math.exp(at_fine + shift)
    return KondoLabel(value=value, error=value * math.hypot(shift / 2, fewer - logs[fine][0]))


def _residual(discretization: float) -> float:
    """What two z leave of the discretisation error, up to a factor."""
    return math.exp(-2 * math.pi**2 / math.log(discretization))


def _log_kondo_temperature(
    impurity: AndersonImpurity, discretization: float, n_keep: int, z: float, temperature: float
) -> float:
    """-log(4 chi) of one chain, T -> 0 by two temperatures; NaN where chi has not saturated."""
    temperatures = np.array([temperature, STEP * temperature])
    lasts = last_sites(impurity, temperatures, discretization, z)
    truncation = Truncation(discretization=discretization, n_keep=n_keep, gap=CUT_GAP)
    shells = iterate(impurity, truncation, z=z, n_sites=max(lasts))
    s_z = carry(shells, IMPURITY_OPERATORS["s_z"], needs_discarded_pairs(shells, temperatures, lasts))
    low, high = (
        static_susceptibility(shells, density_matrix(shells, float(t), last), s_z, 0.0)
        for t, last in zip(temperatures, lasts, strict=True)
    )
    if not 0 < low < (1 + SATURATED) * high:
        return math.nan
    return -math.log(4 * (low + (low - high) / (STEP**2 - 1)))
