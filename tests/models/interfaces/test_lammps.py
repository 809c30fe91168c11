"""What LAMMPS is given is what the ASE calculator says, and what it makes of it is dynamics."""

import sys

import ase
import ase.build
import numpy as np
import pytest
import torch
from ase import units
from ase.md.verlet import VelocityVerlet

from models.interfaces.lammps import KeptPairs, LammpsUnavailable, drive, new_lammps
from models.networks.potentials.ani import ANI
from models.networks.potentials.calculator import PotentialCalculator
from models.networks.potentials.ensemble import Ensemble, save_potential
from models.networks.potentials.hipnn import HIPNN
from tests.models.networks.potentials.morse import Morse

BAR = 1.6021765e6  # of one eV/A^3, the constant of LAMMPS in units metal
ELEMENTS = ["Al", "O"]  # of the atom types 1, 2
VOIGT_OF_ASE = [0, 1, 2, 5, 4, 3]  # to xx, yy, zz, xy, xz, yz


def hipnn(n_members=2):
    return ensemble(HIPNN, HIPNN.Config(species=(8, 13), n_features=6, n_sensitivities=6, cutoff_A=5.0), n_members)


def ani(n_members=2):
    return ensemble(ANI, ANI.Config.ani_al(), n_members)


def morse(n_members=2):
    return ensemble(Morse, Morse.Config(species=(8, 13)), n_members)


def ensemble(kind, config, n_members):
    members = []
    for seed in range(n_members):
        torch.manual_seed(seed)
        members.append(kind(config).double())
    return Ensemble(members)


def moved(atoms, amplitude_A):
    atoms.positions += amplitude_A * np.random.default_rng(0).normal(size=atoms.positions.shape)
    return atoms


def fcc(n=3):
    return moved(ase.build.bulk("Al", cubic=True) * (n, n, n), 0.05)


def melt():
    return moved(ase.build.bulk("Al", a=4.4, cubic=True) * (3, 3, 3), 0.45)


def triclinic():
    atoms = moved(ase.build.bulk("Al", cubic=True) * (3, 2, 2), 0.1)
    cell = atoms.cell.array.copy()
    cell[1, 0], cell[2, 0], cell[2, 1] = 3.1, -2.2, 1.7
    atoms.set_cell(cell, scale_atoms=True)
    return atoms


def oxide():
    """Of two elements, in a cell smaller than the cutoff."""
    atoms = moved(ase.build.bulk("Al", cubic=True), 0.1)
    atoms.symbols[[1, 2]] = "O"
    return atoms


def slab():
    atoms = moved(ase.build.fcc111("Al", (3, 4, 3), vacuum=6.0, orthogonal=True), 0.1)
    atoms.pbc = [True, True, False]
    return atoms


def molecule():
    return ase.Atoms("AlO2", [[0.0, 0, 0], [1.7, 0.2, 0], [-1.6, 0.3, 0.1]], cell=np.eye(3) * 30).copy()


SYSTEMS = {f.__name__: f for f in (fcc, melt, triclinic, oxide, slab, molecule)}


def with_velocities(atoms, temperature_K):
    speed = np.sqrt(units.kB * temperature_K / atoms.get_masses())[:, None]
    velocities = speed * np.random.default_rng(1).normal(size=(len(atoms), 3))
    momenta = velocities * atoms.get_masses()[:, None]
    atoms.set_momenta(momenta - momenta.mean(axis=0))
    return atoms


@pytest.fixture
def open_lammps():
    """LAMMPS with these atoms; skips where there is none."""
    running = []

    def opened(atoms, before="units metal", types=("Al", "O")):
        try:
            lmp = new_lammps()
        except LammpsUnavailable as error:
            pytest.skip(str(error))
        running.append(lmp)
        (lx, _, _), (xy, ly, _), (xz, yz, lz) = atoms.cell.array.tolist()
        boundary = " ".join("p" if periodic else "f" for periodic in atoms.pbc)
        lmp.commands_string(
            f"{before}\natom_style atomic\nboundary {boundary}\nbox tilt large\n"
            f"region cell prism 0 {lx} 0 {ly} 0 {lz} {xy} {xz} {yz}\ncreate_box {len(types)} cell\n"
            "thermo_style custom step pe ke etotal pxx pyy pzz pxy pxz pyz\ntimer timeout off"
        )
        for number, symbol in enumerate(types, start=1):
            lmp.command(f"mass {number} {ase.Atoms(symbol).get_masses()[0]}")
        kinds = [types.index(symbol) + 1 for symbol in atoms.get_chemical_symbols()]
        velocities = atoms.get_velocities() * 1000 * units.fs  # A/ps
        ids = np.arange(len(atoms)) + 1
        n_made = lmp.create_atoms(len(atoms), ids.tolist(), kinds, atoms.positions.ravel(), velocities.ravel().tolist())
        assert n_made == len(atoms)
        return lmp

    yield opened
    for lmp in running:
        lmp.close()


def of_atoms(lmp, name):
    """A per-atom quantity in the order of the atoms' numbers."""
    n_atoms = lmp.extract_setting("nlocal")
    order = np.argsort(lmp.numpy.extract_atom("id")[:n_atoms])
    return lmp.numpy.extract_atom(name)[:n_atoms][order].copy()


def virial(lmp):
    """-dE/dstrain [eV] as LAMMPS has it, of atoms at rest: pressure times volume."""
    names = ("pxx", "pyy", "pzz", "pxy", "pxz", "pyz")
    return np.array([lmp.get_thermo(name) for name in names]) * lmp.get_thermo("vol") / BAR


def as_lammps_has_them(lmp, atoms):
    """These atoms at the positions and in the cell of LAMMPS."""
    low, high, xy, yz, xz, _, _ = lmp.extract_box()
    lx, ly, lz = np.subtract(high, low)
    now = ase.Atoms(atoms.numbers, of_atoms(lmp, "x"), cell=[[lx, 0, 0], [xy, ly, 0], [xz, yz, lz]], pbc=atoms.pbc)
    return now


@pytest.mark.lammps
@pytest.mark.parametrize("members", [hipnn, ani], ids=["hipnn", "ani"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_lammps_has_the_energy_forces_and_virial_of_the_calculator(open_lammps, system, members):
    atoms = SYSTEMS[system]()
    if members is ani and 8 in atoms.numbers:
        pytest.skip("this ANI knows aluminium alone")
    types = ("Al", "O") if members is hipnn else ("Al",)
    lmp = open_lammps(atoms, types=types)
    driver = drive(lmp, members(), types)
    lmp.command("compute each all pe/atom\nrun 0") if False else lmp.commands_string("compute each all pe/atom\nrun 0")
    atoms.calc = PotentialCalculator(members())
    assert lmp.get_thermo("pe") == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
    np.testing.assert_allclose(of_atoms(lmp, "f"), atoms.get_forces(), atol=1e-9)
    spread = atoms.calc.results["forces_spread"].max(axis=1)
    assert spread.max() > 1e-4
    np.testing.assert_allclose(of_atoms(lmp, "d_latentlaw_spread"), spread, atol=1e-9)
    assert lmp.extract_fix("latentlaw", 0, 1, 2) == pytest.approx(spread.max(), abs=1e-9)
    if atoms.pbc.all():
        expected = -atoms.get_stress()[VOIGT_OF_ASE] * atoms.get_volume()
        np.testing.assert_allclose(virial(lmp), expected, atol=1e-8)
    assert driver.pairs.n_searches == 1


@pytest.mark.lammps
@pytest.mark.physics
def test_pressure_times_volume_is_the_slope_of_the_energy_against_strain(open_lammps):
    atoms, strain = triclinic(), 1e-5
    lmp = open_lammps(atoms)
    drive(lmp, hipnn(), ELEMENTS)
    lmp.command("run 0")
    found = virial(lmp)
    lx, ly, lz = atoms.cell.array.diagonal()

    def energy(change):
        lmp.commands_string(f"change_box all {change} remap units box\nrun 0")
        return lmp.get_thermo("pe")

    slopes = []
    for axis, length in zip("xyz", (lx, ly, lz), strict=True):
        # final lo hi would move the origin; delta at the upper face keeps it, and all tilts with it
        above = energy(f"{axis} delta 0 {strain * length}")
        energy(f"{axis} delta 0 {-strain * length}")
        below = energy(f"{axis} delta 0 {-strain * length}")
        energy(f"{axis} delta 0 {strain * length}")
        slopes.append((above - below) / (2 * strain))
    np.testing.assert_allclose(found[:3], -np.array(slopes), atol=1e-5)
