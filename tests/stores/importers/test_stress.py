"""Stresses are stored in eV/A^3, positive under tension, whatever unit and sign a file has; wrong ones are refused."""

import re
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from stores.atoms import ATOMS, frames_of
from stores.importers.extxyz import FrameKeys, read_extxyz
from stores.importers.label_store import store_reading
from stores.importers.label_units import stress_factor
from stores.importers.labelled import AtomsReport, LabelSettings
from stores.zarr_store import open_store

USUAL = FrameKeys()
GPA = 160.21766208  # in one eV/A^3


def crystals(n: int = 24, *, strain: float = 0.05, rattle: float = 0.05, seed: int = 0) -> list[Atoms]:
    """Strained and rattled aluminium with the energies, forces and stresses of EMT."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        atoms = bulk("Al", a=4.0, cubic=True) * (2, 1, 1)
        e = rng.uniform(-strain, strain, (3, 3)) / 2
        e += np.eye(3) * rng.uniform(-strain, strain)
        atoms.set_cell(atoms.cell @ (np.eye(3) + (e + e.T) / 2), scale_atoms=True)
        atoms.rattle(rattle, rng=rng)
        atoms.calc = EMT()
        results = {
            "energy": atoms.get_potential_energy(),
            "forces": atoms.get_forces(),
            "stress": atoms.get_stress(),
        }
        atoms.calc = SinglePointCalculator(atoms, **results)
        made.append(atoms)
    return made


@pytest.fixture(scope="module", params=["near each other", "far from each other"])
def made(request: pytest.FixtureRequest) -> list[Atoms]:
    return crystals() if request.param == "near each other" else crystals(rattle=0.25)


def imported(
    folder: Path,
    made: list[Atoms],
    factor: float = 1.0,
    keys: FrameKeys = USUAL,
    **named: str,
) -> tuple[AtomsReport, np.ndarray]:
    changed = []
    for atoms in made:
        copy = atoms.copy()
        copy.calc = SinglePointCalculator(copy, **atoms.calc.results)
        copy.calc.results["stress"] = atoms.calc.results["stress"] * factor
        changed.append(copy)
    ase.io.write(folder / "a.xyz", changed, format="extxyz")
    settings = LabelSettings(level="EMT", units="eV", **named)
    report = store_reading(read_extxyz([folder / "a.xyz"], keys), folder / "a.zarr", settings)
    return report, np.array([record.stress_eV_A3 for record in frames_of(open_store(folder / "a.zarr", ATOMS))])


def of_emt(made: list[Atoms]) -> np.ndarray:
    return np.array([atoms.get_stress(voigt=False) for atoms in made])


def test_the_usual_key_is_read_without_being_named(tmp_path: Path, made: list[Atoms]):
    report, stress = imported(tmp_path, made)
    np.testing.assert_allclose(stress, of_emt(made), atol=1e-7)
    use = report.labels[2]
    assert (use.label, use.key, use.n_records, use.units) == ("stress", "stress", 24, "eV/A^3")


@pytest.mark.parametrize(
    ("factor", "named", "cure"),
    [
        (GPA, {"stress_units": "GPa"}, "--stress-units .*GPa"),
        (-10 * GPA, {"stress_units": "kbar", "stress_sign": "vasp"}, "--stress-units .*kbar"),
        (-1.0, {"stress_sign": "vasp"}, "--stress-sign vasp"),
    ],
)
def test_a_wrong_unit_or_sign_is_refused_with_the_option_that_cures_it(
    tmp_path: Path, made: list[Atoms], factor: float, named: dict[str, str], cure: str
):
    with pytest.raises(
        ValueError, match=rf"a.xyz, record 0 and others, key 'stress': .*found .*expected .*name .*{cure}"
    ):
        imported(tmp_path, made, factor)
    assert not (tmp_path / "a.zarr").exists()
    _, stress = imported(tmp_path, made, factor, **named)
    np.testing.assert_allclose(stress, of_emt(made), atol=1e-5)


def test_what_the_user_names_is_taken_and_noted(tmp_path: Path):
    made = crystals()
    report, stress = imported(tmp_path, made, GPA, stress_units="eV/A^3", stress_sign="ase")
    np.testing.assert_allclose(stress, of_emt(made) * GPA, rtol=1e-4, atol=1e-4)
    assert any(re.search("^note: .*by 0.00[56].* times the work of the stress", note) for note in report.notes)
    _, stress = imported(tmp_path, made, GPA, FrameKeys(stress="none"))
    assert np.array_equal(stress, [None] * len(made))


def test_a_virial_of_the_wrong_sign_is_refused(tmp_path: Path):
    made = crystals()
    for atoms in made:
        atoms.info["virials"] = atoms.get_stress(voigt=False) * atoms.get_volume()
        del atoms.calc.results["stress"]
    ase.io.write(tmp_path / "a.xyz", made, format="extxyz")
    reading = read_extxyz([tmp_path / "a.xyz"], FrameKeys())
    with pytest.raises(ValueError, match=r"key 'virials': .* -(0.9|1).* times .* name what it is: --stress-sign vasp;"):
        store_reading(reading, tmp_path / "a.zarr", LabelSettings(level="EMT", units="eV"))
    store_reading(reading, tmp_path / "a.zarr", LabelSettings(level="EMT", units="eV", stress_sign="vasp"))


def test_records_that_tell_nothing_say_so(tmp_path: Path):
    report, _ = imported(tmp_path, crystals(1))
    assert any("sign and unit could not be checked" in note for note in report.notes)


def test_units_of_stress_are_energy_by_volume_or_pressure():
    assert stress_factor("GPa") == pytest.approx(1 / GPA)
    assert stress_factor("kbar") == pytest.approx(0.1 / GPA)
    assert stress_factor("Ha/Bohr^3") * GPA == pytest.approx(29421.0157, rel=1e-6)  # GPa, CODATA
    for wrong in ("eV/A", "gpa", "A^3", "", "eV/A^2"):
        with pytest.raises(ValueError, match="stress units: found"):
            stress_factor(wrong)
