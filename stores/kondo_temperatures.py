"""Schema of `data/kondo_temperatures.zarr`: T_K measured by NRG, one row per Hamiltonian in the local-moment regime.

    T_K = 1 / (4 chi_loc(T -> 0)) at B = 0, in units of the half bandwidth D

Each label has its own estimated error, in the same units. Rows are sampled without any formula for T_K. A Hamiltonian
whose T_K could not be measured keeps its row: status 1, the reason in `failure`, NaN as value and error. Stores of
version 1 had no errors: run the stage `kondo_temperatures` again.
"""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores.outcome import FAILED, FAILURE_STATED, OK, outcome_variables
from stores.schema import Fact, StoreSchema, Variable

__all__ = ["KONDO_TEMPERATURES", "tiny"]

ROW = ("sample",)


def _energy(name: str, description: str, **bounds: Any) -> Variable:  # noqa: ANN401 - fields of Variable
    return Variable(name, ROW, "float64", "D", description, **bounds)


def _missing_without_failure(block: xr.Dataset) -> NDArray[np.bool_]:
    failed = block["status"].values != OK
    missing = [np.isnan(block[name].values) != failed for name in ("kondo_temperature", "kondo_temperature_error")]
    return np.asarray(missing[0] | missing[1])


def _no_local_moment(block: xr.Dataset) -> NDArray[np.bool_]:
    """Singly occupied in the atomic limit: eps_d < 0 < eps_d + U."""
    level, upper = block["level"].values, block["level"].values + block["interaction"].values
    return np.asarray((level >= 0) | (upper <= 0))


KONDO_TEMPERATURES = StoreSchema(
    name="kondo_temperatures",
    version="2",
    coordinates=(),
    variables=(
        _energy("interaction", "U", above=0),
        _energy("hybridization", "Gamma = pi rho V^2", above=0),
        _energy("level", "eps_d", high=0),
        _energy("kondo_temperature", "T_K = 1 / (4 chi_loc(T -> 0)) at B = 0", above=0, nan_allowed=True),
        _energy("kondo_temperature_error", "estimated numerical error of T_K", low=0, nan_allowed=True),
        *outcome_variables("measured"),
    ),
    facts=(
        FAILURE_STATED,
        Fact(
            "measured_where_ok",
            "a number exactly where status is 0",
            ("status", "kondo_temperature", "kondo_temperature_error"),
            _missing_without_failure,
        ),
        Fact("local_moment", "eps_d < 0 < eps_d + U", ("interaction", "level"), _no_local_moment),
    ),
    attributes=("settings", "solver"),
)


def tiny() -> xr.Dataset:
    """A valid example of two measured Hamiltonians and a failed one; the values are of the right order only."""
    columns: dict[str, Any] = {
        "interaction": np.array([0.1, 0.1, 0.2]),
        "hybridization": np.array([0.01, 0.02, 0.01]),
        "level": np.array([-0.05, -0.04, -0.1]),
        "kondo_temperature": np.array([5e-4, 4e-3, np.nan]),
        "kondo_temperature_error": np.array([2e-7, 1e-6, np.nan]),
        "status": np.array([OK, OK, FAILED], dtype=np.int8),
        "failure": np.array(["", "", "example"], dtype=object),
    }
    return KONDO_TEMPERATURES.dataset(columns, {"settings": "{}", "solver": "example"})
