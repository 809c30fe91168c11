"""Damaged files end in a message that names the file, never in an error of NumPy, ASE or h5py, nor in a warning.

Every importer reads small files of its format whose bytes, words or arrays are changed at random.
"""

import re
from collections.abc import Callable
from pathlib import Path

import ase.db
import ase.io
import h5py
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from PIL import Image

from stores.importers import label_store
from stores.manifest import Manifest
from stores.schema import SchemaError, rules_of
from tests.pipeline.commands.running import run
from tests.stores.importers.frames import frames
from tests.stores.importers.qm9_tables import write_tables
from tests.stores.importers.test_ani_h5 import ani_1x, ani_al
from tests.stores.importers.test_rmd17 import arrays, save

N_MUTANTS = 25
EVIL_WORDS = (
    *("1e300", "-1e300", "1e-320", "nan", "inf", "-1", "0", "200", "99999", "1e400", "Xx", "Cl", "", '"', "[", "3.7"),
    *("None", "T", "[[1,2],[3]]", "\x00", "9" * 40, "é"),
)


def labelled() -> list:
    """Molecules and a crystal with stress, each with a name of its run."""
    crystal = bulk("Al", a=4.05, cubic=True)
    crystal.calc = SinglePointCalculator(crystal, energy=-14.9, forces=np.zeros((4, 3)), stress=np.full(6, 0.01))
    made = [*frames(6), crystal]
    for atoms in made:
        atoms.info["run"] = "one"
    return made


def write_extxyz(folder: Path) -> Path:
    ase.io.write(folder / "a.xyz", labelled(), format="extxyz")
    return folder / "a.xyz"


def write_db(folder: Path) -> Path:
    with ase.db.connect(folder / "a.db") as database:
        for atoms in labelled():
            database.write(atoms, data={"more": [1, 2]}, run="a")
    return folder / "a.db"


def write_json_db(folder: Path) -> Path:
    with ase.db.connect(folder / "a.json") as database:
        for atoms in labelled():
            database.write(atoms)
    return folder / "a.json"


def write_traj(folder: Path) -> Path:
    ase.io.write(folder / "a.traj", labelled())
    return folder / "a.traj"


def write_npz(folder: Path) -> Path:
    return save(folder / "a.npz", arrays(8))


def write_qm9(folder: Path) -> Path:
    return write_tables(folder) / "qm9_part2.csv"


def write_image(folder: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (24, 24), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    Image.fromarray(pixels).save(folder / "a.tif")
    return folder / "a.tif"


FORMATS: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "extxyz": (write_extxyz, ("extxyz", "FILE", "--energy-key", "energy")),
    "extxyz, bad ones dropped": (write_extxyz, ("extxyz", "FILE", "--group-key", "run", "--drop-bad")),
    "ase-db": (write_db, ("ase-db", "FILE")),
    "ase-db of JSON": (write_json_db, ("ase-db", "FILE")),
    "traj": (write_traj, ("traj", "FILE")),
    "ani-h5": (lambda folder: ani_1x(folder / "a.h5"), ("ani-h5", "FILE")),
    "rmd17": (write_npz, ("rmd17", "FILE")),
    "qm9": (write_qm9, ("qm9", "FOLDER")),
    "images": (write_image, ("images", "FOLDER", "--tile", "8", "--stride", "8")),
}


@pytest.fixture(autouse=True)
def no_disk(monkeypatch):
    """Stores are checked in memory: writing them is not what is tested here."""

    def checked(out: Path, schema, parts, *, sizes, attributes) -> Manifest:
        each = list(parts)
        columns = {v.name: np.concatenate([part[v.name] for part in each]) for v in schema.variables}
        dataset = schema.dataset(columns, attributes)
        assert dict(dataset.sizes).items() >= sizes.items()
        broken = [r.name for v in schema.variables for r in rules_of(v) if r.bad(dataset[v.name].values).any()]
        assert broken + [fact.name for fact in schema.facts if fact.violated(dataset).any()] == []
        return Manifest(schema="atoms", schema_version="1", hash="0" * 64, sizes={}, variables={}, metadata={})

    monkeypatch.setattr(label_store, "write_parts", checked)


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, a piece cut out, doubled or cut off, or a word replaced by one that has no business there."""
    kind = rng.integers(5)
    if kind == 0:
        changed = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 9)):
            changed[place] = rng.integers(256)
        return bytes(changed)
    if kind == 1:
        return content[: rng.integers(len(content))]
    if kind == 2:
        first, last = sorted(rng.integers(0, len(content), 2))
        return content[:first] + content[last:] if rng.integers(2) else content[:last] + content[first:]
    words = list(re.finditer(rb"[\w.+-]+", content))
    word = words[rng.integers(len(words))]
    evil = EVIL_WORDS[rng.integers(len(EVIL_WORDS))].encode()
    return content[: word.start()] + evil + content[word.end() :]


def outcome(words: list[str], name: str) -> str:
    """ "" for an import that worked, else its message. Any other end is an error of the test."""
    try:
        run("import-dataset", *words)
    except SchemaError as error:
        raise AssertionError(f"only the check of the store found {error}") from error
    except (ValueError, FileNotFoundError) as error:
        assert name in str(error)
        return str(error)
    return ""


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_reported(tmp_path: Path, name: str):
    write, words = FORMATS[name]
    (tmp_path / "in").mkdir()
    file = write(tmp_path / "in")
    content = file.read_bytes()
    given = [{"FILE": str(file), "FOLDER": str(file.parent)}.get(word, word) for word in words]
    given += ["--out", str(tmp_path / "out.zarr")]
    assert outcome(given, "") == ""
    rng = np.random.default_rng(0)
    n_refused = 0
    for _ in range(N_MUTANTS if name != "images" else N_MUTANTS // 6):  # their stores are written
        file.write_bytes(mutated(content, rng))
        n_refused += bool(outcome(given, file.name))
    assert n_refused > 0 or name == "images"  # one of two images is always whole


EVIL_ARRAYS = (
    np.zeros((2, 3), dtype=[("a", "f8"), ("b", "i4")]),
    np.array(["a", "b"], dtype="S4"),
    np.array([1 + 2j]),
    np.array(3.0),
    np.zeros(0),
    np.zeros((0, 0, 3)),
    np.array([True]),
    np.full((2, 2, 2, 2), 1e300),
)
EVIL_NUMBERS = (1e300, -1e300, 1e20, np.nan, np.inf, -np.inf, -1.0, 0.0, 200.0, 1e-320, 3.7)


def spoilt(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another array in its place, another shape, or one number changed."""
    kind = rng.integers(4)
    if kind == 0:
        return EVIL_ARRAYS[rng.integers(len(EVIL_ARRAYS))]
    if kind == 1 and values.ndim:
        return values[:-1] if rng.integers(2) else values[..., None]
    if values.dtype.kind not in "fiu":
        return np.zeros_like(values)
    changed = np.array(values, dtype=np.float64)
    changed.reshape(-1)[rng.integers(changed.size)] = EVIL_NUMBERS[rng.integers(len(EVIL_NUMBERS))]
    return changed


@pytest.mark.parametrize("drop", [[], ["--drop-bad"]])
def test_arrays_of_any_kind_in_npz_files_are_reported(tmp_path: Path, drop: list[str]):
    rng = np.random.default_rng(1)
    whole = arrays(6)
    for _ in range(2 * N_MUTANTS):
        name = sorted(whole)[rng.integers(len(whole))]
        file = save(tmp_path / "a.npz", whole | {name: spoilt(whole[name], rng)})
        outcome(["rmd17", str(file), "--out", str(tmp_path / "out.zarr"), *drop], "a.npz")


@pytest.mark.parametrize("drop", [[], ["--drop-bad"]])
@pytest.mark.parametrize("write", [ani_1x, ani_al])
def test_arrays_of_any_kind_in_hdf5_files_are_reported(tmp_path: Path, write: Callable[[Path], Path], drop: list[str]):
    rng = np.random.default_rng(2)
    for _ in range(N_MUTANTS):
        path = write(tmp_path / "a.h5")
        with h5py.File(path, "a") as file:
            names: list[str] = []
            file.visititems(lambda name, item, names=names: names.append(name) if hasattr(item, "shape") else None)
            name = sorted(names)[rng.integers(len(names))]
            values = spoilt(file[name][()], rng)
            del file[name]
            file[name] = values
        outcome(["ani-h5", str(path), "--out", str(tmp_path / "out.zarr"), *drop], "a.h5")


def changed_frames(change: Callable[[ase.Atoms], None]) -> list[ase.Atoms]:
    made = frames(6)
    change(made[2])
    return made


CHANGES = {
    "far coordinate": lambda atoms: atoms.positions.__setitem__((0, 0), 1e300),
    "huge force": lambda atoms: atoms.calc.results["forces"].__setitem__((0, 0), 1e100),
    "huge energy": lambda atoms: atoms.calc.results.update(energy=1e300),
    "huge cell": lambda atoms: (atoms.set_cell([1e300, 5, 5]), atoms.set_pbc(True)),
    "tiny cell": lambda atoms: (atoms.set_cell([1e-300, 5, 5]), atoms.set_pbc(True)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("format_", ["extxyz", "ase-db", "traj"])
def test_numbers_out_of_all_range_name_their_record(tmp_path: Path, format_: str, change: str):
    file = tmp_path / {"extxyz": "a.xyz", "ase-db": "a.db", "traj": "a.traj"}[format_]
    ase.io.write(file, changed_frames(CHANGES[change]), format="db" if format_ == "ase-db" else format_)
    words = [format_, str(file), "--out", str(tmp_path / "out.zarr")]
    record = {"extxyz": "record 2", "ase-db": "row 3", "traj": "frame 2"}[format_]
    message = outcome(words, f"a{file.suffix}, {record}, key")
    assert re.search("found .* expected .*Cure", message, re.DOTALL)
    assert outcome([*words, "--drop-bad"], "") == ""


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        (("'O','H','H'", "'Cl','H','H'"), r"part2.csv, molecule 3, key 'Elements': found \['Cl'\], expected"),
        ((',3,"[2,0,0,1,0]', ',three,"[2,0,0,1,0]'), r"part2.csv, molecule 3, key 'N_atoms': found 'three', expected"),
        (("-76.404702", "minus"), r"part2.csv, molecule 3, key 'InternalEnergy_0K_au': found 'minus', expected"),
        (("0.0076015923", "zero"), r"part2.csv, molecule 3, key 'XYZ_Ang': found 'zero', expected"),
        (("0.0076015923", "1e300"), r"part2.csv, molecule 3, key 'positions': found 1 of 3 atoms beyond 1e\+06"),
    ],
)
def test_a_row_of_qm9_that_cannot_be_read_is_named(tmp_path: Path, replace: tuple[str, str], message: str):
    write_tables(tmp_path / "in", replace=replace)
    with pytest.raises(ValueError, match=message):
        run("import-dataset", "qm9", str(tmp_path / "in"), "--out", str(tmp_path / "out.zarr"))
