"""A trained network applied to the spectra of its subset, with the split of its training."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from models.networks.spectra.spectrum_vae import SpectrumVAE
from models.networks.weights import load_network
from models.training.spectra.elbo import latent_activity
from pipeline.impurity.subsets import split_by_hamiltonian, subset_rows

__all__ = ["Encoded", "encode"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One network applied to its subset. Shapes: N rows, L active latents, K all latents."""

    subset: str
    model: SpectrumVAE
    active: list[int]
    names: list[str]  # (L,)
    rows: NDArray[np.int64]  # (N,) of spectra.zarr
    split: NDArray[np.int64]  # (N,)
    mean: Array  # (N, L)
    std: Array  # (N, L)
    kl: Array  # (L,)


def encode(spectra: xr.Dataset, folder: Path, subset: str) -> Encoded:
    """Spectra of the subset through the network in `folder`, with the split of its training."""
    model = load_network(SpectrumVAE, folder)
    result = json.loads((folder / "result.json").read_text())
    rows = subset_rows(spectra, subset, max_field=result["max_field"])
    split = split_by_hamiltonian(spectra, rows, **result["split"])
    with torch.inference_mode():
        posterior = model.encode(torch.from_numpy(spectra["spectrum"].values[rows]))
        activity = latent_activity(posterior, variational=model.config.variational).mean(0).numpy()
    active = result["active"]
    parities = {
        index: parity for parity, sector in zip(("even", "odd"), model.sectors, strict=False) for index in sector
    }
    first = {index: index - sector.start + 1 for sector in model.sectors for index in sector}
    mirror = model.config.architecture == "mirror"
    return Encoded(
        subset=subset,
        model=model,
        active=active,
        names=[f"{parities[index]} {first[index]}" if mirror else f"latent {index + 1}" for index in active],
        rows=rows,
        split=split,
        mean=posterior.mean_BL.numpy().astype(np.float64)[:, active],
        std=np.exp(posterior.logvar_BL.numpy().astype(np.float64)[:, active] / 2),
        kl=activity.astype(np.float64)[active],
    )
