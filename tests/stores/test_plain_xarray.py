"""What a reader who knows xarray, but nothing of this project, does first with a store."""

import json

import numpy as np
import pytest
import xarray as xr

from stores import (
    atoms,
    hubbard,
    kondo_temperatures,
    latents,
    micrographs,
    microstructures,
    pseudogap,
    spectra,
    textures,
)
from stores.validate import find_schema
from stores.zarr_store import StoreWriter, open_store, write_store

MODULES = {
    "atoms": atoms,
    "hubbard": hubbard,
    "kondo_temperatures": kondo_temperatures,
    "latents": latents,
    "micrographs": micrographs,
    "microstructures": microstructures,
    "pseudogap": pseudogap,
    "spectra": spectra,
    "textures": textures,
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    for name, module in MODULES.items():
        dataset = module.tiny()
        write_store(folder / name, find_schema(name, dataset.attrs), dataset)
    return folder


@pytest.mark.parametrize("name", MODULES)
def test_a_store_opens_without_a_warning_and_says_what_was_written(name, stores):
    """Warnings are errors here; xarray warns where it finds no consolidated metadata."""
    xr.testing.assert_equal(xr.open_zarr(stores / name).load(), MODULES[name].tiny())
    xr.testing.assert_equal(xr.open_dataset(stores / name, engine="zarr"), open_store(stores / name))


@pytest.mark.parametrize("name", MODULES)
def test_a_store_goes_to_netcdf_and_back(name, stores, tmp_path):
    dataset = xr.open_zarr(stores / name, chunks=None)
    dataset.to_netcdf(tmp_path / "x.nc", engine="scipy")  # h5netcdf writes no attribute that is true or false
    back = xr.load_dataset(tmp_path / "x.nc")
    xr.testing.assert_equal(back, dataset)
    assert json.loads(back.attrs["manifest"])["schema"] == name


@pytest.mark.parametrize("name", MODULES)
def test_rows_are_chosen_by_value_and_grouped(name, stores):
    dataset = xr.open_zarr(stores / name, chunks=None)
    rows = "config" if name == "atoms" else "sample"
    stored = dataset.drop_vars([n for n in dataset.variables if dataset[n].dims[:1] != (rows,)])
    number = np.arange(stored.sizes[rows])
    chosen = stored.where(xr.DataArray(number > 0, dims=rows), drop=True)
    assert chosen.sizes[rows] == len(number) - 1
    groups = stored.assign_coords(half=(rows, number // 2)).groupby("half")
    assert groups.first().sizes["half"] == groups.last().sizes["half"] == -(-len(number) // 2)
    assert stored.to_dataframe().index.names[0] == rows


def test_columns_of_text_are_objects_and_their_missing_value_is_no_text_of_the_store(stores, tmp_path):
    dataset = xr.open_zarr(stores / "spectra", chunks=None)
    assert dataset.failure.dtype == object
    assert dataset.failure.values.tolist() == ["", "", "", "", "example"]
    wrong = spectra.tiny()
    wrong["failure"][4] = dataset.failure.encoding["missing_value"]
    with pytest.raises(ValueError, match=r"failure, row 4: found ., expected text other than"):
        write_store(tmp_path / "s", spectra.SPECTRA, wrong)


def test_attributes_that_netcdf_cannot_hold_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"attributes \['names'\] are no text, number or bool"):
        StoreWriter(
            tmp_path / "s",
            kondo_temperatures.KONDO_TEMPERATURES,
            sizes={"sample": 1},
            coordinates={},
            attributes={"names": ["a"]},
        )
