"""What is fed: for every kind sound files, what reads them, how they are damaged, and inputs made to do harm.

Seeds have the same bytes in every run. Input number k of a kind is, for the first k, one of its harmful inputs; each
later one a damaged copy of the seeds, by a random state of its own.
"""

import gzip
import io
import json
import os
import pickle
import random
import shutil
import sqlite3
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from tests.fuzz.mutation import damaged

__all__ = ["KINDS", "Kind", "make_input", "make_seeds"]

Make = Callable[[Path], object]
Damage = Callable[[Path, np.random.Generator], None]


def _one_file(folder: Path, rng: np.random.Generator) -> None:
    """One of the files below the folder, changed."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    file = files[rng.integers(len(files))]
    file.write_bytes(damaged(file.read_bytes(), rng))


@dataclass(frozen=True)
class Kind:
    """`seeds` writes sound inputs, each in a folder of its own; `read(input, out)` reads one.

    `harmful` inputs try to run code, to leave the folder, or to fill the memory: each has to be refused, or read
    without what it is after.
    """

    seeds: Make
    read: Callable[[Path, Path], Any]
    damage: Damage = _one_file
    harmful: tuple[Make, ...] = ()


def make_seeds(name: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    random.seed(0)
    KINDS[name].seeds(folder)


def make_input(name: str, seeds: Path, seed: int, number: int, folder: Path) -> None:
    """Write input `number` of a kind into `folder`."""
    kind = KINDS[name]
    if number < len(kind.harmful):
        kind.harmful[number](folder)
        return
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()), number)))
    some = sorted(seeds.iterdir())
    shutil.copytree(some[rng.integers(len(some))], folder, symlinks=True, dirs_exist_ok=True)
    kind.damage(folder, rng)


# What harm is tried.


class RunsCode:
    """Unpickled, it runs a program: the guard sees that, and the pickle before."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


def _pickled_npz(folder: Path, *names: str) -> None:
    array = np.empty(5, dtype=object)
    array[:] = [RunsCode() for _ in range(5)]
    np.savez(folder / "a.npz", **dict.fromkeys(names, array))


def _npy(header: str, content: bytes = b"") -> bytes:
    """An NPY file with this header, whatever comes after."""
    text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def _zip(file: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def _claims(shape: str, kind: str = "<f8") -> bytes:
    return _npy(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}")


def _claiming_npz(folder: Path, *names: str) -> None:
    """Each array claims 16 GiB, and holds nothing."""
    _zip(folder / "a.npz", {f"{name}.npy": _claims("(2147483648,)") for name in names})


def _npz_bomb(folder: Path, *names: str) -> None:
    """512 MiB of zeros in the last array, in half a megabyte."""
    with zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names[:-1]:
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), _claims("(3,)") + bytes(24))
        last = zipfile.ZipInfo(f"{names[-1]}.npy")
        last.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(last, "w") as member:
            member.write(_claims(f"({2**26},)"))
            for _ in range(2**9):
                member.write(bytes(2**20))


def _outside_npz(folder: Path, *names: str) -> None:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    _zip(folder / "a.npz", {f"../../{name}.npy": file.getvalue() for name in names})


def _npz_harm(*names: str) -> tuple[Make, ...]:
    return tuple(
        lambda folder, harm=harm: harm(folder, *names)
        for harm in (_pickled_npz, _claiming_npz, _npz_bomb, _outside_npz)
    )


# `latentlaw import-dataset`.


def _imports(format_: str, file: str, *options: str) -> Callable[[Path, Path], None]:
    def read(folder: Path, out: Path) -> None:
        from stores.importers import label_store
        from stores.manifest import Manifest
        from tests.pipeline.commands.running import run

        nothing = Manifest(schema="atoms", schema_version="1", hash="0" * 64, sizes={}, variables={}, metadata={})

        def read_all(_: Path, __: object, parts: Iterable[object], **___: object) -> Manifest:
            deque(parts, maxlen=0)
            return nothing

        with patch.object(label_store, "write_parts", read_all):  # what is read is what is tried here
            given = next(iter(sorted(folder.glob(file)))) if file else folder
            run("import-dataset", format_, given, "--out", out / "out.zarr", *options)

    return read


def _atoms_file(name: str) -> Make:
    """Some frames of molecules and a crystal as each format has them, with and without names of their runs."""

    def write(seeds: Path) -> None:
        from tests.stores.importers import test_mutations as sound

        folder = seeds / "0"
        folder.mkdir()
        getattr(sound, name)(folder)
        for file in folder.glob("*.db"):
            _same_day(file)
        for file in folder.glob("*.json"):
            document = json.loads(file.read_text())
            for row in document.values():
                if isinstance(row, dict):
                    row.update(ctime=1.0, mtime=1.0, unique_id="0" * 32)
            file.write_text(json.dumps(document))

    return write


def _same_day(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("UPDATE systems SET ctime = 1, mtime = 1, unique_id = printf('%032x', id)")
    database.close()


def _extxyz_seeds(seeds: Path) -> None:
    _atoms_file("write_extxyz")(seeds)
    (seeds / "1").mkdir()
    (seeds / "1/a.xyz.gz").write_bytes(gzip.compress((seeds / "0/a.xyz").read_bytes(), mtime=0))


def _h5_seeds(seeds: Path) -> None:
    from tests.stores.importers.test_ani_h5 import ani_1x, ani_al, pyanitools

    for number, write in enumerate((ani_1x, ani_al, pyanitools)):
        (seeds / str(number)).mkdir()
        write(seeds / str(number) / "a.h5")


def _h5_of_fill_values(folder: Path) -> None:
    """16 GiB of coordinates of which no byte is stored."""
    import h5py

    with h5py.File(folder / "a.h5", "w") as file:
        group = file.create_group("g")
        group["atomic_numbers"] = np.ones(4, dtype=np.uint8)
        group.create_dataset("coordinates", shape=(2**31 // 12, 4, 3), dtype="f8", chunks=(1024, 4, 3))
        group["energies"] = np.zeros(3)


def _h5_link_outside(folder: Path) -> None:
    import h5py

    with h5py.File(folder / "a.h5", "w") as file:
        file["g"] = h5py.ExternalLink("/etc/passwd", "/")
        file["h/coordinates"] = h5py.SoftLink("/h")
        file["h/species"] = np.zeros(3)
        file["h/again"] = h5py.SoftLink("/")


def _gzip_bomb(folder: Path) -> None:
    """512 MiB of a comment line in half a megabyte."""
    with gzip.GzipFile(folder / "a.xyz.gz", "wb", compresslevel=1, mtime=0) as file:
        file.write(b"1\n")
        for _ in range(2**9):
            file.write(b" " * 2**20)


def _claiming_xyz(folder: Path) -> None:
    (folder / "a.xyz").write_text("9999999999999\nProperties=species:S:1:pos:R:3 energy=1\nH 0 0 0\n")


def _pickle_as(name: str) -> Make:
    return lambda folder: (folder / name).write_bytes(pickle.dumps(RunsCode()))


# `latentlaw discover`.

TABLES = (".csv", ".parquet")


def _curves(suffix: str) -> Kind:
    def seeds(folder: Path) -> None:
        from tests.stores.importers.test_curves import written

        (folder / "0").mkdir()
        written(folder / "0", suffix)

    def read(folder: Path, out: Path) -> None:
        from stores.importers.curves import read_curves

        array = "c_*" if suffix in TABLES else "curve"
        read_curves(folder / f"data{suffix}", array, ["a", "b"], drop_not_finite=True)

    return Kind(seeds, read, harmful=_curve_harm(suffix))


def _curve_harm(suffix: str) -> tuple[Make, ...]:
    if suffix == ".npz":
        return tuple(
            lambda folder, harm=harm: (harm(folder), (folder / "a.npz").rename(folder / "data.npz"))
            for harm in _npz_harm("curve", "a", "b")
        )
    if suffix == ".zarr":
        return (_pickle_as_filter, _pickle_as_compressor, _zarr_of_fill_values, _zarr_key_outside)
    return (_pickle_as(f"data{suffix}"),)


def _zarr_v2(folder: Path, **b: Any) -> None:
    store = folder / "data.zarr"
    store.mkdir()
    (store / ".zgroup").write_text('{"zarr_format": 2}')
    for name, shape, dims, more in (
        ("curve", [5, 3], ["row", "w"], {}),
        ("a", [5], ["row"], {}),
        ("b", [5], ["row"], b),
    ):
        (store / name).mkdir()
        header = {"zarr_format": 2, "shape": shape, "chunks": shape, "dtype": "<f8", "compressor": None}
        header |= {"fill_value": 0, "order": "C", "filters": None, **more}
        (store / name / ".zarray").write_text(json.dumps(header))
        (store / name / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": dims}))
        content = pickle.dumps([RunsCode()] * 5) if more else np.arange(float(np.prod(shape))).tobytes()
        (store / name / ".".join("0" * len(shape))).write_bytes(content)


def _pickle_as_filter(folder: Path) -> None:
    _zarr_v2(folder, dtype="|O", filters=[{"id": "pickle"}])


def _pickle_as_compressor(folder: Path) -> None:
    _zarr_v2(folder, compressor={"id": "pickle"})


def _zarr_of_fill_values(folder: Path) -> None:
    """16 TiB of curves, none of them there."""
    _zarr_v2(folder)
    header = folder / "data.zarr/curve/.zarray"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"shape": [2**31, 1024], "chunks": [2**31, 1024]}))


def _zarr_key_outside(folder: Path) -> None:
    """Consolidated metadata that name an array beside the store."""
    _zarr_v2(folder)
    store = folder / "data.zarr"
    names = (".zgroup", "curve/.zarray", "curve/.zattrs")
    metadata = {name: json.loads((store / name).read_text()) for name in names}
    metadata |= {f"../../outside/{name}": metadata[f"curve/{name}"] for name in (".zarray", ".zattrs")}
    (store / ".zmetadata").write_text(json.dumps({"zarr_consolidated_format": 1, "metadata": metadata}))


# Baths and densities of states.


def _columns_seeds(seeds: Path) -> None:
    omega = np.linspace(-1, 1, 21)
    for number, name in enumerate(("a.csv", "a.txt", "a.npz")):
        (seeds / str(number)).mkdir()
        file = seeds / str(number) / name
        if name == "a.npz":
            np.savez(file, omega=omega, gamma=np.full(21, 0.1))
        else:
            text = "\n".join(f"{w:.3f}{',' if name == 'a.csv' else ' '}0.1" for w in omega)
            file.write_text(f"omega,gamma\n{text}\n" if name == "a.csv" else f"# omega gamma\n{text}\n")


def _read_columns(folder: Path, out: Path) -> None:
    from pipeline.commands.columns import read_columns

    read_columns(next(iter(sorted(folder.iterdir()))), [("omega", "gamma_up", "gamma_dn"), ("omega", "gamma")])


# Stores.

STORES = (
    *("atoms", "discovered", "hubbard", "kondo_temperatures", "latents", "micrographs", "microstructures"),
    *("pseudogap", "spectra", "textures"),
)


def _store_seeds(seeds: Path) -> None:
    import importlib

    from stores.validate import find_schema
    from stores.zarr_store import write_store

    for name in STORES:
        module = importlib.import_module(f"stores.{name}")
        made = module.tiny()
        schema = find_schema(name, made.attrs)
        (seeds / name).mkdir()
        write_store(seeds / name / "s.zarr", schema, made)


def _read_store(folder: Path, out: Path) -> None:
    """The validator answers whatever there is; what opens is read whole."""
    from stores.schema import SchemaError
    from stores.validate import validate
    from stores.zarr_store import open_store

    violations = validate(folder / "s.zarr")
    str(SchemaError("s.zarr", violations, "")).encode()
    dataset = open_store(folder / "s.zarr")
    if not violations:
        dataset.load()
    else:
        raise SchemaError("s.zarr", violations, "")


def _damage_store(folder: Path, rng: np.random.Generator) -> None:
    """Its metadata as JSON, one of its cells, or one of its files."""
    from tests.stores.test_damage import damage_cell, damage_file, damage_metadata

    ways: tuple[Callable[[Path, Any], object], ...] = (damage_cell, damage_file, damage_metadata)
    way = rng.integers(4)
    if way == 3:
        _one_file(folder, rng)
    else:
        ways[way](folder / "s.zarr", random.Random(int(rng.integers(2**32))))


# params.yaml.

ROOT = Path(__file__).parents[2]
SECTIONS = ("spectra", "microstructures", "molecules")


def _params_seeds(seeds: Path) -> None:
    """Some sections alone: the whole file takes a second to read."""
    lines = (ROOT / "params.yaml").read_text().splitlines(keepends=True)
    section, kept = "", []
    for line in lines:
        if line[0].isalpha():
            section = line.partition(":")[0]
        kept += [line] if section in SECTIONS else []
    (seeds / "0").mkdir()
    (seeds / "0/params.yaml").write_text("".join(kept))


def _read_params(folder: Path, out: Path) -> None:
    from pipeline.runtime.check_params import section_kinds
    from pipeline.runtime.params import check_sections

    kinds = _CACHE.setdefault("kinds", None) or section_kinds()
    _CACHE["kinds"] = kinds
    check_sections({name: kinds[name] for name in SECTIONS}, folder / "params.yaml")


_CACHE: dict[str, Any] = {}


def _yaml(text: str) -> Make:
    return lambda folder: (folder / "params.yaml").write_text(text)


# Checkpoints.


def _potential_seeds(seeds: Path) -> None:
    import torch

    from models.networks.potentials.ensemble import save_potential
    from models.networks.potentials.potential import POTENTIALS

    for name in POTENTIALS.names():
        torch.manual_seed(0)
        settings: Any = POTENTIALS[name].settings
        kind: Any = POTENTIALS[name].make
        members = [kind(settings().config((1, 8), (-13.6, -2042.7), 1.0))]
        save_potential(seeds / name / "model", members, {"note": "a"})


def _read_potential(folder: Path, out: Path) -> None:
    from models.networks.potentials.ensemble import load_potential

    load_potential(folder / "model")


def _state_seeds(seeds: Path) -> None:
    import torch

    for number in range(2):
        (seeds / str(number)).mkdir()
        torch.save(
            {"a": torch.zeros(3, 2), "b": torch.ones(4)},
            seeds / str(number) / "a.pth",
            _use_new_zipfile_serialization=not number,
        )
    (seeds / "2").mkdir()
    (seeds / "2/a.pkl").write_bytes(pickle.dumps({"a": np.zeros(3), "b": [np.ones(2), "x"]}, protocol=4))


def _read_state(folder: Path, out: Path) -> None:
    from models.descriptors.weights import load_state, read_arrays

    for file in sorted(folder.iterdir()):
        (load_state if file.suffix == ".pth" else read_arrays)(file)


def _torch_pickle(folder: Path) -> None:
    import torch

    torch.save({"a": RunsCode()}, folder / "a.pth")


# Micrographs.


def _image_seeds(seeds: Path) -> None:
    import tifffile
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (24, 24), dtype=np.uint8)
    for suffix in ("png", "tif", "jpg"):
        (seeds / suffix).mkdir()
        Image.fromarray(pixels).save(seeds / suffix / f"a.{suffix}")
    (seeds / "stack").mkdir()
    stack = np.stack([pixels, pixels.T, 255 - pixels])
    tifffile.imwrite(seeds / "stack/a.tif", stack, photometric="minisblack", compression="zlib", datetime=False)
    (seeds / "palette").mkdir()
    Image.fromarray(pixels).convert("P").save(seeds / "palette/a.png")
    (seeds / "imagej").mkdir()
    tifffile.imwrite(seeds / "imagej/a.tif", stack, imagej=True)


def _read_images(folder: Path, out: Path) -> None:
    from stores.importers.images import ImageSettings, import_images

    import_images(folder, out / "out.zarr", ImageSettings(tile_px=8, stride_px=8))


def _png_that_claims(folder: Path) -> None:
    """100,000 x 100,000 pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(name + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + name + content + crc

    header = (10**5).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def _tiff_that_claims(folder: Path) -> None:
    """40,000 x 40,000 float64 in a strip of some bytes."""
    import tifffile

    tifffile.imwrite(folder / "a.tif", np.zeros((16, 16)), photometric="minisblack")
    content = (folder / "a.tif").read_bytes()
    for tag in (256, 257, 278):  # width, height, rows per strip
        for kind in (3, 4):
            place = content.find(tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + (1).to_bytes(4, "little"))
            if place >= 0:
                content = content[: place + 8] + (40000).to_bytes(4, "little") + content[place + 12 :]
    (folder / "a.tif").write_bytes(content)


KINDS: dict[str, Kind] = {
    "extxyz": Kind(
        _extxyz_seeds,
        _imports("extxyz", "a.xyz*", "--energy-key", "energy", "--drop-bad"),
        harmful=(_gzip_bomb, _claiming_xyz, _pickle_as("a.xyz")),
    ),
    "ase-db": Kind(_atoms_file("write_db"), _imports("ase-db", "a.db"), harmful=(_pickle_as("a.db"),)),
    "ase-json": Kind(_atoms_file("write_json_db"), _imports("ase-db", "a.json"), harmful=(_pickle_as("a.json"),)),
    "traj": Kind(_atoms_file("write_traj"), _imports("traj", "a.traj"), harmful=(_pickle_as("a.traj"),)),
    "ani-h5": Kind(
        _h5_seeds,
        _imports("ani-h5", "a.h5", "--drop-bad"),
        harmful=(_h5_of_fill_values, _h5_link_outside, _pickle_as("a.h5")),
    ),
    "rmd17": Kind(
        _atoms_file("write_npz"),
        _imports("rmd17", "a.npz", "--drop-bad"),
        harmful=_npz_harm("nuclear_charges", "coords", "energies", "forces"),
    ),
    "qm9": Kind(_atoms_file("write_qm9"), _imports("qm9", "", "--drop-bad")),
    "images": Kind(_image_seeds, _read_images, harmful=(_png_that_claims, _tiff_that_claims, _pickle_as("a.tif"))),
    **{f"curves{suffix}": _curves(suffix) for suffix in (".csv", ".npz", ".parquet", ".nc", ".h5", ".zarr")},
    "columns": Kind(_columns_seeds, _read_columns, harmful=_npz_harm("omega", "gamma")),
    "store": Kind(_store_seeds, _read_store, _damage_store),
    "params": Kind(
        _params_seeds,
        _read_params,
        harmful=(
            _yaml("spectra: !!python/object/apply:os.system [ls]\n"),
            _yaml("spectra: !!python/name:os.system\nmolecules: !!python/object/new:os.system [ls]\n"),
            _yaml(
                "a: &a [x, x]\n"
                + "".join(
                    f"{n}: &{n} [*{m}, *{m}, *{m}, *{m}, *{m}, *{m}, *{m}, *{m}, *{m}]\n"
                    for m, n in zip("abcdefghi", "bcdefghij", strict=True)
                )
            ),
            _yaml("spectra: &a\n  itself: *a\n"),
            _yaml("[" * 20000),
        ),
    ),
    "potential": Kind(_potential_seeds, _read_potential, harmful=(_torch_pickle,)),
    "pickled-weights": Kind(  # read only after their hash was found right: harm is tried, damage is not
        _state_seeds,
        _read_state,
        lambda folder, rng: None,
        harmful=(_torch_pickle, _pickle_as("a.pth"), _pickle_as("a.pkl")),
    ),
}
