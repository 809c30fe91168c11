"""HDF5 files of the layouts of ANI-1x, COMP6 and ANI-Al, as small as can be."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from stores.atoms import ATOMS, frames_of
from stores.importers.ani_h5 import read_ani_h5
from stores.importers.label_store import store_reading
from stores.importers.labelled import LabelSettings
from stores.zarr_store import open_store
from tests.stores.importers.frames import HARTREE, frames

SETTINGS = LabelSettings(level="wB97x/6-31G(d)")
BY_LABEL = LabelSettings(level="wB97x/6-31G(d)", group="label")


def molecules(name: str, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Numbers, coordinates [A], energies [Hartree] and forces [Hartree/A] of conformations of one molecule."""
    made = frames(n, names=(name,))
    energies = np.array([atoms.calc.results["energy"] for atoms in made]) / HARTREE
    forces = np.array([atoms.calc.results["forces"] for atoms in made]) / HARTREE
    return made[0].numbers, np.array([atoms.positions for atoms in made]), energies, forces


def ani_1x(path: Path) -> Path:
    """The release of ANI-1x: a group per formula, several levels, NaN where one was not computed."""
    with h5py.File(path, "w") as file:
        for formula, name in (("H2O1", "H2O"), ("C1H4", "CH4")):
            numbers, coordinates, energies, forces = molecules(name, 5)
            energies[1] = np.nan
            forces[1] = np.nan
            group = file.create_group(formula)
            group["atomic_numbers"] = numbers.astype(np.uint8)
            group["coordinates"] = coordinates.astype(np.float32)
            group["wb97x_dz.energy"] = energies
            group["wb97x_dz.forces"] = forces.astype(np.float32)
            group["ccsd(t)_cbs.energy"] = np.where(np.arange(5) < 3, energies - 0.1, np.nan)
    return path


def pyanitools(path: Path) -> Path:
    """COMP6: groups in groups, species as letters."""
    with h5py.File(path, "w") as file:
        for position, name in enumerate(("H2O", "NH3")):
            numbers, coordinates, energies, forces = molecules(name, 4)
            group = file.create_group(f"set/mol{position:02d}")
            group["species"] = np.array([{1: b"H", 7: b"N", 8: b"O"}[z] for z in numbers])
            group["coordinates"] = coordinates.astype(np.float32)
            group["energies"] = energies
            group["forces"] = forces
            group["lot"] = np.array([b"wb97x/6-31g*"])
    return path


def ani_al(path: Path) -> Path:
    """ANI-Al: cells, species of each conformation as numbers or letters."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for n_atoms in (4, 8):
            group = file.create_group(f"al{n_atoms:03d}")
            sites = np.array([(x, y, z) for x in range(2) for y in range(2) for z in range(2)])[:n_atoms] * 2.9
            group["species"] = np.full((3, n_atoms), b"Al") if n_atoms == 4 else np.full((3, n_atoms), 13)
            group["coordinates"] = sites + rng.normal(size=(3, n_atoms, 3)) * 0.1
            group["cell"] = np.tile(np.eye(3) * 5.8, (3, 1, 1))
            group["energy"] = np.full((3, 1), -2.7 * n_atoms)
            group["force"] = rng.normal(size=(3, n_atoms, 3)) * 0.02
    return path


def imported(path: Path, settings: LabelSettings = SETTINGS, **keys: str):
    out = path.with_suffix(".zarr")
    report = store_reading(read_ani_h5([path], **keys), out, settings)
    return report, frames_of(open_store(out, ATOMS))


def test_ani_1x_drops_what_was_not_computed_and_says_so(tmp_path: Path):
    report, records = imported(ani_1x(tmp_path / "a.h5"), BY_LABEL)
    assert (report.n_read, report.n_kept, report.n_groups, report.grouped_by) == (10, 8, 2, "label")
    (names,) = report.dropped.values()
    assert [name.rpartition("/")[2] for name in names.first] == ["C1H4, conformation 1", "H2O1, conformation 1"]
    expected = frames(5, names=("CH4",))
    np.testing.assert_allclose(records[1].forces_eV_A, expected[2].calc.results["forces"], atol=1e-5)
    np.testing.assert_allclose(records[1].positions_A, expected[2].positions, atol=1e-6)
    assert records[1].energy_eV == pytest.approx(expected[2].calc.results["energy"])


def test_another_level_of_ani_1x_is_a_matter_of_keys(tmp_path: Path):
    keys = {"energy_key": "ccsd(t)_cbs.energy", "force_key": "wb97x_dz.forces"}
    report, records = imported(ani_1x(tmp_path / "a.h5"), **keys)
    assert (report.n_kept, len(records)) == (4, 4)
    assert records[0].energy_eV == pytest.approx(frames(1, names=("CH4",))[0].calc.results["energy"] - 0.1 * HARTREE)


def test_comp6_has_species_as_letters_in_nested_groups(tmp_path: Path):
    report, records = imported(pyanitools(tmp_path / "a.h5"), BY_LABEL)
    assert [record.group for record in records] == [0] * 4 + [1] * 4
    assert records[4].numbers.tolist() == [7, 1, 1, 1]
    assert report.units == "Ha and Ha/A"
    assert "group /set/mol01, conformation 0" in records[4].source


def test_ani_al_has_cells(tmp_path: Path):
    report, records = imported(ani_al(tmp_path / "a.h5"), LabelSettings(level="PBE"))
    assert report.elements == "Al"
    assert [len(record.numbers) for record in records] == [4] * 3 + [8] * 3
    assert records.pbc[0].all()
    np.testing.assert_allclose(records[0].cell_A, np.eye(3) * 5.8)
    assert records[0].energy_eV == pytest.approx(-2.7 * 4 * HARTREE)


def test_padded_species_leave_no_atoms_behind(tmp_path: Path):
    numbers, coordinates, energies, forces = molecules("H2O", 3)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["species"] = np.tile(np.append(numbers, 0), (3, 1))
        file["coordinates"] = np.concatenate([coordinates, np.zeros((3, 1, 3))], axis=1)
        file["energies"] = energies
        file["forces"] = np.concatenate([forces, np.full((3, 1, 3), np.nan)], axis=1)
    _, records = imported(tmp_path / "a.h5")
    assert [record.numbers.tolist() for record in records] == [[8, 1, 1]] * 3


def test_gradients_are_found_out(tmp_path: Path):
    numbers, coordinates, energies, forces = molecules("NH3", 30)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["atomic_numbers"], file["coordinates"] = numbers, coordinates
        file["energies"], file["forces"] = energies, -forces
    with pytest.raises(ValueError, match=r"group /, conformation 0 and others, key 'forces': .*gradients"):
        imported(tmp_path / "a.h5")


def test_truncated_empty_and_foreign_files_are_reported(tmp_path: Path):
    whole = ani_1x(tmp_path / "a.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.h5").write_bytes(b"")
    for name in ("cut", "empty"):
        with pytest.raises(ValueError, match=rf"{name}.h5, group '/': cannot be read .*damaged or cut off"):
            read_ani_h5([tmp_path / f"{name}.h5"])
    h5py.File(tmp_path / "nothing.h5", "w").close()
    with pytest.raises(ValueError, match="found no group with 'coordinates'"):
        read_ani_h5([tmp_path / "nothing.h5"])
    with pytest.raises(FileNotFoundError, match="expected an HDF5 file"):
        read_ani_h5([tmp_path / "absent.h5"])


def test_missing_keys_and_unequal_lengths_are_reported(tmp_path: Path):
    path = ani_1x(tmp_path / "a.h5")
    with pytest.raises(ValueError, match=r"group '/C1H4': found no key 'dft' for energy; .*wb97x_dz.energy"):
        read_ani_h5([path], energy_key="dft")
    with h5py.File(path, "a") as file:
        del file["C1H4/wb97x_dz.forces"]
        file["C1H4/wb97x_dz.forces"] = np.zeros((5, 4, 3))
    with pytest.raises(ValueError, match=r"key 'wb97x_dz.forces': found shape \(5, 4, 3\), expected \(5, 5, 3\)"):
        read_ani_h5([path])
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["species"], file["coordinates"], file["energies"] = [b"Xx"], np.zeros((2, 1, 3)), np.zeros(2)
    with pytest.raises(ValueError, match=r"key 'species': found the elements \['Xx'\]"):
        read_ani_h5([tmp_path / "b.h5"])
