"""Latents on held-out rows, beside what needs no learning and simpler networks: the numbers that claims rest on.

Rows are spectra of test Hamiltonians, which no training and no choice of a training has seen, one of each mirror pair:
with both, a coordinate that knows no more than the sign of the asymmetry would have a rank correlation of 0.75 with it.
For every quantity each set of coordinates sends the one that follows it best on the same kind of rows of validation
Hamiltonians (models.laws.held_out). The sets:

    summaries                    centroid, width, imbalance, height, onset of the curve: nothing is learnt
    principal_components         of the spectra, as many as the network has latents
    principal_components_cumulative      of their cumulative weight, which the network reads too
    untrained                    the network as it is before training
    autoencoder, beta_vae        plain ones, trained as long
    seed_<k>                     each training
    network                      the one of them that was selected, without labels

Scored on    test            where T_K > T (low_temperature), or all solved rows (full)
             local_moment    of these U > 2 Gamma and |U + 2 eps_d| < 0.6 U: elsewhere 1/(4 chi) is no low energy

On `full`, `field_share` is B / (|B| + T + T_K), compared where |B| is the largest of the three.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from models.laws.curve_summaries import CurveSummaries, curve_summaries
from models.laws.held_out import Coordinates, HeldOut, TooFewGroups, held_out_associations
from models.networks.spectra.geometry import cumulative_weight
from models.networks.spectra.spectrum_vae import SpectrumVAE

__all__ = ["HEADLINES", "NETWORK", "SUMMARIES", "coordinate_sets", "held_out_report", "untrained_latents"]

Array = NDArray[np.float64]
NETWORK, SUMMARIES = "network", "summaries"
HEADLINES = {
    "low_temperature": ("log_T_K", "asymmetry", "n_d"),
    "full": ("log_max_scale", "asymmetry", "n_d", "field_share"),
}
LEAST_INTERACTION = 2.0  # of a local moment, in units of Gamma
LARGEST_ASYMMETRY = 0.6  # (U + 2 eps_d) / U of a local moment


def coordinate_sets(
    x_NW: NDArray[np.float32],
    omega: Array,
    *,
    train_N: NDArray[np.bool_],
    config: SpectrumVAE.Config,
    networks: Mapping[str, Coordinates],
) -> dict[str, Coordinates]:
    """All sets for the spectra `x_NW`; those without labels or training are made here, `networks` are added."""
    summaries = curve_summaries(np.maximum(x_NW, 0), omega)
    with torch.inference_mode():
        cumulative_NW = cumulative_weight(torch.from_numpy(x_NW)).numpy()
    return {
        SUMMARIES: Coordinates(z_NL=np.column_stack(summaries), names=CurveSummaries._fields),
        "principal_components": _principal(x_NW, train_N, config.n_latent),
        "principal_components_cumulative": _principal(cumulative_NW, train_N, config.n_latent),
        "untrained": untrained_latents(x_NW, config),
        **networks,
    }


def untrained_latents(x_NW: NDArray[np.float32], config: SpectrumVAE.Config) -> Coordinates:
    """Of the network as it is before training, all of them."""
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        z_NL = SpectrumVAE(config).eval().encode(torch.from_numpy(x_NW)).mean_BL.numpy()
    return Coordinates(z_NL=z_NL.astype(np.float64), names=tuple(f"latent {i + 1}" for i in range(config.n_latent)))


def held_out_report(
    sets: Mapping[str, Coordinates],
    spectra: xr.Dataset,
    rows: NDArray[np.int64],
    split_N: NDArray[np.int64],
    subset: str,
    *,
    n_bootstrap: int,
    seed: int,
) -> dict[str, dict[str, dict[str, HeldOut]]]:
    """Quantity -> scored rows -> set -> what its coordinate reaches; `rows` of spectra.zarr and `split_N` as encoded.

    Scored rows with too few Hamiltonians for an interval are left out.
    """
    columns = {str(name): spectra[name].values[rows] for name in spectra.data_vars if spectra[name].dims == ("sample",)}
    known = _quantities(columns)
    hamiltonian_N = columns["hamiltonian"]
    kondo_N = np.nan_to_num(columns["kondo_temperature"], nan=0.0)
    compared_N = (columns["interaction"] > 0) & ~columns["mirrored"]
    if subset == "low_temperature":
        compared_N &= kondo_N > columns["temperature"]
    depth_N = np.abs(columns["interaction"] + 2 * columns["level"])
    moment_N = (columns["interaction"] > LEAST_INTERACTION * columns["hybridization"]) & (
        depth_N < LARGEST_ASYMMETRY * columns["interaction"]
    )
    scored = {"test": compared_N, "local_moment": compared_N & moment_N}
    report: dict[str, dict[str, dict[str, HeldOut]]] = {}
    for quantity in HEADLINES[subset]:
        y_N = known[quantity]
        defined_N = np.isfinite(y_N)
        for name, score_N in scored.items():
            try:
                held_out = held_out_associations(
                    sets,
                    np.where(defined_N, y_N, 0.0),
                    hamiltonian_N,
                    choose_N=score_N & defined_N & (split_N == 1),
                    score_N=score_N & defined_N & (split_N == 2),
                    against=SUMMARIES,
                    n_bootstrap=n_bootstrap,
                    seed=seed,
                )
            except TooFewGroups:
                continue
            report.setdefault(quantity, {})[name] = held_out
    return report


def _quantities(columns: Mapping[str, Any]) -> dict[str, Array]:
    """(N,), NaN where not defined."""
    kondo, temperature, field = columns["kondo_temperature"], columns["temperature"], columns["field"]
    low = np.nan_to_num(kondo, nan=0.0)
    largest = np.maximum(np.maximum(low, temperature), np.abs(field))
    share = field / (np.abs(field) + temperature + low)
    return {
        "log_T_K": np.log(kondo),
        "log_max_scale": np.log(largest),
        "asymmetry": (columns["interaction"] + 2 * columns["level"]) / columns["hybridization"],
        "n_d": columns["n_d"],
        "field_share": np.where(np.abs(field) >= np.maximum(low, temperature), share, np.nan),
    }


def _principal(x_NW: NDArray[np.float32], train_N: NDArray[np.bool_], n: int) -> Coordinates:
    fitted = PCA(n, svd_solver="full").fit(x_NW[train_N].astype(np.float64))
    return Coordinates(
        z_NL=fitted.transform(x_NW.astype(np.float64)), names=tuple(f"component {i + 1}" for i in range(n))
    )
