"""Frames of extended XYZ and ASE databases become records with the same labels, and what is wrong is named."""

import gzip
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from stores.atoms import ATOMS, frames_of
from stores.importers.ase_db import read_ase_db
from stores.importers.extxyz import FrameKeys, read_extxyz
from stores.importers.label_store import store_reading
from stores.importers.labelled import AtomsReport, LabelSettings
from stores.zarr_store import open_store
from tests.stores.importers.frames import HARTREE, frames

NAMED = LabelSettings(level="test", units="eV")


def write(path: Path, made: list) -> Path:
    ase.io.write(path, made, format="extxyz")
    return path


def imported(path: Path, keys: FrameKeys = FrameKeys(), settings: LabelSettings = NAMED, read=read_extxyz):  # noqa: B008
    out = path.with_suffix(".zarr")
    report = store_reading(read([path], keys), out, settings)
    return report, frames_of(open_store(out, ATOMS))


def assert_labels(records: list, made: list, tolerance: float = 1e-7) -> None:
    assert len(records) == len(made)
    for record, atoms in zip(records, made, strict=True):
        np.testing.assert_array_equal(record.numbers, atoms.numbers)
        np.testing.assert_allclose(record.positions_A, atoms.positions, atol=tolerance)
        np.testing.assert_allclose(record.forces_eV_A, atoms.calc.results["forces"], atol=tolerance)
        assert record.energy_eV == pytest.approx(atoms.calc.results["energy"], abs=1e-6)
        assert record.provenance["level"] == "test"


def test_frames_come_back_with_their_labels(tmp_path: Path):
    report, records = imported(write(tmp_path / "a.xyz", frames()), settings=LabelSettings(level="test"))
    assert_labels(records, frames())
    assert isinstance(report, AtomsReport)
    assert (report.n_read, report.n_kept, report.units) == (12, 12, "eV and eV/A")
    assert records[3].source == "a.xyz, record 3"  # the same wherever the file lies
    assert not records.pbc.any()


def test_compressed_files_and_keys_of_ones_own(tmp_path: Path):
    made = frames()
    for atoms in made:
        atoms.info["REF_energy"] = atoms.calc.results["energy"]
        atoms.arrays["REF_forces"] = atoms.calc.results["forces"]
        atoms.info["run"] = f"run {len(atoms)}"
        atoms.calc.results = {"energy": 0.0}
    with gzip.open(tmp_path / "a.xyz.gz", "wt") as stream:
        ase.io.write(stream, made, format="extxyz")
    keys = FrameKeys(energy="REF_energy", forces="REF_forces", group="run")
    report, records = imported(tmp_path / "a.xyz.gz", keys)
    assert_labels(records, frames())
    assert report.grouped_by == "label"
    assert [record.group for record in records[:5]] == [0, 1, 2, 0, 0]  # by the number of atoms: 3, 5, 4, 3, 3


def test_periodic_cells_keep_cell_and_stress_and_a_virial_is_divided_by_the_volume(tmp_path: Path):
    crystal = bulk("Al", a=4.05, cubic=True)
    stress = np.diag([0.01, 0.02, 0.03])
    results = {"energy": -14.9, "forces": np.zeros((4, 3)), "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]}
    crystal.calc = SinglePointCalculator(crystal, **results)
    crystal.info["virial"] = -stress * crystal.get_volume()
    path = write(tmp_path / "a.xyz", [crystal])
    for keys in (FrameKeys(stress="stress"), FrameKeys(virial="virial")):
        _, (record,) = imported(path, keys)
        np.testing.assert_allclose(record.stress_eV_A3, stress, atol=1e-8)
        np.testing.assert_allclose(record.cell_A, np.eye(3) * 4.05)
        assert record.pbc.all()


def test_named_units_are_converted(tmp_path: Path):
    made = frames()
    for atoms in made:
        atoms.calc.results["energy"] /= HARTREE
        atoms.calc.results["forces"] = atoms.calc.results["forces"] / HARTREE * 0.529177210903
    path = write(tmp_path / "a.xyz", made)
    _, records = imported(path, settings=LabelSettings(level="test", units="Ha", force_units="Ha/Bohr"))
    assert_labels(records, frames(), tolerance=1e-6)
    with pytest.raises(
        ValueError, match=r"a.xyz, record 0, key 'energy': .* in Ha .*expected eV; name the unit: --units"
    ):
        imported(path, settings=LabelSettings(level="test"))


def test_energies_in_two_units_are_refused_whatever_is_named(tmp_path: Path):
    made = frames()
    made[7].calc.results["energy"] /= HARTREE
    with pytest.raises(ValueError, match=r"several units \(.*record 7 in Ha.*split the file"):
        imported(write(tmp_path / "a.xyz", made))


def test_forces_of_an_odd_size_are_refused_until_the_units_are_named(tmp_path: Path):
    made = frames()
    for atoms in made:
        atoms.calc.results["forces"] = atoms.calc.results["forces"] / 51.4
    path = write(tmp_path / "a.xyz", made)
    with pytest.raises(ValueError, match=r"key 'forces': taken as eV/A found a root mean square of .*--force-units"):
        imported(path, settings=LabelSettings(level="test"))
    report, _ = imported(path)
    assert any("as named" in note for note in report.notes)


def test_gradients_among_near_frames_are_refused_until_named(tmp_path: Path):
    made = frames(40, names=("NH3",))
    for atoms in made:
        atoms.calc.results["forces"] = -atoms.calc.results["forces"]
    path = write(tmp_path / "a.xyz", made)
    with pytest.raises(ValueError, match=r"change by -(0.9|1).* times .* name --force-sign gradients"):
        imported(path)
    _, records = imported(path, settings=LabelSettings(level="test", force_sign="gradients"))
    assert_labels(records, frames(40, names=("NH3",)))


def test_a_named_key_that_is_missing_is_reported_with_those_that_are_there(tmp_path: Path):
    path = write(tmp_path / "a.xyz", frames())
    with pytest.raises(ValueError, match=r"a.xyz, record 0: found no key 'TotEnergy' for energy.*: energy, forces"):
        imported(path, FrameKeys(energy="TotEnergy"))
    with pytest.raises(ValueError, match=r"key 'forces' for energy: found .*expected a number"):
        imported(path, FrameKeys(energy="forces"))


def test_frames_may_lack_forces_that_nobody_named(tmp_path: Path):
    made = frames()
    for atoms in made[4:6]:
        del atoms.calc.results["forces"]
    path = write(tmp_path / "a.xyz", made)
    report, records = imported(path)
    assert [bool(np.isnan(record.forces_eV_A).all()) for record in records] == [index in (4, 5) for index in range(12)]
    assert any(f"2 records have no key 'forces': {path}, record 4" in note for note in report.notes)
    with pytest.raises(ValueError, match="record 4, key 'forces': found no such key for forces"):
        imported(path, FrameKeys(forces="forces"))
    del made[4].calc.results["energy"]
    with pytest.raises(ValueError, match="record 4, key 'energy': found neither energy nor forces"):
        imported(write(tmp_path / "a.xyz", made))


def test_a_file_without_labels_says_which_keys_there_are(tmp_path: Path):
    made = frames()
    for atoms in made:
        atoms.info["dft"] = atoms.calc.results["energy"]
        atoms.calc = None
    with pytest.raises(ValueError, match=r"found no key 'energy' or 'forces', but \['dft'\]"):
        imported(write(tmp_path / "a.xyz", made))


def test_a_frame_without_atoms_is_named(tmp_path: Path):
    path = write(tmp_path / "a.xyz", frames())
    path.write_text(path.read_text() + "0\nenergy=1.0\n")
    with pytest.raises(ValueError, match=r"a.xyz, record 12: found no atoms, expected some"):
        imported(path)


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_file_is_reported(tmp_path: Path, content: str):
    (tmp_path / "a.xyz").write_text(content)
    with pytest.raises(ValueError, match=r"a.xyz.*(the file is empty|cannot be read)"):
        imported(tmp_path / "a.xyz")


def test_a_file_that_is_cut_off_is_reported_with_the_record(tmp_path: Path):
    path = write(tmp_path / "a.xyz", frames())
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-2]) + "\n")
    with pytest.raises(ValueError, match=r"a.xyz, record \d+: cannot be read .* cut off"):
        imported(path)
    (tmp_path / "b.xyz.gz").write_bytes(gzip.compress(path.read_bytes())[:-40])
    with pytest.raises(ValueError, match=r"b.xyz.gz, record 0: cannot be read"):
        imported(tmp_path / "b.xyz.gz")
    with pytest.raises(FileNotFoundError, match="expected an extended XYZ file"):
        imported(tmp_path / "c.xyz")


def spoil(kind: str) -> list:
    made = frames()
    atoms = made[5]
    if kind == "NaN force":
        atoms.calc.results["forces"][2, 1] = np.nan
    elif kind == "NaN energy":
        atoms.calc.results["energy"] = np.nan
    elif kind == "close":
        atoms.positions[1] = atoms.positions[0] + [0, 0, 0.2]
    elif kind == "unknown element":
        atoms.numbers[0] = 0
    elif kind == "flat cell":
        atoms.cell, atoms.pbc = np.ones((3, 3)), True
    elif kind == "net force":
        atoms.calc.results["forces"] = atoms.calc.results["forces"] + 0.5
    return made


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("NaN force", "record 5, key 'forces': found 1 of 5 atoms NaN or infinite, expected finite forces"),
        ("NaN energy", "record 5, key 'energy': found nan, expected a finite energy"),
        ("close", "record 5, key 'positions': found two atoms 0.2 A apart, expected at least 0.3 A"),
        ("unknown element", "record 5, key 'numbers': found atomic numbers [0], expected 1 to 118"),
        ("flat cell", "record 5, key 'cell': found [[1.0, 1.0, 1.0]"),
        ("net force", "record 5, key 'forces': found forces that add up to"),
    ],
)
def test_a_record_that_cannot_be_used_is_named_or_dropped(tmp_path: Path, kind: str, message: str):
    path = write(tmp_path / "a.xyz", spoil(kind))
    with pytest.raises(ValueError) as raised:
        imported(path)
    assert message in str(raised.value)
    assert "1 of 12 records cannot be used" in str(raised.value)
    assert "--drop-bad" in str(raised.value)
    assert not (tmp_path / "a.zarr").exists()
    report, records = imported(path, settings=LabelSettings(level="test", units="eV", drop_bad=True))
    assert_labels(records, [atoms for index, atoms in enumerate(frames()) if index != 5])
    (names,) = report.dropped.values()
    assert (names.n, names.first) == (1, [f"{path}, record 5"])
    assert any("dropped 1" in line for line in report.lines())


def test_only_bad_records_are_no_store(tmp_path: Path):
    made = frames(3)
    for atoms in made:
        atoms.positions[1] = atoms.positions[0]
    with pytest.raises(ValueError, match="none of the 3 records can be used"):
        imported(write(tmp_path / "a.xyz", made), settings=LabelSettings(level="test", drop_bad=True))


def test_what_is_no_store_is_not_replaced(tmp_path: Path):
    path = write(tmp_path / "a.xyz", frames())
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(ValueError, match="found something that is no store"):
        imported(path)


def test_databases_give_rows_key_value_pairs_and_data(tmp_path: Path):
    made = frames()
    with ase.db.connect(tmp_path / "a.db") as database:
        for index, atoms in enumerate(made):
            data = {"my_forces": atoms.calc.results["forces"]}
            database.write(atoms, my_energy=atoms.calc.results["energy"], run=f"r{index // 4}", data=data)
    for keys in (FrameKeys(), FrameKeys(energy="my_energy", forces="my_forces")):
        _, records = imported(tmp_path / "a.db", keys, read=read_ase_db)
        assert_labels(records, made)
    _, records = imported(tmp_path / "a.db", FrameKeys(group="run"), read=read_ase_db)
    assert [record.group for record in records] == [0] * 4 + [1] * 4 + [2] * 4
    assert records[0].source.endswith("a.db, row 1")
    with pytest.raises(ValueError, match=r"row 1: found no key 'nothing' .* my_energy"):
        imported(tmp_path / "a.db", FrameKeys(energy="nothing"), read=read_ase_db)


def test_a_damaged_database_is_reported(tmp_path: Path):
    (tmp_path / "a.db").write_bytes(b"SQLite format 3\x00" + bytes(3000))
    with pytest.raises(ValueError, match=r"a.db, after row 0: cannot be read"):
        imported(tmp_path / "a.db", read=read_ase_db)
    with pytest.raises(FileNotFoundError, match="expected a database of ASE"):
        imported(tmp_path / "b.db", read=read_ase_db)
