"""Energies that no configuration of such a composition has: slips of a decimal, of another program, of a failed SCF.

    E_m / n_m  ~  sum_Z x_mZ e_Z + r_m            x_mZ share of element Z, fitted with least absolute residuals

Residuals r are cohesive: some eV per atom between a gas and its crystal, more where atoms are pressed together. So a
record is far off where |r - median| is beyond 20 robust standard deviations and beyond 15 eV per atom, or beyond what
the user says. Fewer eV but 50 deviations are worth a note.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["composition_shares", "far_energies", "far_limit_eV_atom"]

LEAST_EV_ATOM = 15.0
N_DEVIATIONS = 20.0
ODD_EV_ATOM, N_ODD = 1.0, 50.0
SPARE_RECORDS = 5  # more than unknowns, or nothing can be said
MAX_FITTED = 20_000
N_ITERATIONS = 60
FloatArray = NDArray[np.float64]


def far_limit_eV_atom(deviation: float, named: float | None) -> tuple[float, float]:
    """Beyond the first a record is far off, beyond the second it is odd; of robust deviations [eV/atom]."""
    limit = max(LEAST_EV_ATOM, N_DEVIATIONS * deviation) if named is None else named
    return limit, min(limit, max(ODD_EV_ATOM, N_ODD * deviation))


def far_energies(columns: Mapping[str, NDArray[Any]], looked_at: NDArray[np.bool_]) -> tuple[FloatArray, float]:
    """Distance of each energy from what its composition usually has, and the robust deviation of all [eV/atom].

    Zeros where there is no energy, for rows that are not `looked_at`, and everywhere if there are too few to tell.
    """
    energy, n_atoms = columns["energy"], columns["n_atoms"].astype(np.float64)
    rows = np.flatnonzero(np.isfinite(energy) & looked_at)
    far = np.zeros(len(energy))
    share = composition_shares(columns)[rows]
    rank = int(np.linalg.matrix_rank(share)) if rows.size else 0
    if rows.size < rank + SPARE_RECORDS:
        return far, 0.0
    per_atom = energy[rows] / n_atoms[rows]
    fitted = rows.size if rows.size <= MAX_FITTED else MAX_FITTED
    some = np.linspace(0, rows.size - 1, fitted).astype(np.int64)
    residual = per_atom - share @ _least_absolute(share[some], per_atom[some])
    residual -= np.median(residual)
    deviation = 1.4826 * float(np.median(np.abs(residual)))
    far[rows] = residual
    return far, deviation


def composition_shares(columns: Mapping[str, NDArray[Any]]) -> FloatArray:
    """Share of each element that occurs, ascending, (n_configs, n_elements)."""
    n_atoms = columns["n_atoms"].astype(np.int64)
    elements, element = np.unique(columns["number"], return_inverse=True)
    owner = np.repeat(np.arange(len(n_atoms)), n_atoms)
    counts = np.bincount(owner * len(elements) + element, minlength=len(n_atoms) * len(elements))
    return np.asarray(counts.reshape(len(n_atoms), -1) / n_atoms[:, None])


def _least_absolute(share: FloatArray, per_atom: FloatArray) -> FloatArray:
    """Energies of elements by iteratively reweighted least squares, which goes from squares to absolute residuals."""
    weight = np.ones(len(per_atom))
    for _ in range(N_ITERATIONS):
        root = np.sqrt(weight)
        solution = np.linalg.lstsq(share * root[:, None], per_atom * root, rcond=1e-8)[0]
        size = np.abs(per_atom - share @ solution)
        weight = 1 / np.maximum(size, max(1e-6, 1e-3 * float(np.median(size))))
        weight /= weight.max()
    return np.asarray(solution)
