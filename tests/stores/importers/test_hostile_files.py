"""Files made to do harm: refused with a reason, before code runs, another file is read or memory is asked for.

Each of these once was read, hung, or ended in an error of a library; python -m tests.fuzz looks for more.
"""

import gzip
import json
import os
import pickle
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from pipeline.commands.columns import read_columns
from stores.importers.ani_h5 import read_ani_h5
from stores.importers.curves import read_curves
from stores.importers.extxyz import FrameKeys, read_extxyz
from stores.importers.image_files import UnusableImage, pages_of
from stores.importers.rmd17 import read_rmd17
from tests.fuzz import kinds

SMALL_BYTES = 64 * 2**20


class MakesFolder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def readers(file: Path) -> dict:
    return {
        "rmd17": lambda: read_rmd17([file]),
        "curves": lambda: read_curves(file, "curve", ["a"]),
        "columns": lambda: read_columns(file, [("curve", "a")]),
    }


@pytest.mark.parametrize("reader", ["rmd17", "curves", "columns"])
def test_pickled_arrays_of_an_npz_are_refused_and_not_run(tmp_path: Path, reader: str):
    array = np.empty(2, dtype=object)
    array[:] = [MakesFolder(tmp_path / "ran")] * 2
    np.savez(tmp_path / "a.npz", curve=array, a=array, coords=array)
    with pytest.raises(ValueError, match=r"a\.npz.*(Object arrays|allow_pickle)"):
        readers(tmp_path / "a.npz")[reader]()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("reader", ["rmd17", "curves", "columns"])
def test_an_npz_that_claims_gigabytes_is_refused_before_memory_is_asked_for(tmp_path: Path, reader: str):
    kinds._claiming_npz(tmp_path, "curve", "a", "coords")
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"a\.npz.*claims 17179869184 bytes, found"):
            readers(tmp_path / "a.npz")[reader]()
        assert tracemalloc.get_traced_memory()[1] < SMALL_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("harm", [kinds._pickle_as_filter, kinds._pickle_as_compressor])
def test_the_pickle_codec_of_zarr_is_refused_and_not_run(tmp_path: Path, harm, monkeypatch: pytest.MonkeyPatch):
    def unpickled(*_: object) -> None:
        raise AssertionError("unpickled")

    monkeypatch.setattr("numcodecs.pickles.Pickle.decode", unpickled)
    harm(tmp_path)
    with pytest.raises(ValueError, match=r"found the codec pickle in b/\.zarray, which can run code; it is refused"):
        read_curves(tmp_path / "data.zarr", "curve", ["a", "b"])


def test_a_chunk_of_zarr_that_claims_terabytes_is_refused(tmp_path: Path):
    kinds._zarr_v2(tmp_path)
    header = tmp_path / "data.zarr/curve/.zarray"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"chunks": [2**31, 1024]}))
    with pytest.raises(ValueError, match=r"a chunk of curve takes 16384.0 GiB, expected at most"):
        read_curves(tmp_path / "data.zarr", "curve", ["a", "b"])


def test_a_damaged_chunk_of_zarr_is_explained(tmp_path: Path):
    kinds._zarr_v2(tmp_path)
    (tmp_path / "data.zarr/curve/0.0").write_bytes(b"short")
    with pytest.raises(ValueError, match=r"data\.zarr: curve: cannot be read \(.*expected values; it is damaged"):
        read_curves(tmp_path / "data.zarr", "curve", ["a", "b"])


@pytest.mark.parametrize("link", ["external link", "external storage"])
def test_content_of_other_files_is_not_read_through_hdf5(tmp_path: Path, link: str):
    secret = tmp_path / "secret"
    with h5py.File(secret, "w") as file:
        file["numbers"] = np.zeros((2, 3, 3))
    for name in ("a.h5", "b.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["g/species"] = np.ones(3)
            file["a"] = np.arange(2.0)
            if link == "external link":
                file["g/coordinates"] = h5py.ExternalLink(str(secret), "/numbers")
            else:
                stored = [(str(secret), 0, 2 * 3 * 3 * 8)]
                file.create_dataset("g/coordinates", shape=(2, 3, 3), dtype="f8", external=stored)
    with pytest.raises(ValueError, match=r"a\.h5.*expected all content in this one"):
        read_ani_h5([tmp_path / "a.h5"])
    with pytest.raises(ValueError, match=r"b\.h5.*expected all content in this one"):
        read_curves(tmp_path / "b.h5", "curve", ["a"])


def test_hdf5_content_that_is_claimed_and_not_stored_is_refused(tmp_path: Path):
    kinds._h5_of_fill_values(tmp_path)
    with pytest.raises(ValueError, match="key 'coordinates': claims 17179869120 bytes, found 0 in the file"):
        read_ani_h5([tmp_path / "a.h5"])


def test_groups_of_hdf5_that_hold_each_other_are_read_once(tmp_path: Path):
    """Forty levels of two links each are 2^40 paths to the last."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        last = file.create_group("last")
        last["species"], last["coordinates"], last["energies"] = np.ones(1), np.zeros((3, 1, 3)), np.zeros(3)
        for level in range(40):
            group = file.create_group(f"level{level}")
            group["a"] = group["b"] = last
            last = group
    assert len(read_ani_h5([tmp_path / "a.h5"]).blocks) == 1


def test_a_frame_of_endless_atoms_ends_with_the_file(tmp_path: Path):
    kinds._claiming_xyz(tmp_path)
    with pytest.raises(ValueError, match=r"a\.xyz, record 0: cannot be read \(EOFError: a frame claims more atoms"):
        read_extxyz([tmp_path / "a.xyz"], FrameKeys())


def test_compressed_text_beyond_what_frames_can_be_is_refused(tmp_path: Path):
    with gzip.open(tmp_path / "a.xyz.gz", "wb") as file:
        file.write(b"1\n" + b" " * 2**24)
    with pytest.raises(ValueError, match=r"found more than \d+ letters in \d+ bytes, expected frames"):
        read_extxyz([tmp_path / "a.xyz.gz"], FrameKeys())


def test_an_image_larger_than_its_file_can_hold_is_unusable(tmp_path: Path):
    kinds._tiff_that_claims(tmp_path)
    with pytest.raises(UnusableImage, match="claims 12800000000 bytes, found"), pages_of(tmp_path / "a.tif") as pages:
        pages[0]()
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((2000, 2000)), compression="zlib")  # 1000 to 1 is still an image
    with pages_of(tmp_path / "b.tif") as pages:
        assert pages[0]().pixels.shape == (2000, 2000)


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet", ".nc", ".h5", ".xyz", ".db", ".traj"])
def test_a_pickle_under_another_name_is_refused_and_not_run(tmp_path: Path, suffix: str):
    from stores.importers.ase_db import read_ase_db, read_traj

    file = tmp_path / f"a{suffix}"
    file.write_bytes(pickle.dumps(MakesFolder(tmp_path / "ran")))
    read = {
        ".xyz": lambda: read_extxyz([file], FrameKeys()),
        ".db": lambda: read_ase_db([file], FrameKeys()),
        ".traj": lambda: read_traj([file], FrameKeys()),
    }.get(suffix, lambda: read_curves(file, "curve", []))
    with pytest.raises(ValueError, match="expected"):
        read()
    assert not (tmp_path / "ran").exists()
