"""What is published can be read without this project, says what it is, and comes back with the same values."""

import csv
import datetime
import hashlib
import io
import json
import re
import shlex
import zipfile
from pathlib import Path

import ase.io
import mlcroissant
import numpy as np
import pytest
import xarray as xr
import yaml
import zarr

from pipeline.runtime.stage import OptionsError
from stores import atoms, microstructures, spectra
from stores.atoms import ATOMS, frames_of
from stores.building import OutputRefused
from stores.dataset_facts import Publication, licence_of
from stores.microstructures import MICROSTRUCTURES
from stores.publish import publish
from stores.schema import SchemaError
from stores.spectra import SPECTRA
from stores.validate import validate
from stores.zarr_store import open_store, write_store
from tests.pipeline.commands.running import run

KINDS = {
    "spectra": (spectra.tiny, SPECTRA),
    "microstructures": (microstructures.tiny, MICROSTRUCTURES),
    "atoms": (atoms.tiny, ATOMS),
}
PUBLICATION = Publication(
    name="example",
    creators=("A. Person", "B. Person"),
    version="1.2.0",
    date=datetime.date(2026, 11, 30),
    description="An example",
    url="https://example.org/example",
)


@pytest.fixture(scope="module", params=KINDS)
def published(request, tmp_path_factory) -> Path:
    """A published folder `out` beside its store `a.zarr`."""
    folder = tmp_path_factory.mktemp(request.param)
    tiny, schema = KINDS[request.param]
    write_store(folder / "a.zarr", schema, tiny())
    publish(folder / "a.zarr", folder / "out", PUBLICATION)
    return folder / "out"


def store_of(published: Path) -> xr.Dataset:
    return open_store(published.parent / "a.zarr")


def table_rows(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text(), newline="")))


def front_matter(published: Path) -> dict:
    return yaml.safe_load((published / "README.md").read_text().split("---\n")[1])


def test_the_store_in_the_zip_file_opens_with_zarr_alone_and_is_valid_when_unpacked(published: Path, tmp_path: Path):
    file = published / "example.zarr.zip"
    with zarr.storage.ZipStore(file, mode="r") as store:
        xr.testing.assert_identical(xr.open_zarr(store, chunks=None).load(), store_of(published).load())
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path / "b.zarr")
    assert validate(tmp_path / "b.zarr") == []


def test_the_table_has_every_column_of_one_value_with_all_its_digits(published: Path):
    dataset = store_of(published)
    file = next(published.glob("*.csv"))
    rows = table_rows(file)
    dim = file.stem.removesuffix("s")
    expected = {str(name) for name, array in dataset.data_vars.items() if array.dims == (dim,)}
    assert set(rows[0]) == {"row", *expected}
    assert [int(row["row"]) for row in rows] == list(range(dataset.sizes[dim]))
    for name in expected:
        cells, values = [row[name] for row in rows], dataset[name].values
        if values.dtype.kind == "f":
            np.testing.assert_array_equal([float(cell or "nan") for cell in cells], values)
        else:
            assert cells == [str(value) for value in values.tolist()]


def test_hashes_and_sizes_are_those_of_the_files_in_card_and_croissant(published: Path):
    card = (published / "README.md").read_text()
    described = json.loads((published / "croissant.json").read_text())["distribution"]
    assert {entry["contentUrl"] for entry in described} == {path.name for path in published.iterdir()} - {
        "README.md",
        "croissant.json",
        ".latentlaw.json",
    }
    for entry in described:
        content = (published / entry["contentUrl"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["contentSize"] == f"{len(content)} B"
        assert f"| `{entry['name']}` | {len(content)} | `{entry['sha256']}` |" in card


def test_the_card_says_what_the_store_says(published: Path):
    card, dataset = (published / "README.md").read_text(), store_of(published)
    manifest = json.loads(dataset.attrs["manifest"])
    assert manifest["hash"] in card
    for name, array in dataset.variables.items():
        assert f"| `{name}` |" in card
        assert array.attrs["description"].replace("|", "\\|") in card
    failed = int((dataset["status"].values != 0).sum())
    assert f"{failed} of {dataset['status'].size} rows failed" in card and ": example\n" in card
    assert "splitting at random puts copies of test data into training" in card
    assert front_matter(published)["license"] == "cc-by-4.0"
    assert front_matter(published)["size_categories"] == ["n<1K"]
    assert front_matter(published)["configs"][0]["data_files"] == next(published.glob("*.csv")).name


def test_the_code_of_the_card_runs_as_it_stands(published: Path, monkeypatch, capsys):
    monkeypatch.chdir(published)
    blocks = re.findall(r"^```python\n(.*?)^```", (published / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "Dimensions" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")  # of the validator's own libraries
def test_croissant_is_valid_and_its_records_are_the_rows_of_the_table(published: Path):
    described = mlcroissant.Dataset(jsonld=published / "croissant.json")
    assert described.metadata.ctx.issues.errors == set()
    assert described.metadata.ctx.issues.warnings == set()
    table = next(published.glob("*.csv"))
    records = list(described.records(table.stem))
    rows = table_rows(table)
    assert len(records) == len(rows)
    fields = {field.name for record_set in described.metadata.record_sets for field in record_set.fields}
    assert fields == set(rows[0])
    for record, row in zip(records, rows, strict=True):
        assert record[f"{table.stem}/row"] == int(row["row"])
        for name in fields & {"energy", "level", "kondo_temperature", "angle"}:
            assert record[f"{table.stem}/{name}"] == (float(row[name]) if row[name] else None)


def test_the_same_store_version_and_date_give_the_same_bytes(published: Path, tmp_path: Path):
    publish(published.parent / "a.zarr", tmp_path / "again", PUBLICATION)
    for file in published.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    dataset = atoms.tiny()
    dataset["position"][:] += 1 / 3  # digits beyond any rounding
    dataset["source"][0] = 'a "quoted" name = with\\signs'
    write_store(folder / "a.zarr", ATOMS, dataset)
    publish(folder / "a.zarr", folder / "out", PUBLICATION)
    return folder


def test_ase_reads_energies_forces_and_stresses_in_its_units_and_signs(frames: Path):
    read = ase.io.read(frames / "out" / "example.extxyz", index=":")
    stored = frames_of(open_store(frames / "a.zarr"), rows=[0, 1])
    assert len(read) == 2  # the frame that failed has no labels
    for found, frame in zip(read, stored, strict=True):
        assert found.get_potential_energy() == frame.energy_eV
        np.testing.assert_array_equal(found.get_forces(), frame.forces_eV_A)
        np.testing.assert_array_equal(found.positions, frame.positions_A)
        np.testing.assert_array_equal(found.pbc, frame.pbc[0])
        assert found.info["group"] == frame.group
    np.testing.assert_array_equal(read[1].get_stress(voigt=False), stored[1].stress_eV_A3)
    np.testing.assert_array_equal(read[1].cell.array, stored[1].cell_A)
    np.testing.assert_array_equal(read[0].get_charges(), stored[0].charges_e)
    assert read[0].info["source"] == stored[0].source


@pytest.mark.parametrize("packed", [False, True])
def test_frames_that_are_imported_again_have_the_same_values_to_the_bit(frames: Path, tmp_path, monkeypatch, packed):
    if packed:
        monkeypatch.setattr("stores.publish.LARGE_BYTES", 10)
    publish(frames / "a.zarr", tmp_path / "out", PUBLICATION)
    file = tmp_path / "out" / ("example.extxyz.gz" if packed else "example.extxyz")
    words = "--group-key group --references none --group label --level example"
    run("import-dataset", "extxyz", file, "--out", tmp_path / "b.zarr", *words.split())
    first, second = open_store(frames / "a.zarr"), open_store(tmp_path / "b.zarr")
    for name in ("number", "position", "force", "energy", "cell", "pbc", "stress", "n_atoms", "group"):
        length = second[name].sizes[first[name].dims[0]]
        np.testing.assert_array_equal(second[name].values, first[name].values[:length])
    assert second.sizes["config"] == 2


def test_the_lines_of_the_page_on_publishing_go_there_and_back(tmp_path: Path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "publish.md").read_text()
    dataset = atoms.tiny()
    write_store(tmp_path / "data" / "molecules.zarr", ATOMS, dataset)
    monkeypatch.chdir(tmp_path)
    lines = [shlex.split(line)[1:] for line in page.splitlines() if line.startswith("latentlaw ")]
    assert [words[0] for words in lines] == ["publish", "import-dataset"]
    run(*lines[0])
    seen: dict = {}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        exec(compile(block, "publish.md", "exec"), seen)
    assert len(seen["frames"]) == 2
    run(*lines[1])
    again = open_store("again.zarr")
    np.testing.assert_array_equal(again["energy"].values, dataset["energy"].values[:2])
    np.testing.assert_array_equal(again["force"].values, dataset["force"].values[:4])


@pytest.mark.filterwarnings("ignore")  # of the peer's own libraries
def test_the_reader_of_mace_finds_every_label(frames: Path):
    """mace-torch is no dependency: run where it is installed."""
    data = pytest.importorskip("mace.data")
    keys = data.KeySpecification(
        info_keys={"energy": "energy", "stress": "stress", "head": "head", "dipole": "none"},
        arrays_keys={"forces": "forces", "charges": "charges"},
    )
    file = str(frames / "out" / "example.extxyz")
    _, found = data.load_from_xyz(file_path=file, key_specification=keys)
    stored = frames_of(open_store(frames / "a.zarr"), rows=[0, 1])
    for configuration, frame in zip(found, stored, strict=True):
        assert configuration.properties["energy"] == frame.energy_eV
        np.testing.assert_array_equal(configuration.properties["forces"], frame.forces_eV_A)
        assert configuration.property_weights["energy"] == configuration.property_weights["forces"] == 1
    voigt = [stored[1].stress_eV_A3[axes] for axes in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))]
    np.testing.assert_array_equal(found[1].properties["stress"], voigt)


def test_a_folder_that_was_not_made_here_and_a_damaged_store_are_refused(tmp_path: Path):
    write_store(tmp_path / "a.zarr", SPECTRA, spectra.tiny())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(OutputRefused, match="is no published dataset made here"):
        publish(tmp_path / "a.zarr", tmp_path / "mine", PUBLICATION)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"
    publish(tmp_path / "a.zarr", tmp_path / "out", PUBLICATION)
    before = (tmp_path / "out" / "README.md").read_bytes()
    shard = next(path for path in (tmp_path / "a.zarr" / "spectrum" / "c").rglob("*") if path.is_file())
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(SchemaError, match="spectrum"):
        publish(tmp_path / "a.zarr", tmp_path / "out", PUBLICATION)
    assert (tmp_path / "out" / "README.md").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"a.zarr", "mine", "out"}


def test_the_licence_is_that_of_the_store_and_imported_data_need_one():
    assert licence_of({}, None, where="a.zarr") == "CC-BY-4.0"
    assert licence_of({}, "CC0-1.0", where="a.zarr") == "CC0-1.0"
    assert licence_of({"licence": "CC0-1.0", "imported": "{}"}, None, where="a.zarr") == "CC0-1.0"
    with pytest.raises(ValueError, match=r"found licence CC0-1.0 in the store, expected no other"):
        licence_of({"license": "CC0-1.0"}, "CC-BY-4.0", where="a.zarr")
    with pytest.raises(ValueError, match=r"imported data that state no licence.*--licence ID"):
        licence_of({"imported": "{}"}, None, where="a.zarr")
    assert licence_of({"imported": "{}"}, "CC0-1.0", where="a.zarr") == "CC0-1.0"


def test_the_command_publishes_and_names_every_wrong_option_in_one_message(tmp_path: Path, capsys):
    write_store(tmp_path / "a.zarr", SPECTRA, spectra.tiny())
    with pytest.raises(OptionsError) as raised:
        run(
            *("publish", tmp_path / "a.zarr", "--out", tmp_path / "out", "--licence", "my own", "--version", "v1"),
            *("--date", "yesterday", "--name", "../up"),
        )
    assert [problem.split(":")[0] for problem in str(raised.value).split("\n  ")] == [
        "--licence",
        "--version",
        "--name",
        "--date",
    ]
    run("publish", tmp_path / "a.zarr", "--out", tmp_path / "out", "--license", "https://example.org/terms")
    assert front_matter(tmp_path / "out")["license"] == "other"
    assert front_matter(tmp_path / "out")["license_link"] == "https://example.org/terms"
    assert "one row per spectral function of an Anderson impurity" in (tmp_path / "out" / "README.md").read_text()
    assert "a.zarr.zip" in capsys.readouterr().out
