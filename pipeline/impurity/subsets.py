"""Which spectra a network is trained on, and how they are split: both from inputs alone, never from labels.

    low_temperature   the lowest temperature of the store and |B| at most `max_field`
    full              every solved spectrum but those of held-out Hamiltonians, which are all at the lowest temperature

Splits are drawn per Hamiltonian: its mirror image, its spins and its temperatures go the same way, or a test spectrum
would have a copy in the training set.
"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from models.laws.groups import split_by_group
from stores.outcome import OK

__all__ = ["QUANTITY_WORDS", "SUBSETS", "quantities", "split_by_hamiltonian", "subset_rows"]

Array = NDArray[np.float64]

SUBSETS = ("low_temperature", "full")
QUANTITY_WORDS = {
    "log_T_K": "the logarithm of the Kondo temperature",
    "asymmetry": "the particle-hole asymmetry (U + 2 eps_d) / Gamma",
    "n_d": "the occupation n_d",
    "log_max_scale": "the logarithm of the largest low-energy scale, max(T_K, T, |B|)",
    "log_interaction": "log U",
    "log_hybridization": "log Gamma",
    "level": "eps_d",
    "field": "the field B",
    "log_temperature": "log T",
    "interaction_over_hybridization": "U / Gamma",
}


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
    elif subset == "full":
        keep = solved & ~dataset["held_out"].values
    else:
        raise ValueError(f"subset: found {subset!r}, expected one of {SUBSETS}")
    if not keep.any():
        raise ValueError(
            f"subset {subset}: found no spectrum at the lowest temperature with |B| <= {max_field:g}; "
            "let a share of the Hamiltonians sit at B = 0 (params: spectra) or raise max_field"
        )
    return np.flatnonzero(keep)


def split_by_hamiltonian(
    dataset: xr.Dataset, rows: NDArray[np.int64], *, validation: float, test: float, seed: int
) -> NDArray[np.int64]:
    """0 train, 1 validation, 2 test for each of `rows`; at least one Hamiltonian in each.

    A Hamiltonian's part depends on `seed` and its id alone, so a larger store keeps the split of a smaller one. Those
    that were drawn to be held out are test ones.
    """
    hamiltonian_N, held_out_N = dataset["hamiltonian"].values[rows], dataset["held_out"].values[rows]
    split_N = np.full(len(rows), 2, dtype=np.int64)
    split_N[~held_out_N] = split_by_group(
        hamiltonian_N[~held_out_N], validation=validation, test=test, seed=seed, what="Hamiltonians"
    )
    return split_N


def quantities(spectra: xr.Dataset, rows: NDArray[np.int64], subset: str) -> tuple[NDArray[np.bool_], dict[str, Array]]:
    """Which of `rows` are compared, and the known quantities there; constant ones are left out."""
    columns = {name: spectra[name].values[rows] for name in spectra.data_vars if spectra[name].dims == ("sample",)}
    kondo = np.nan_to_num(columns["kondo_temperature"], nan=0.0)  # NaN: below every other energy
    compared = columns["interaction"] > 0
    if subset == "low_temperature":
        compared &= kondo > columns["temperature"]
    columns = {name: values[compared] for name, values in columns.items() if values.dtype.kind == "f"}
    scale = np.maximum(np.maximum(kondo[compared], columns["temperature"]), np.abs(columns["field"]))
    known = {
        "asymmetry": (columns["interaction"] + 2 * columns["level"]) / columns["hybridization"],
        "n_d": columns["n_d"],
        "log_interaction": np.log(columns["interaction"]),
        "log_hybridization": np.log(columns["hybridization"]),
        "interaction_over_hybridization": columns["interaction"] / columns["hybridization"],
        "level": columns["level"],
        "field": columns["field"],
        "log_temperature": np.log(columns["temperature"]),
        "log_max_scale": np.log(scale),
    }
    if subset == "low_temperature":
        known["log_T_K"] = np.log(kondo[compared])
    return compared, {name: values for name, values in known.items() if np.ptp(values) > 0}
