"""Curves out of files of other people: every format gives the same table, and what is wrong is named."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from stores.importers.curves import read_curves

RNG = np.random.default_rng(0)
N, W = 60, 12
A = RNG.uniform(1, 2, N)
B = np.repeat(np.arange(30.0), 2)
AXIS = np.geomspace(1e-2, 1, W)
CURVES = A[:, None] * AXIS + B[:, None]


def dataset() -> xr.Dataset:
    return xr.Dataset(
        {"curve": (("row", "w"), CURVES), "a": ("row", A), "b": ("row", B), "name": ("row", [f"g{int(b)}" for b in B])},
        coords={"w": AXIS},
    )


def written(folder, suffix):
    path = folder / f"data{suffix}"
    if suffix == ".zarr":
        dataset().drop_vars("name").to_zarr(path, consolidated=False)
    elif suffix == ".nc":
        dataset().drop_vars("name").to_netcdf(path, engine="scipy")
    elif suffix in (".h5", ".hdf5"):
        dataset().to_netcdf(path, engine="h5netcdf")
    elif suffix == ".npz":
        np.savez(path, curve=CURVES, a=A, b=B, w=AXIS)
    else:
        frame = pd.DataFrame(CURVES, columns=[f"c_{w:.6g}" for w in AXIS]).assign(
            a=A, b=B, name=[f"g{int(b)}" for b in B]
        )
        frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".zarr", ".nc", ".h5", ".hdf5", ".npz", ".csv", ".parquet"])
def test_every_format_gives_the_same_curves_and_columns(tmp_path, suffix):
    array = "c_*" if suffix in (".csv", ".parquet") else "curve"
    table = read_curves(written(tmp_path, suffix), array, ["a", "b"])
    np.testing.assert_allclose(table.curves, CURVES)
    np.testing.assert_allclose(table.columns["a"], A)
    assert table.shape == (W,) and table.n_dropped == 0
    np.testing.assert_allclose(table.axis, AXIS if suffix != ".npz" else np.arange(W), rtol=1e-5)


def test_groups_are_those_of_the_column_or_of_equal_inputs(tmp_path):
    path = written(tmp_path, ".csv")
    by_name = read_curves(path, "c_*", ["a"], group="name")
    assert len(np.unique(by_name.groups)) == 30 and (by_name.groups[::2] == by_name.groups[1::2]).all()
    by_input = read_curves(path, "c_*", ["b"])
    assert len(np.unique(by_input.groups)) == 30
    assert len(np.unique(read_curves(path, "c_*", ["a", "b"]).groups)) == N


def test_images_keep_their_shape(tmp_path):
    np.savez(tmp_path / "images.npz", image=RNG.uniform(size=(N, 4, 5)), a=A)
    table = read_curves(tmp_path / "images.npz", "image", ["a"])
    assert table.shape == (4, 5) and table.curves.shape == (N, 20)


def test_rows_that_are_not_finite_are_refused_or_dropped_and_counted(tmp_path):
    curves, a = CURVES.copy(), A.copy()
    curves[3, 2], a[7] = np.nan, np.inf
    np.savez(tmp_path / "data.npz", curve=curves, a=a)
    with pytest.raises(ValueError, match=r"found 2 of 60 rows .* \(rows 3, 7\).*--drop-not-finite"):
        read_curves(tmp_path / "data.npz", "curve", ["a"])
    table = read_curves(tmp_path / "data.npz", "curve", ["a"], drop_not_finite=True)
    assert table.n_dropped == 2 and len(table.curves) == N - 2


def test_copies_in_different_groups_are_found_and_named(tmp_path):
    curves = CURVES.copy()
    curves[9] = curves[4]
    np.savez(tmp_path / "data.npz", curve=curves, a=A, pair=np.where(np.arange(N) == 9, 4, np.arange(N)))
    with pytest.raises(ValueError, match=r"rows 4 and 9.*--group"):
        read_curves(tmp_path / "data.npz", "curve", ["a"])
    assert read_curves(tmp_path / "data.npz", "curve", ["a"], group="pair").groups[9] == 4


@pytest.mark.parametrize(
    ("array", "columns", "message"),
    [
        ("spectrum", ["a"], "found no spectrum.*there: .*curve"),
        ("curve", ["a", "q"], "found no q, .*there: .*curve"),
        ("a", [], "a: found 1 dimensions"),
        ("curve", ["name"], "name: found values of type"),
        ("curve", ["same"], "found same constant"),
        ("curve", ["short"], "short: found the shape"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_there(tmp_path, array, columns, message):
    path = tmp_path / "data.h5"
    dataset().assign(same=("row", np.ones(N)), short=("other", np.arange(3.0))).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(ValueError, match=message):
        read_curves(path, array, columns)


def test_pickled_arrays_and_damaged_files_are_refused(tmp_path):
    np.savez(tmp_path / "pickled.npz", curve=np.array([{"a": 1}], dtype=object), a=A)
    for name in ("damaged.h5", "damaged.parquet", "damaged.npz"):
        (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n cut off")
    for name in ("pickled.npz", "damaged.h5", "damaged.parquet", "damaged.npz"):
        with pytest.raises(ValueError, match=name):
            read_curves(tmp_path / name, "curve", ["a"])
    with pytest.raises(FileNotFoundError, match="expected data in one of"):
        read_curves(tmp_path / "absent.csv", "c_*", ["a"])
    (tmp_path / "data.txt").write_text("1")
    with pytest.raises(ValueError, match=r"suffix '.txt'"):
        read_curves(tmp_path / "data.txt", "c_*", ["a"])


def test_a_table_without_such_columns_lists_those_there_are(tmp_path):
    with pytest.raises(ValueError, match=r"no column that matches 'q_\*'.*there are c_"):
        read_curves(written(tmp_path, ".csv"), "q_*", ["a"])


def test_an_array_beyond_the_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("stores.importers.foreign_files.MEMORY_SHARE", 1e-12)
    with pytest.raises(ValueError, match=r"takes 0.0 GiB, expected at most"):
        read_curves(written(tmp_path, ".zarr"), "curve", ["a"])
