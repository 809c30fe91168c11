"""Tables of qm9pack become records with total energies, charges and molecules as groups."""

from pathlib import Path

import numpy as np
import pytest

from stores.atoms import ATOMS, frames_of
from stores.importers.label_store import store_reading
from stores.importers.labelled import LabelSettings
from stores.importers.qm9 import LEVEL, find_tables, read_qm9
from stores.zarr_store import open_store
from tests.stores.importers.frames import HARTREE
from tests.stores.importers.qm9_tables import write_tables


def imported(folder: Path, **choices):
    reading = read_qm9(find_tables(folder), **choices)
    report = store_reading(reading, folder / "q.zarr", LabelSettings(level=LEVEL))
    return report, frames_of(open_store(folder / "q.zarr", ATOMS))


def test_molecules_come_back_with_energies_and_charges(tmp_path: Path):
    report, records = imported(write_tables(tmp_path))
    assert (report.n_kept, report.n_atoms, report.n_groups, report.elements) == (4, 16, 4, "H, C, N, O")
    assert [record.source.split(", ")[1] for record in records] == [f"molecule {n}" for n in (1, 2, 3, 4)]
    assert records[2].numbers.tolist() == [8, 1, 1]
    np.testing.assert_allclose(records[2].positions_A[1], [0.0647664923, 0.0205721989, 0.0015346341])
    np.testing.assert_allclose(records[2].charges_e, [-0.589706, 0.294853, 0.294853])
    assert records[2].energy_eV == pytest.approx(-76.404702 * HARTREE)
    assert np.isnan(records[2].forces_eV_A).all()
    assert records[2].provenance["level"] == LEVEL


@pytest.mark.parametrize(
    ("kind", "energy"), [("U", -76.401867), ("H", -76.400922), ("G", -76.422349), ("electronic", -76.404702 - 0.021375)]
)
def test_every_kind_of_energy(tmp_path: Path, kind: str, energy: float):
    _, records = imported(write_tables(tmp_path), energy=kind)
    assert records[2].energy_eV == pytest.approx(energy * HARTREE)
    assert records[2].provenance["energy"] == kind


def test_a_draw_depends_on_the_seed_alone(tmp_path: Path):
    report, records = imported(write_tables(tmp_path), n_molecules=2, seed=1)
    _, again = imported(tmp_path, n_molecules=2, seed=1)
    assert [record.source for record in records] == [record.source for record in again]
    assert (report.n_read, report.n_kept) == (4, 2)
    with pytest.raises(ValueError, match="found n_molecules = 5, expected 1 to 4"):
        read_qm9(find_tables(tmp_path), n_molecules=5)


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        (("'O','H','H'", "'O','H'"), r"part2.csv, molecule 3, key 'Elements': found 2 entries, expected 3 by N_atoms"),
        (("'O'", "'S'"), r"key 'Elements': found \['S'\], expected H, C, N, O, F"),
        (("0.0076015923", "zero"), r"key 'XYZ_Ang': found .*zero"),
        (("[-0.589706,", "["), r"molecule 3, key 'Mulliken_pop': found 2 entries, expected 3"),
        (("ZPVE_au", "ZOVE_au"), r"part2.csv: found no columns \['ZPVE_au'\]"),
    ],
)
def test_what_does_not_fit_is_reported(tmp_path: Path, replace: tuple[str, str], message: str):
    write_tables(tmp_path, replace=replace)
    with pytest.raises(ValueError, match=message):
        read_qm9(find_tables(tmp_path))


def test_an_unknown_energy_and_absent_tables_are_reported(tmp_path: Path):
    with pytest.raises(ValueError, match="found 'U1', expected one of U0, U, H, G"):
        read_qm9([], energy="U1")
    with pytest.raises(FileNotFoundError, match="expected the tables of qm9pack"):
        find_tables(tmp_path)


def test_an_absent_package_is_reported_with_the_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"pip install qm9pack==1\.0\.3"):
        find_tables()


def test_an_empty_table_is_reported(tmp_path: Path):
    write_tables(tmp_path)
    (tmp_path / "qm9_part2.csv").write_text("")
    with pytest.raises(ValueError, match=r"part2.csv: found .*expected a table of qm9pack"):
        read_qm9(find_tables(tmp_path))
