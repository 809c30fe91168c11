import numpy as np
import pytest

from stores.latents import LATENTS, read_latents, tiny
from stores.schema import SchemaError
from stores.zarr_store import write_store


def test_example_is_valid_and_comes_back_per_subset(tmp_path):
    write_store(tmp_path / "latents.zarr", LATENTS, tiny())
    low = read_latents(tmp_path / "latents.zarr", "low_temperature")
    full = read_latents(tmp_path / "latents.zarr", "full")
    assert low.names == ("even 1", "odd 1")
    assert full.names == ("even 1",)
    assert full.mean.tolist() == [[-0.3], [1.2]]
    assert full.spectrum_row.tolist() == [0, 3]
    assert np.isfinite(low.traversal_spectrum).all()


def test_a_hamiltonian_in_two_splits_is_refused(tmp_path):
    dataset = tiny()
    dataset["split"].values[1] = 2
    with pytest.raises(SchemaError, match="one split for all rows of a Hamiltonian"):
        write_store(tmp_path / "latents.zarr", LATENTS, dataset)


def test_a_hole_among_the_active_latents_is_refused(tmp_path):
    dataset = tiny()
    dataset["latent_mean"].values[0, 0] = np.nan
    with pytest.raises(SchemaError, match="NaN in mean and std together"):
        write_store(tmp_path / "latents.zarr", LATENTS, dataset)
