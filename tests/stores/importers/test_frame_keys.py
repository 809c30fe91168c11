"""Labels are found under the names that programs give them, and never left out without a word."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

from models.frames import Frames
from stores.atoms import ATOMS, frames_of
from stores.importers.ase_db import read_ase_db, read_traj
from stores.importers.extxyz import FrameKeys, read_extxyz
from stores.importers.label_store import store_reading
from stores.importers.labelled import AtomsReport, LabelSettings
from stores.zarr_store import open_store
from tests.stores.importers.frames import HARTREE, frames
from tests.stores.importers.test_extxyz import assert_labels

NAMED = LabelSettings(level="test", units="eV")
USUAL = FrameKeys()


def under(energy: str | None, forces: str | None, *, n: int = 12, shift: float = 0.0) -> list[Atoms]:
    """Frames whose labels stand under these keys; `shift` moves energies."""
    made = []
    for atoms in frames(n):
        bare = Atoms(atoms.numbers, atoms.positions)
        if energy:
            bare.info[energy] = atoms.calc.results["energy"] + shift
        if forces:
            bare.arrays[forces] = atoms.calc.results["forces"]
        made.append(bare)
    return made


def beside(made: list[Atoms], others: list[Atoms]) -> list[Atoms]:
    """The frames with the labels of both."""
    for atoms, other in zip(made, others, strict=True):
        atoms.info |= other.info
        atoms.arrays.update({key: value for key, value in other.arrays.items() if key not in atoms.arrays})
    return made


def imported(
    folder: Path,
    made: list[Atoms],
    keys: FrameKeys = USUAL,
    settings: LabelSettings = NAMED,
) -> tuple[AtomsReport, Frames]:
    ase.io.write(folder / "a.xyz", made, format="extxyz")
    report = store_reading(read_extxyz([folder / "a.xyz"], keys), folder / "a.zarr", settings)
    return report, frames_of(open_store(folder / "a.zarr", ATOMS))


def keys_of(report: AtomsReport) -> dict[str, str]:
    return {use.label: use.key for use in report.labels if use.key}


@pytest.mark.parametrize(
    ("energy", "forces"),
    [
        ("energy", "forces"),
        ("REF_energy", "REF_forces"),
        ("dft_energy", "dft_forces"),
        ("DFT_energy", "DFT_force"),
        ("TotEnergy", "force"),
        ("E", "F"),
        ("dft_energy", "dft_force"),
        ("free_energy", "forces"),
        ("REF_energy", "forces"),
        ("energy", "REF_forces"),
    ],
)
def test_names_in_use_are_found(tmp_path: Path, energy: str, forces: str):
    report, records = imported(tmp_path, under(energy, forces))
    assert_labels(records, frames())
    assert keys_of(report) == {"energy": energy, "forces": forces}
    assert any("keys of several kinds" in note for note in report.notes) is (("REF_" in energy) != ("REF_" in forces))


def test_names_with_a_prefix_count_before_those_that_programs_overwrite(tmp_path: Path):
    both = beside(under("REF_energy", "REF_forces"), under("energy", "forces", shift=3.0))
    report, records = imported(tmp_path, both)
    assert_labels(records, frames())
    assert report.ignored == {"energy": 12, "forces": 12}
    report, records = imported(tmp_path, both, FrameKeys(energy="energy", forces="forces"))
    assert records[0].energy_eV == pytest.approx(frames()[0].calc.results["energy"] + 3)
    assert set(report.ignored) == {"REF_energy", "REF_forces"}


def test_predictions_of_a_potential_are_never_labels_by_themselves(tmp_path: Path):
    predicted = under("MACE_energy", "MACE_forces", shift=3.0)
    with pytest.raises(ValueError, match=r"found no key 'energy' or 'forces', but \['MACE_energy', 'MACE_forces'\]"):
        imported(tmp_path, predicted)
    with pytest.raises(ValueError, match=r"found no usual key for energy but MACE_energy, .*--energy-key none"):
        imported(tmp_path, beside(under(None, "REF_forces"), predicted))
    report, records = imported(tmp_path, beside(under("REF_energy", "REF_forces"), predicted))
    assert_labels(records, frames())
    assert keys_of(report) == {"energy": "REF_energy", "forces": "REF_forces"}
    assert report.ignored == {"MACE_energy": 12, "MACE_forces": 12}


@pytest.mark.parametrize("key", ["virial", "dft_virial"])
def test_the_virial_of_QUIP_is_less_stress_times_volume(tmp_path: Path, key: str):
    made = under("dft_energy", "dft_force", n=4)
    stress = np.array([[1.0, 0.2, 0.3], [0.2, 2.0, 0.4], [0.3, 0.4, 3.0]]) * 1e-3
    for atoms in made:
        atoms.set_cell([12, 12, 12])
        atoms.pbc = True
        atoms.info[key] = -stress * atoms.get_volume()
    report, records = imported(tmp_path, made)
    assert keys_of(report) == {"energy": "dft_energy", "forces": "dft_force", "stress": key}
    np.testing.assert_allclose(records[2].stress_eV_A3, stress, atol=1e-9)


def test_several_levels_of_theory_are_refused_until_one_is_named(tmp_path: Path):
    made = under("energy", "forces")
    for index, atoms in enumerate(made):
        atoms.info["functional"] = "PBE" if index < 8 else "r2SCAN"
    several = r"key 'functional': found several levels of theory, PBE \(8 records\), r2SCAN \(4 records\), expected one"
    with pytest.raises(ValueError, match=rf"{several}; split the file"):
        imported(tmp_path, made, settings=LabelSettings(units="eV"))
    report, _ = imported(tmp_path, made)
    assert any("all taken as test, as named" in note for note in report.notes)


def test_trajectories_of_CP2K_are_in_hartree(tmp_path: Path):
    text = ""
    for index, atoms in enumerate(frames()):
        energy = atoms.calc.results["energy"] / HARTREE / 20  # no total energy of all electrons, which would tell
        text += f"{len(atoms):8d}\n i = {index:8d}, time = {index / 2:12.3f}, E = {energy:20.10f}\n"
        text += "".join(f" {atom.symbol} {atom.x:.10f} {atom.y:.10f} {atom.z:.10f}\n" for atom in atoms)
    (tmp_path / "w-pos-1.xyz").write_text(text)
    for units, factor in ((None, 1.0), ("eV", 1 / HARTREE)):
        settings = LabelSettings(level="test", units=units)
        report = store_reading(read_extxyz([tmp_path / "w-pos-1.xyz"], USUAL), tmp_path / "a.zarr", settings)
        records = frames_of(open_store(tmp_path / "a.zarr", ATOMS))
        assert records[7].energy_eV == pytest.approx(frames()[7].calc.results["energy"] / 20 * factor, abs=1e-6)
        assert report.units == ("eV" if units else "Ha")
        assert any("those of CP2K: energies under 'E' are in Ha" in note for note in report.notes)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        # forces belong to one of two energies
        (beside(under("REF_energy", "forces"), under("energy", None, shift=3.0)), "'REF_energy' and 'energy'"),
        (
            beside(under("REF_energy", "REF_forces"), under("dft_energy", None, shift=3.0)),
            "'REF_energy' and 'dft_energy'",
        ),
        (beside(under("energy", "forces"), under("TotEnergy", None, shift=3.0)), "'energy' and 'TotEnergy'"),
    ],
)
def test_two_keys_with_different_numbers_are_refused_until_named(tmp_path: Path, made: list[Atoms], message: str):
    with pytest.raises(
        ValueError, match=rf"a.xyz: found different numbers under .*{message}.*first in .*record 0.*--ener"
    ):
        imported(tmp_path, made)
    forces = next(key for key in ("REF_forces", "forces") if key in made[0].arrays)
    imported(
        tmp_path, made, FrameKeys(energy="REF_energy" if "REF_energy" in made[0].info else "energy", forces=forces)
    )


def test_two_keys_with_the_same_numbers_are_one(tmp_path: Path):
    _, records = imported(tmp_path, beside(under("energy", "forces"), under("TotEnergy", None)))
    assert_labels(records, frames())


@pytest.mark.parametrize(
    ("energy", "forces", "message"),
    [
        ("my_energy", "forces", "found no usual key for energy but my_energy, .*--energy-key none"),
        ("energy", "gap_force", "found no usual key for forces but gap_force, .*--forces-key none"),
    ],
)
def test_what_looks_like_the_missing_label_is_asked_for(tmp_path: Path, energy: str, forces: str, message: str):
    with pytest.raises(ValueError, match=rf"a.xyz: {message}"):
        imported(tmp_path, under(energy, forces))
    _, records = imported(tmp_path, under(energy, forces), FrameKeys(energy=energy, forces=forces))
    assert_labels(records, frames())
    without = FrameKeys(energy="none") if energy == "my_energy" else FrameKeys(forces="none")
    report, _ = imported(tmp_path, under(energy, forces), without)
    assert len(keys_of(report)) == 1


def test_trajectories_are_read_like_databases(tmp_path: Path):
    ase.io.write(tmp_path / "a.traj", frames())
    ase.io.write(tmp_path / "a.db", frames())
    for read, name in ((read_traj, "a.traj"), (read_ase_db, "a.db")):
        report = store_reading(read([tmp_path / name], FrameKeys()), tmp_path / "a.zarr", NAMED)
        assert_labels(frames_of(open_store(tmp_path / "a.zarr", ATOMS)), frames())
        assert report.n_kept == 12
    with pytest.raises(ValueError, match=r"a.traj, record 0: cannot be read .* import it as traj"):
        read_extxyz([tmp_path / "a.traj"], FrameKeys())
    with pytest.raises(FileNotFoundError, match=r"b.traj: found no file, expected a trajectory of ASE"):
        read_traj([tmp_path / "b.traj"], FrameKeys())


def test_labels_are_numbers(tmp_path: Path):
    made = under("energy", "forces")
    made[3].info["energy"] = "converged"
    with pytest.raises(ValueError, match=r"record 3, key 'energy' for energy: found 'converged' of type .* a number"):
        imported(tmp_path, made)


def test_stress_and_virial_together_cannot_be_named():
    with pytest.raises(ValueError, match="found stress 'a' and virial 'b', expected one of them"):
        FrameKeys(stress="a", virial="b")
    assert FrameKeys(stress="a", virial="none").named() == {"stress": "a"}


def test_a_prefixed_stress_has_six_or_nine_numbers(tmp_path: Path):
    made = under("REF_energy", "REF_forces", n=2)
    for atoms, shape in zip(made, ((6,), (3, 3)), strict=True):
        atoms.set_cell([20, 20, 20])
        atoms.pbc = True
        atoms.info["REF_stress"] = np.arange(6) * 1e-3 if shape == (6,) else np.eye(3) * 1e-3
    report, records = imported(tmp_path, made)
    assert keys_of(report)["stress"] == "REF_stress"
    voigt = [[0, 5, 4], [5, 1, 3], [4, 3, 2]]
    np.testing.assert_allclose(records[0].stress_eV_A3, np.array(voigt) * 1e-3)
    np.testing.assert_allclose(records[1].stress_eV_A3, np.eye(3) * 1e-3)
