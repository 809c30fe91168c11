"""Which spectra a network is trained on, and how they are split: both from inputs alone, never from labels.

    low_temperature   the lowest temperature of the store and |B| at most `max_field`
    full              every solved spectrum

Splits are drawn per Hamiltonian: its mirror image, its spins and its temperatures go the same way, or a test spectrum
would have a copy in the training set.
"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from models.laws.groups import split_by_group
from stores.outcome import OK

__all__ = ["SUBSETS", "split_by_hamiltonian", "subset_rows"]

SUBSETS = ("low_temperature", "full")


def subset_rows(dataset: xr.Dataset, subset: str, *, max_field: float = 0.0) -> NDArray[np.int64]:
    """Rows of spectra.zarr that belong to a subset, ascending. Raises ValueError where none do."""
    solved = dataset["status"].values == OK
    if not solved.any():
        raise ValueError(
            "spectra store: found no solved spectrum, expected some; look at `failure` in data/spectra.zarr"
        )
    keep = solved
    if subset == "low_temperature":
        temperature = dataset["temperature"].values
        keep = solved & (temperature <= temperature[solved].min() * (1 + 1e-9))
        keep &= np.abs(dataset["field"].values) <= max_field
    elif subset != "full":
        raise ValueError(f"subset: found {subset!r}, expected one of {SUBSETS}")
    if not keep.any():
        raise ValueError(
            f"subset {subset}: found no spectrum at the lowest temperature with |B| <= {max_field:g}; "
            "let a share of the Hamiltonians sit at B = 0 (params: spectra) or raise max_field"
        )
    return np.flatnonzero(keep)


def split_by_hamiltonian(
    hamiltonian_N: NDArray[np.int64], *, validation: float, test: float, seed: int
) -> NDArray[np.int64]:
    """0 train, 1 validation, 2 test per row; at least one Hamiltonian in each.

    A Hamiltonian's lot depends on `seed` and its own id alone, so a larger store keeps the lots of a smaller one.
    """
    return split_by_group(hamiltonian_N, validation=validation, test=test, seed=seed, what="Hamiltonians")
