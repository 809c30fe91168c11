"""The known quantities that latents are compared with, and the spectra on which they are.

low_temperature   lowest temperature, no field, and T_K > T: below T a spectrum cannot tell T_K
full              all spectra; there the energy scale is max(T_K, T, |B|)
"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

__all__ = ["WORDS", "quantities"]

Array = NDArray[np.float64]
WORDS = {
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


def quantities(spectra: xr.Dataset, rows: NDArray[np.int64], subset: str) -> tuple[NDArray[np.bool_], dict[str, Array]]:
    """Which of `rows` are judged, and the known quantities there; constant ones are left out."""
    columns = {name: spectra[name].values[rows] for name in spectra.data_vars if spectra[name].dims == ("sample",)}
    kondo = np.nan_to_num(columns["kondo_temperature"], nan=0.0)  # NaN: below every other energy
    judged = columns["interaction"] > 0
    if subset == "low_temperature":
        judged &= kondo > columns["temperature"]
    columns = {name: values[judged] for name, values in columns.items() if values.dtype.kind == "f"}
    scale = np.maximum(np.maximum(kondo[judged], columns["temperature"]), np.abs(columns["field"]))
    found = {
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
        found["log_T_K"] = np.log(kondo[judged])
    return judged, {name: values for name, values in found.items() if np.ptp(values) > 0}
