"""Schema of `data/pseudogap.zarr`: the energy scale of pseudogap impurities near their critical coupling, by NRG.

    Gamma(w) = Gamma_0 |w / D|^r,      eps_d = -U / 2,      Gamma_0 = Gamma_c (1 + distance)

One row per exponent r and signed distance. T* is the temperature where T chi_imp is half way between its value at the
critical point and that of the phase, in units of the half bandwidth D. A row without a T* has status 1, the reason in
`failure`, and NaN; so has the critical coupling where none was found.
"""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores.outcome import FAILED, FAILURE_STATED, OK, outcome_variables
from stores.sample_keys import SampleKey
from stores.schema import Fact, StoreSchema, Variable

__all__ = ["PSEUDOGAP", "SAMPLE_KEY", "tiny"]

ROW = ("sample",)
SAMPLE_KEY = SampleKey(dim="sample", columns=("exponent", "interaction", "distance"))


def _number(name: str, units: str, description: str, **bounds: Any) -> Variable:  # noqa: ANN401 - fields of Variable
    return Variable(name, ROW, "float64", units, description, **bounds)


def _missing_without_failure(block: xr.Dataset) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(block["crossover_temperature"].values) != (block["status"].values != OK))


def _no_critical_coupling(block: xr.Dataset) -> NDArray[np.bool_]:
    ok = block["status"].values == OK
    return np.asarray(ok & np.isnan(block["critical_coupling"].values))


def _outside_fixed_points(block: xr.Dataset) -> NDArray[np.bool_]:
    """T chi_imp of the critical point lies between r / 8 and 1 / 4."""
    moment = block["critical_moment"].values
    return np.asarray((moment <= block["exponent"].values / 8) | (moment >= 0.25))  # NaN is neither


PSEUDOGAP = StoreSchema(
    name="pseudogap",
    version="1",
    coordinates=(),
    variables=(
        _number("exponent", "dimensionless", "r of Gamma(w) = Gamma_0 |w / D|^r", above=0, high=0.5),
        _number("interaction", "D", "U", above=0),
        _number(
            "distance", "dimensionless", "Gamma_0 / Gamma_c - 1, positive on the screened side", above=-1, high=1
        ),
        _number("critical_coupling", "D", "Gamma_c of the chain", above=0, nan_allowed=True),
        _number("critical_coupling_error", "dimensionless", "relative, of bisection", low=0, nan_allowed=True),
        _number("critical_moment", "dimensionless", "T chi_imp at the critical point", nan_allowed=True),
        _number("critical_entropy", "k_B", "entropy of the impurity at the critical point", nan_allowed=True),
        _number(
            "inverse_nu", "dimensionless", "1/nu of T* ~ |distance|^nu, from the growth of small differences", above=0,
            nan_allowed=True,
        ),
        _number("inverse_nu_error", "dimensionless", "by how much another Lambda differs", low=0, nan_allowed=True),
        _number("crossover_temperature", "D", "T*", above=0, nan_allowed=True),
        *outcome_variables("measured"),
    ),
    facts=(
        FAILURE_STATED,
        Fact(
            "measured_where_ok", "a T* exactly where status is 0", ("status", "crossover_temperature"),
            _missing_without_failure,
        ),
        Fact(
            "critical_where_ok", "a critical coupling where status is 0", ("status", "critical_coupling"),
            _no_critical_coupling,
        ),
        Fact(
            "between_fixed_points", "r / 8 < T chi_imp < 1 / 4 at the critical point", ("exponent", "critical_moment"),
            _outside_fixed_points,
        ),
    ),
    attributes=("settings", "solver"),
)  # fmt: skip


def tiny() -> xr.Dataset:
    """A valid example of both sides and a failure; the values are of the right order only."""
    columns: dict[str, Any] = {
        "exponent": np.array([0.3, 0.3, 0.45]),
        "interaction": np.full(3, 0.5),
        "distance": np.array([1e-3, -1e-3, 1e-3]),
        "critical_coupling": np.array([0.139, 0.139, np.nan]),
        "critical_coupling_error": np.array([1e-9, 1e-9, np.nan]),
        "critical_moment": np.array([0.17, 0.17, np.nan]),
        "critical_entropy": np.array([0.694, 0.694, np.nan]),
        "inverse_nu": np.array([0.194, 0.194, np.nan]),
        "inverse_nu_error": np.array([2e-4, 2e-4, np.nan]),
        "crossover_temperature": np.array([6e-17, 7e-17, np.nan]),
        "status": np.array([OK, OK, FAILED], dtype=np.int8),
        "failure": np.array(["", "", "example"], dtype=object),
    }
    return PSEUDOGAP.dataset(columns, {"settings": "{}", "solver": "example"})
