"""Whether what a row describes could be computed: two variables and one fact that every generated store has.

A Hamiltonian or an image that fails keeps its rows, so that the hash of the store does not depend on luck; `status`
says so and `failure` says why.
"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores.schema import Fact, Variable

__all__ = ["FAILED", "FAILURE_STATED", "OK", "outcome_variables"]

OK, FAILED = 0, 1


def outcome_variables(done: str, *, dim: str = "sample") -> tuple[Variable, Variable]:
    """`status` and `failure` of the rows along `dim`; `done` is the word for success, e.g. "solved"."""
    status = Variable("status", (dim,), "int8", "dimensionless", f"0 {done}, 1 failed", choices=(OK, FAILED))
    failure = Variable("failure", (dim,), "str", "dimensionless", "why it failed, or empty")
    return status, failure


def _failure_unstated(block: xr.Dataset) -> NDArray[np.bool_]:
    said = np.asarray([text != "" for text in block["failure"].values], dtype=bool)
    return np.asarray(said != (block["status"].values != OK))


FAILURE_STATED = Fact(
    "failure_stated", "a reason exactly where status is not 0", ("status", "failure"), _failure_unstated
)
