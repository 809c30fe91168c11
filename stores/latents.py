"""Schema of `data/latents.zarr`: where the selected network of each subset puts its spectra.

Rows are the spectra of all subsets, one subset after the other: a spectrum may occur in several. Columns are the active
latents of that subset's network; a subset with fewer of them than another has NaN in the columns left over.
`traversal_spectrum` decodes one latent at `traversal_position` with the others at 0.

`read_latents` takes one subset out again.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores.schema import Fact, StoreSchema, Variable
from stores.zarr_store import open_store

__all__ = ["LATENTS", "SPLITS", "SubsetLatents", "read_latents", "tiny"]

SPLITS = ("train", "validation", "test")
ROW = ("sample",)
CELL = ("sample", "latent")
PATH = ("subset", "latent", "step")


def _index(name: str, description: str, **more: Any) -> Variable:  # noqa: ANN401 - fields of Variable
    return Variable(name, ROW, "int64", "dimensionless", description, low=0, **more)


def _value(name: str, dims: tuple[str, ...], dtype: str, description: str, **more: Any) -> Variable:  # noqa: ANN401
    return Variable(name, dims, dtype, "dimensionless", description, nan_allowed=True, **more)


def _ragged(block: xr.Dataset) -> NDArray[np.bool_]:
    mean, std = np.isnan(block["latent_mean"].values), np.isnan(block["latent_std"].values)
    return np.asarray((mean != std).any(1) | (np.diff(mean.astype(int), axis=1) < 0).any(1))


def _split_leaks(block: xr.Dataset) -> NDArray[np.bool_]:
    key = block["hamiltonian"].values * 2**20 + block["subset_index"].values
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    return np.asarray(block["split"].values != block["split"].values[first][group])


LATENTS = StoreSchema(
    name="latents",
    version="1",
    coordinates=(Variable("omega", ("omega",), "float64", "D", "frequency", increasing=True),),
    variables=(
        _index("subset_index", "number of the subset in the attribute `subsets`"),
        _index("spectrum_row", "row in spectra.zarr"),
        _index("hamiltonian", "Hamiltonian of that row"),
        _index("split", "0 train, 1 validation, 2 test; by Hamiltonian", choices=(0, 1, 2)),
        _value("latent_mean", CELL, "float64", "mean of q(z|x), active latents first, NaN where there are fewer"),
        _value("latent_std", CELL, "float64", "standard deviation of q(z|x)", low=0),
        _value("kl", ("subset", "latent"), "float64", "KL to the prior per spectrum, in nats", low=0),
        _value("traversal_position", PATH, "float64", "value of the latent that is moved"),
        _value("traversal_spectrum", (*PATH, "omega"), "float32", "decoded pi Gamma A_up(omega)", low=0),
    ),
    facts=(
        Fact(
            "columns_agree",
            "NaN in mean and std together, only after the active latents",
            ("latent_mean", "latent_std"),
            _ragged,
        ),
        Fact(
            "split_by_hamiltonian",
            "one split for all rows of a Hamiltonian in a subset",
            ("hamiltonian", "subset_index", "split"),
            _split_leaks,
            whole=True,
        ),
    ),
    attributes=("latent_names", "subsets"),
)


@dataclass(frozen=True, kw_only=True)
class SubsetLatents:
    """Latents of one subset. Shapes: N rows, L active latents, S steps, W frequencies."""

    names: tuple[str, ...]  # L, such as "even 1", "odd 1"; the mirror turns the sign of odd ones
    mean: NDArray[np.float64]  # (N, L)
    std: NDArray[np.float64]  # (N, L)
    kl: NDArray[np.float64]  # (L,)
    spectrum_row: NDArray[np.int64]  # (N,)
    hamiltonian: NDArray[np.int64]  # (N,)
    split: NDArray[np.int64]  # (N,) index into SPLITS
    omega: NDArray[np.float64]  # (W,)
    traversal_position: NDArray[np.float64]  # (L, S)
    traversal_spectrum: NDArray[np.float32]  # (L, S, W)


def read_latents(path: Path | str, subset: str) -> SubsetLatents:
    """One subset of the store, in memory. Raises ValueError for a subset that it does not hold."""
    dataset = open_store(path, LATENTS)
    subsets = json.loads(dataset.attrs["subsets"])
    if subset not in subsets:
        raise ValueError(f"{path}: found the subsets {subsets}, expected {subset!r} among them")
    number = subsets.index(subset)
    names = tuple(json.loads(dataset.attrs["latent_names"])[subset])
    rows = np.flatnonzero(dataset["subset_index"].values == number)
    n = len(names)
    return SubsetLatents(
        names=names,
        mean=dataset["latent_mean"].values[rows, :n],
        std=dataset["latent_std"].values[rows, :n],
        kl=dataset["kl"].values[number, :n],
        spectrum_row=dataset["spectrum_row"].values[rows],
        hamiltonian=dataset["hamiltonian"].values[rows],
        split=dataset["split"].values[rows],
        omega=dataset["omega"].values,
        traversal_position=dataset["traversal_position"].values[number, :n],
        traversal_spectrum=dataset["traversal_spectrum"].values[number, :n],
    )


def tiny() -> xr.Dataset:
    """A valid example: two subsets with two and one active latents."""
    nan = np.nan
    omega = np.array([-1.0, 0.0, 1.0])
    position = np.array([[[-1.0, 1.0], [-1.0, 1.0]], [[-1.0, 1.0], [nan, nan]]])
    spectrum = np.where(np.isnan(position)[..., None], nan, 0.5 + 0.1 * np.ones(3)).astype(np.float32)
    columns: dict[str, Any] = {
        "subset_index": np.array([0, 0, 0, 1, 1]),
        "spectrum_row": np.array([0, 1, 2, 0, 3]),
        "hamiltonian": np.array([0, 0, 1, 0, 2]),
        "split": np.array([0, 0, 2, 0, 1]),
        "latent_mean": np.array([[0.1, -1.0], [0.1, 1.0], [0.7, 0.0], [-0.3, nan], [1.2, nan]]),
        "latent_std": np.array([[0.1, 0.2], [0.1, 0.2], [0.1, 0.2], [0.3, nan], [0.3, nan]]),
        "kl": np.array([[2.0, 1.0], [1.5, nan]]),
        "traversal_position": position,
        "traversal_spectrum": spectrum,
    }
    return LATENTS.dataset(
        columns | {"omega": omega},
        {
            "subsets": json.dumps(["low_temperature", "full"]),
            "latent_names": json.dumps({"low_temperature": ["even 1", "odd 1"], "full": ["even 1"]}),
        },
    )
