import ase.build
import numpy as np
import pytest
import torch
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from models.networks.potentials.calculator import PotentialCalculator
from models.networks.potentials.ensemble import Ensemble, save_potential
from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.hipnn_ts import HIPNNTS
from tests.models.networks.potentials.morse import known_to_folders, morse_members


def rattled(atoms, amplitude_A=0.05):
    atoms.positions += amplitude_A * np.random.default_rng(0).normal(size=atoms.positions.shape)
    return atoms


def hipnn_members(n_members):
    members = []
    for seed in range(n_members):
        torch.manual_seed(seed)
        config = HIPNN.Config(species=(1, 6, 8, 13), n_features=6, n_sensitivities=6, cutoff_A=5.0)
        members.append(HIPNN(config).double())
    return members


def tensor_members(n_members):
    members = []
    for l_max in range(1, n_members + 1):
        torch.manual_seed(l_max)
        config = HIPNNTS.Config(species=(1, 6, 8, 13), n_features=6, n_sensitivities=6, cutoff_A=5.0, l_max=l_max)
        members.append(HIPNNTS(config).double())
    return members


def slab():
    return rattled(ase.build.fcc111("Al", (2, 2, 2), vacuum=None))


IDS = ["morse", "hipnn", "hipnn_ts"]
SYSTEMS = {
    "molecule": lambda: rattled(ase.build.molecule("CH3CH2OH")),
    "cell smaller than the cutoff": lambda: rattled(ase.build.bulk("Al", cubic=True)),
    "slab without a third vector": slab,
    "isolated atom": lambda: ase.Atoms("C"),
}


@pytest.mark.parametrize("members", [morse_members(2), hipnn_members(2), tensor_members(2)], ids=IDS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_forces_are_the_slope_of_the_energy_under_any_boundary(system, members):
    atoms = SYSTEMS[system]()
    atoms.calc = PotentialCalculator(Ensemble(members))
    np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4), atol=2e-6)
    assert atoms.get_potential_energy() == pytest.approx(atoms.get_potential_energies().sum())
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()


def test_stress_is_the_slope_of_the_energy_against_strain():
    atoms = rattled(ase.build.bulk("Al", cubic=True))
    atoms.calc = PotentialCalculator(Ensemble(morse_members(2)))
    np.testing.assert_allclose(atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-5), atol=1e-7)


def test_the_cell_relaxes_until_no_stress_is_left():
    atoms = rattled(ase.build.bulk("Al", cubic=True))
    atoms.calc = PotentialCalculator(Ensemble(morse_members(1)))
    with BFGS(FrechetCellFilter(atoms), logfile=None) as relaxation:
        relaxation.run(fmax=1e-3, steps=200)
    assert np.abs(atoms.get_stress()).max() < 1e-4


@pytest.mark.parametrize("members", [morse_members(1), hipnn_members(1), tensor_members(1)], ids=IDS)
def test_a_skin_changes_no_result_and_saves_searches(members):
    atoms = rattled(ase.build.bulk("Al", cubic=True) * (2, 2, 2), 0.1)
    kept, fresh = (PotentialCalculator(Ensemble(members), skin_A=skin) for skin in (0.5, 0.0))
    rng = np.random.default_rng(1)
    for _ in range(12):
        atoms.positions += 0.04 * rng.normal(size=atoms.positions.shape)
        for calculator in (kept, fresh):
            calculator.calculate(atoms, ["energy"])
        for name in ("energy", "forces", "stress", "energies", "hierarchicality"):
            np.testing.assert_allclose(kept.results[name], fresh.results[name], rtol=1e-11, atol=1e-12)
    assert 1 < kept.n_searches < fresh.n_searches == 12


def test_pairs_are_searched_again_for_another_cell_element_or_boundary():
    atoms = rattled(ase.build.bulk("Al", cubic=True))
    calculator = PotentialCalculator(Ensemble(morse_members(1)), skin_A=1.0)

    def strained(a):
        a.set_cell(a.cell * 1.001)

    def substituted(a):
        a.numbers[1] = 8

    def opened(a):
        a.pbc = (True, True, False)

    for change in (strained, substituted, opened):
        calculator.calculate(atoms)
        change(atoms)
        calculator.calculate(atoms)
        fresh = PotentialCalculator(Ensemble(morse_members(1)), skin_A=0.0)
        fresh.calculate(atoms)
        np.testing.assert_allclose(calculator.results["forces"], fresh.results["forces"], atol=1e-12)


def test_dynamics_conserve_energy():
    atoms = rattled(ase.build.bulk("Al", cubic=True) * (2, 2, 2))
    atoms.calc = PotentialCalculator(Ensemble(morse_members(1)))
    start = atoms.get_total_energy()
    VelocityVerlet(atoms, timestep=0.2).run(50)
    assert atoms.get_kinetic_energy() > 0.02
    assert atoms.get_total_energy() == pytest.approx(start, abs=1e-4)


def test_results_of_an_ensemble_are_those_of_its_members():
    atoms = SYSTEMS["molecule"]()
    members = morse_members(3)
    alone = [PotentialCalculator(Ensemble([member])) for member in members]
    for calculator in alone:
        calculator.calculate(atoms)
    together = PotentialCalculator(Ensemble(members))
    together.calculate(atoms)
    found = together.results
    energies, forces = (np.array([c.results[name] for c in alone]) for name in ("energy", "forces"))
    np.testing.assert_allclose(found["energies_members"], energies)
    np.testing.assert_allclose(found["forces_members"], forces)
    assert found["energy_spread"] == pytest.approx(energies.std())
    assert found["energy_spread_per_atom"] == pytest.approx(energies.std() / len(atoms))
    np.testing.assert_allclose(found["forces_spread"], forces.std(0))
    assert found["forces_spread_mean"] == pytest.approx(forces.std(0).mean())
    assert found["forces_spread_max"] == pytest.approx(forces.std(0).max())
    assert found["hierarchicality"].shape == (len(atoms),)
    assert together.get_property("forces_spread", atoms) is not None


def test_a_folder_gives_the_same_calculator(tmp_path, monkeypatch):
    known_to_folders(monkeypatch)
    members = morse_members(2)
    save_potential(tmp_path, members, {})
    atoms = SYSTEMS["molecule"]()
    energies = []
    for source in (tmp_path, str(tmp_path), Ensemble(members)):
        atoms.calc = PotentialCalculator(source)
        energies.append(atoms.get_potential_energy())
    assert energies[0] == energies[1] == energies[2]


def test_float32_is_a_choice_and_leaves_the_given_ensemble_alone():
    ensemble = Ensemble(morse_members(1))
    atoms = SYSTEMS["molecule"]()
    single, double = PotentialCalculator(ensemble, dtype=torch.float32), PotentialCalculator(ensemble)
    assert ensemble.members[0].depth.dtype == torch.float64
    for calculator in (single, double):
        calculator.calculate(atoms)
    error = np.abs(single.results["forces"] - double.results["forces"]).max()
    assert 0 < error < 1e-3


def test_stress_of_an_open_direction_is_refused():
    atoms = slab()
    atoms.calc = PotentialCalculator(Ensemble(morse_members(1)))
    with pytest.raises(PropertyNotImplementedError, match=r"pbc \[True, True, False\].*set atoms\.pbc = True"):
        atoms.get_stress()
    atoms.get_forces()
    assert "stress" not in atoms.calc.results


def test_bad_structures_are_refused_naming_atom_and_cure():
    calculator = PotentialCalculator(Ensemble(morse_members(1)))
    with pytest.raises(ValueError, match=r"elements \['He', 'U'\], this potential knows \['H', 'C', 'O', 'Al'\]"):
        calculator.calculate(ase.Atoms("HeUH", positions=np.eye(3) * 3))
    near = ase.Atoms("CHH", positions=[[0, 0, 0], [2, 0, 0], [2, 0, 0.2]])
    with pytest.raises(ValueError, match=r"atoms 1 and 2 0\.2 A apart, expected at least 0\.3 A"):
        calculator.calculate(near)
    gone = ase.Atoms("CHH", positions=[[0, 0, 0], [2, 0, np.nan], [4, 0, 0]])
    with pytest.raises(ValueError, match=r"not finite \(atom 1, 1 in all\)"):
        calculator.calculate(gone)
    with pytest.raises(ValueError, match="no atoms"):
        calculator.calculate(ase.Atoms())
    with pytest.raises(ValueError, match=r"volume 0"):
        calculator.calculate(ase.Atoms("C", cell=[[1, 0, 0], [2, 0, 0], [0, 0, 1]], pbc=True))
    with pytest.raises(ValueError, match="skin_A"):
        PotentialCalculator(Ensemble(morse_members(1)), skin_A=-1.0)
