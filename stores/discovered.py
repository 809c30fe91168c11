"""Schema of the latents that `latentlaw discover` writes: where the chosen network puts every row of the data.

Rows are those of the data that were used, in their order; columns the active latents. `quantity` holds the inputs and
known quantities, whose names stand in the attribute `quantities`.
"""

from typing import Any

import numpy as np
import xarray as xr

from stores.schema import Fact, StoreSchema, Variable

__all__ = ["DISCOVERED", "tiny"]


def _split_leaks(block: xr.Dataset) -> np.ndarray[Any, np.dtype[np.bool_]]:
    _, first, group = np.unique(block["group"].values, return_index=True, return_inverse=True)
    return np.asarray(block["split"].values != block["split"].values[first][group])


DISCOVERED = StoreSchema(
    name="discovered",
    version="1",
    coordinates=(),
    variables=(
        Variable("group", ("sample",), "int64", "dimensionless", "rows that stay together in a split", low=0),
        Variable("split", ("sample",), "int64", "dimensionless", "0 train, 1 validation, 2 test", choices=(0, 1, 2)),
        Variable("latent_mean", ("sample", "latent"), "float64", "dimensionless", "mean of q(z|x)"),
        Variable("latent_std", ("sample", "latent"), "float64", "dimensionless", "standard deviation of q(z|x)", low=0),
        Variable("kl", ("latent",), "float64", "dimensionless", "KL to the prior per row, in nats", low=0),
        Variable("quantity", ("sample", "known"), "float64", "as given", "inputs and known quantities"),
    ),
    facts=(Fact("split_by_group", "one split for all rows of a group", ("group", "split"), _split_leaks, whole=True),),
    attributes=("latent_names", "quantities", "source"),
)


def tiny() -> xr.Dataset:
    """A valid example: five rows, two active latents, one input."""
    columns: dict[str, Any] = {
        "group": np.array([0, 0, 1, 2, 3]),
        "split": np.array([0, 0, 2, 1, 0]),
        "latent_mean": np.array([[0.1, -1.0], [0.1, 1.0], [0.7, 0.0], [-0.3, 0.2], [1.2, -0.4]]),
        "latent_std": np.full((5, 2), 0.1),
        "kl": np.array([2.0, 1.0]),
        "quantity": np.arange(5.0)[:, None],
    }
    attributes = {"latent_names": '["latent 1", "latent 2"]', "quantities": '["a"]', "source": "curves.csv"}
    return DISCOVERED.dataset(columns, attributes)
