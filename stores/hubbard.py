"""Schema of `data/hubbard.zarr`: one row per solution of the Hubbard model in dynamical mean-field theory.

    spectrum[i, j] = D A(omega_j)       of one spin of the lattice, Bethe lattice of half bandwidth D

Energies are in units of D, omega = 0 is the Fermi level. Where a metal and an insulator are both solutions a point has
two rows, told apart by `start`; rows of one point share `point`: split by it. The particle-hole mirror, filling 2 - n
and A(-omega), is no row of its own.

    quasiparticle_weight   1 / (1 - d Re Sigma / d omega) at omega = 0; NaN in an insulator and where T is too high
    matsubara_weight       1 / (1 - Im Sigma(i pi T) / pi T), which every row has; the same number where T -> 0

A row that did not converge keeps its last iterate: status 1, and the reason in `failure`. Where there is none, the
impurity could not be solved and all that is measured is NaN.
"""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores.outcome import FAILED, FAILURE_STATED, OK, outcome_variables
from stores.sample_keys import SampleKey
from stores.schema import Fact, StoreSchema, Variable

__all__ = ["FILLING_LIMIT", "HUBBARD", "SAMPLE_KEY", "STARTS", "tiny"]

ROW = ("sample",)
STARTS = ("metal", "insulator")
FILLING_LIMIT = 0.02  # |n of the impurity - n asked for| of a row that converged
WEIGHT_LIMIT = 0.03  # |integral of A - 1|
SAMPLE_KEY = SampleKey(dim="sample", columns=("interaction", "temperature", "filling", "start"))


def _parameter(name: str, units: str, description: str, **bounds: float) -> Variable:
    return Variable(name, ROW, "float64", units, description, **bounds)  # type: ignore[arg-type]


def _measured(name: str, units: str, description: str, *dims: str, **bounds: float) -> Variable:
    return Variable(name, (*ROW, *dims), "float64", units, description, nan_allowed=True, **bounds)  # type: ignore[arg-type]


def _converged(block: xr.Dataset) -> NDArray[np.bool_]:
    return np.asarray(block["status"].values == OK)


def _missing(block: xr.Dataset) -> NDArray[np.bool_]:
    missing = [~np.isfinite(block[name].values) for name in ("spectrum", "self_energy_real", "self_energy_imag")]
    numbers = ("chemical_potential", "impurity_filling", "double_occupancy", "matsubara_weight")
    missing += [~np.isfinite(block[name].values)[:, None] for name in numbers]
    return np.asarray(_converged(block) & np.concatenate(missing, axis=1).any(axis=1))


def _filling_missed(block: xr.Dataset) -> NDArray[np.bool_]:
    missed = np.abs(block["impurity_filling"].values - block["filling"].values)
    return np.asarray(_converged(block) & ~(missed <= FILLING_LIMIT))


def _weight_lost(block: xr.Dataset) -> NDArray[np.bool_]:
    return np.asarray(_converged(block) & ~(np.abs(block["spectral_weight"].values - 1) <= WEIGHT_LIMIT))


HUBBARD = StoreSchema(
    name="hubbard",
    version="1",
    coordinates=(Variable("omega", ("omega",), "float64", "D", "frequency", increasing=True),),
    variables=(
        Variable("point", ROW, "int64", "dimensionless", "rows of one U, T and n share it", low=0),
        _parameter("interaction", "D", "U", above=0),
        _parameter("temperature", "D", "T", above=0),
        _parameter("filling", "dimensionless", "electrons per site n that were asked for", above=0, high=2),
        Variable("start", ROW, "str", "dimensionless", "the bath that the iteration began with", choices=STARTS),
        _measured("spectrum", "dimensionless", "D A(omega) of the lattice, one spin", "omega", low=0),
        _measured("self_energy_real", "D", "Re Sigma(omega)", "omega"),
        _measured("self_energy_imag", "D", "Im Sigma(omega)", "omega", high=0),
        _measured("chemical_potential", "D", "mu"),
        _measured("impurity_filling", "dimensionless", "n of the impurity", low=0, high=2),
        _measured("lattice_filling", "dimensionless", "2 int f(omega) A(omega)", low=0, high=2),
        _measured("double_occupancy", "dimensionless", "<n_up n_dn>", low=0, high=1),
        _measured("quasiparticle_weight", "dimensionless", "Z of a Fermi liquid", above=0, high=1),
        _measured("matsubara_weight", "dimensionless", "Z at the first Matsubara frequency", above=0, high=1),
        _measured("spectral_weight", "dimensionless", "integral of A on the solver's grid"),
        Variable("iterations", ROW, "int64", "dimensionless", "impurities solved", low=0),
        _measured("change", "dimensionless", "of the bath in the last iteration, in units of D/2", low=0),
        *outcome_variables("converged"),
    ),
    facts=(
        FAILURE_STATED,
        Fact(
            "converged_rows_filled",
            "numbers where status is 0",
            (
                "status", "spectrum", "self_energy_real", "self_energy_imag", "chemical_potential", "impurity_filling",
                "double_occupancy", "matsubara_weight",
            ),
            _missing,
        ),
        Fact(
            "filling_kept",
            f"n of the impurity within {FILLING_LIMIT:g} of that asked for, where status is 0",
            ("status", "filling", "impurity_filling"),
            _filling_missed,
        ),
        Fact(
            "sum_rule",
            f"an integral of A within {WEIGHT_LIMIT:g} of 1, where status is 0",
            ("status", "spectral_weight"),
            _weight_lost,
        ),
    ),
    attributes=("lattice", "settings", "seed"),
)  # fmt: skip


def tiny() -> xr.Dataset:
    """A valid example: a metal, both solutions of one point, and one that could not be solved; values are made up."""
    omega = np.array([-2.0, -1.0, -0.1, 0.0, 0.1, 1.0, 2.0])
    semicircle = 2 / np.pi * np.sqrt(np.maximum(1 - omega**2, 0))
    missing = np.full(omega.shape, np.nan)
    measured: dict[str, Any] = {
        "chemical_potential": [0.25, 1.25, 1.25, np.nan],
        "impurity_filling": [0.9, 1.0, 1.0, np.nan],
        "lattice_filling": [0.905, 1.0, 1.0, np.nan],
        "double_occupancy": [0.15, 0.05, 0.03, np.nan],
        "quasiparticle_weight": [0.9, 0.1, np.nan, np.nan],
        "matsubara_weight": [0.9, 0.1, 0.001, np.nan],
        "spectral_weight": [1.0, 1.0, 0.99, np.nan],
        "change": [1e-4, 2e-4, 1e-4, np.nan],
    }
    columns: dict[str, Any] = {
        "omega": omega,
        "point": np.array([0, 1, 1, 2]),
        "interaction": np.array([0.5, 2.5, 2.5, 3.0]),
        "temperature": np.array([1e-3, 1e-3, 1e-3, 1e-2]),
        "filling": np.array([0.9, 1.0, 1.0, 0.8]),
        "start": np.array(["metal", "metal", "insulator", "metal"], dtype=object),
        "spectrum": np.array([semicircle, semicircle, semicircle * (np.abs(omega) > 0.5), missing]),
        "self_energy_real": np.array([0.0 * omega, omega, omega, missing]),
        "self_energy_imag": np.array([-0.1 * omega**2, -(omega**2), -(omega**2), missing]),
        "iterations": np.array([5, 12, 6, 0]),
        "status": np.array([OK, OK, OK, FAILED], dtype=np.int8),
        "failure": np.array(["", "", "", "example"], dtype=object),
    }
    columns |= {name: np.array(values) for name, values in measured.items()}
    return HUBBARD.dataset(columns, {"lattice": "bethe", "settings": "{}", "seed": "0"})
