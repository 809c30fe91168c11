"""A potential above a baseline in LAMMPS: the driver against a stand-in for the library, so that it needs none."""

from types import SimpleNamespace

import ase.build
import numpy as np
import pytest

from models.interfaces.lammps import drive
from models.networks.potentials.baseline import named_baseline
from models.networks.potentials.calculator import PotentialCalculator
from models.networks.potentials.ensemble import Ensemble, save_potential
from tests.models.networks.potentials.morse import known_to_folders, morse_members

SYMMETRIC = ([0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2])  # xx, yy, zz, xy, xz, yz as LAMMPS has them


class Library:
    """What the driver asks lammps.lammps for, and what it was told."""

    def __init__(self, atoms):
        self.atoms, self.told, self.callback = atoms, {}, {}
        self.per_atom = {"type": np.ones(len(atoms), dtype=np.int32), "d_latentlaw_spread": np.zeros(len(atoms))}
        self.numpy = SimpleNamespace(extract_atom=self.per_atom.__getitem__)

    def command(self, text):
        pass

    commands_list = commands_string = file = command

    def extract_global(self, name):
        return "metal"

    def extract_setting(self, name):
        return 1

    def extract_box(self):
        cell, pbc = self.atoms.cell.array, self.atoms.pbc
        sides = cell if pbc.any() else 30 * np.eye(3)
        return [0, 0, 0], np.diag(sides), sides[1, 0], sides[2, 1], sides[2, 0], pbc.astype(int).tolist(), False

    def fix_external_set_vector_length(self, fix, length):
        pass

    def set_fix_external_callback(self, fix, function):
        self.callback[fix] = function

    def __getattr__(self, name):
        """fix_external_set_energy_global, ..."""
        if not name.startswith("fix_external_set_"):
            raise AttributeError(name)
        return lambda fix, *values: self.told.__setitem__(name.removeprefix("fix_external_set_"), values[-1])

    def step(self):
        """Forces of one step."""
        forces = np.zeros((len(self.atoms), 3))
        tags = np.arange(1, len(self.atoms) + 1)
        self.callback["latentlaw"](None, 0, len(self.atoms), tags, self.atoms.positions.copy(), forces)
        return forces


def crystal():
    atoms = ase.build.bulk("Al", cubic=True) * (2, 2, 2)
    cell = atoms.cell.array.copy()
    cell[1, 0], cell[2, 1] = 0.7, -0.4
    atoms.set_cell(cell, scale_atoms=True)
    atoms.positions += 0.05 * np.random.default_rng(0).normal(size=atoms.positions.shape)
    return atoms


def cluster():
    atoms = ase.build.bulk("Al", cubic=True)
    atoms.positions += 0.05 * np.random.default_rng(0).normal(size=atoms.positions.shape)
    atoms.pbc, atoms.cell = False, None
    return atoms


def potential():
    return Ensemble(morse_members(2), baseline=named_baseline("ase.calculators.emt:EMT", {}))


@pytest.mark.parametrize("make", [crystal, cluster])
def test_lammps_gets_what_ase_says(make):
    atoms = make()
    calculator = PotentialCalculator(potential())
    calculator.calculate(atoms)
    expected = calculator.results
    library = Library(atoms)
    driver = drive(library, potential(), ["Al"])
    np.testing.assert_allclose(library.step(), expected["forces"], atol=1e-10)
    assert driver.failure is None
    assert library.told["energy_global"] == pytest.approx(expected["energy"], abs=1e-10)
    np.testing.assert_allclose(library.told["energy_peratom"], expected["energies"], atol=1e-10)
    np.testing.assert_allclose(library.per_atom["d_latentlaw_spread"], expected["forces_spread"].max(axis=1))
    virial = np.array(library.told["virial_global"])
    if atoms.pbc.all():
        stress = expected["stress"][[0, 1, 2, 5, 4, 3]]
        np.testing.assert_allclose(virial, -atoms.get_volume() * stress, atol=1e-9)
    else:
        product = atoms.positions.T @ expected["forces"]
        np.testing.assert_allclose(virial, ((product + product.T) / 2)[SYMMETRIC], atol=1e-9)


def test_what_has_no_virial_is_refused(monkeypatch):
    atoms = crystal()
    with pytest.raises(ValueError, match="atom_virials: found the baseline"):
        drive(Library(atoms), potential(), ["Al"], atom_virials=True)
    atoms.pbc = [True, True, False]
    with pytest.raises(ValueError, match=r"periodic directions \[True, True, False\], expected all or none"):
        drive(Library(atoms), potential(), ["Al"])
    import ase.calculators.emt

    without = [name for name in ase.calculators.emt.EMT.implemented_properties if name != "stress"]
    monkeypatch.setattr(ase.calculators.emt.EMT, "implemented_properties", without)
    with pytest.raises(ValueError, match="without stress, expected one that has it"):
        drive(Library(crystal()), potential(), ["Al"])


def test_a_calculator_that_a_folder_names_is_allowed_by_name(tmp_path, monkeypatch):
    known_to_folders(monkeypatch)
    (tmp_path / "their_own.py").write_text("from ase.calculators.emt import EMT\n")
    monkeypatch.syspath_prepend(tmp_path)
    save_potential(tmp_path / "model", morse_members(1), {}, named_baseline("their_own:EMT", {}))
    with pytest.raises(ValueError, match="allow it by name"):
        drive(Library(crystal()), tmp_path / "model", ["Al"])
    library = Library(crystal())
    drive(library, tmp_path / "model", ["Al"], allow_baseline="their_own:EMT")
    assert np.abs(library.step()).max() > 0
