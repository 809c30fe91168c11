"""What an impurity solver promises: one Anderson impurity in, its spectra at several temperatures out.

Every solver (the embedded NRG, TRIQS, a user's own) fulfils `ImpuritySolver`, so that the pipeline can swap them. A new
one is one file here that registers a function of its settings, if it has some, and of `nrg`, the settings of the
embedded solver, which labels T_K whatever solves the spectra. It raises SolverUnavailable where nothing can be solved.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from models.physics.impurity.hamiltonian import AndersonImpurity
from models.registry import Registry

__all__ = [
    "HIGHEST_TEMPERATURE",
    "IMPURITY_SOLVERS",
    "LOWEST_TEMPERATURE",
    "ImpuritySolution",
    "ImpuritySolver",
    "SolverError",
    "SolverUnavailable",
    "check_request",
]

FloatArray = NDArray[np.float64]


class SolverUnavailable(RuntimeError):
    """The solver does not work here, whatever the Hamiltonian: what is wrong and what to do. The run has to stop."""

    solver: ClassVar[str]

    def __init__(self, reason: str, cure: str) -> None:
        super().__init__(reason, cure)  # both, or it would not survive the way back from a worker process
        self.reason, self.cure = reason, cure

    def __str__(self) -> str:
        return f"solver {self.solver}: {self.reason}. {self.cure}"


class SolverError(RuntimeError):
    """This Hamiltonian could not be solved; the message says why."""


@dataclass(frozen=True, kw_only=True)
class ImpuritySolution:
    """Spectra [1/D] and static averages; the first axis is always temperature."""

    temperatures: FloatArray  # (n_temperatures,) [D]
    omega: FloatArray  # (n_omega,) [D]
    spectrum_up: FloatArray  # (n_temperatures, n_omega) [1/D]
    spectrum_dn: FloatArray  # (n_temperatures, n_omega) [1/D]
    n_up: FloatArray  # (n_temperatures,)
    n_dn: FloatArray  # (n_temperatures,)
    double_occupancy: FloatArray  # (n_temperatures,)
    weight_up: FloatArray  # (n_temperatures,) integral of A_up over the part of the band that omega spans
    weight_dn: FloatArray  # (n_temperatures,)
    displaced_charge_up: FloatArray  # (n_temperatures,) N_up of Friedel's rule, see friedel.py
    displaced_charge_dn: FloatArray  # (n_temperatures,)
    clipped_up: FloatArray  # (n_temperatures,) largest positive Im Sigma_up / Gamma that was set to zero; 0: none
    clipped_dn: FloatArray  # (n_temperatures,)


class ImpuritySolver(Protocol):
    """Raises ValueError for a request that makes no sense and SolverError for one that it could not fulfil."""

    def solve(self, impurity: AndersonImpurity, *, temperatures: FloatArray, omega: FloatArray) -> ImpuritySolution: ...


IMPURITY_SOLVERS: Registry[ImpuritySolver] = Registry("impurity solver", package="models.physics.impurity")
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 1e-20, 1.0  # [D]: a chain of a hundred sites; the whole band


def check_request(temperatures: FloatArray, omega: FloatArray, steps: FloatArray | None = None) -> None:
    """Temperatures in range, omega finite, ascending and off the band edges; ValueError lists all that is wrong.

    steps: where Gamma jumps [D], +-1 unless given.
    """
    problems = []
    if temperatures.ndim != 1 or temperatures.size == 0:
        problems.append(f"temperatures of shape {temperatures.shape}: expected (n_temperatures,), at least one")
    elif not np.all((temperatures >= LOWEST_TEMPERATURE) & (temperatures <= HIGHEST_TEMPERATURE)):
        expected = f"expected {LOWEST_TEMPERATURE:g} to {HIGHEST_TEMPERATURE:g} [D]"
        problems.append(f"temperatures {temperatures.tolist()}: {expected}")
    if omega.ndim != 1 or omega.size == 0 or not np.all(np.isfinite(omega)):
        problems.append(f"omega of shape {omega.shape}: expected (n_omega,) finite numbers [D]")
    elif np.any(np.diff(omega) <= 0):
        problems.append("omega: expected strictly ascending")
    elif steps is not None and np.isin(omega, steps).any():
        wrong = omega[np.isin(omega, steps)].tolist()
        problems.append(f"omega holds {wrong}: expected a grid that avoids the steps of the bath, where Delta diverges")
    elif steps is None and np.any(np.abs(omega) == 1.0):
        problems.append("omega holds +-1: expected a grid that avoids the band edges, where the spectrum diverges")
    if problems:
        raise ValueError("impurity solver: " + "; ".join(problems))
