"""The Hubbard model on the Bethe lattice: no interaction, a Fermi liquid, an insulator, a doped metal."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models.physics.dmft.hubbard import Iteration, MeanFieldSettings, solve_hubbard
from models.physics.dmft.lattice import BetheLattice, DensityOfStates
from models.physics.impurity.nrg_solver import NRGSettings

NRG = NRGSettings(discretization=4.0, n_keep=100, n_z=1, broadening=0.5)
QUICK = MeanFieldSettings(nrg=NRG, tolerance=1e-2, max_iterations=60, mixing=0.8, n_mixed=4)
LATTICE = BetheLattice()


def test_without_interaction_the_spectrum_is_that_of_the_lattice():
    found = solve_hubbard(0.0, 1e-3, LATTICE, QUICK)
    inside = np.abs(found.omega) < 0.98
    assert_allclose(found.spectrum[inside], 2 / np.pi * np.sqrt(1 - found.omega[inside] ** 2), atol=1e-6)
    assert found.filling == pytest.approx(1, abs=1e-9)
    assert found.double_occupancy == pytest.approx(0.25, abs=2e-3)
    assert found.quasiparticle_weight == pytest.approx(1)
    assert found.converged


def test_a_fermi_liquid_is_pinned_and_its_quasiparticles_are_heavy():
    found = solve_hubbard(2.0, 1e-5, LATTICE, QUICK)
    middle = np.pi / 2 * found.spectrum[np.abs(found.omega).argmin()]
    assert middle == pytest.approx(1, abs=0.01)
    assert found.quasiparticle_weight == pytest.approx(0.23, abs=0.05)
    assert np.trapezoid(found.spectrum, found.omega) == pytest.approx(1, abs=2e-3)
    assert found.double_occupancy < 0.12


def test_an_insulator_has_a_gap_and_no_quasiparticles():
    found = solve_hubbard(4.0, 1e-3, LATTICE, QUICK, start="insulator")
    assert found.spectrum[np.abs(found.omega) < 0.3].max() < 0.02
    assert np.isnan(found.quasiparticle_weight)
    assert found.double_occupancy < 0.03


def test_a_doped_metal_keeps_luttingers_rule():
    """The Fermi volume is that of free electrons of the same filling: n = 2 int rho up to mu - Sigma(0)."""
    found = solve_hubbard(2.0, 1e-4, LATTICE, QUICK, filling=0.8)
    assert found.converged
    assert found.filling == pytest.approx(0.8, abs=5e-3)
    edge = found.chemical_potential - found.self_energy.real[np.abs(found.omega).argmin()]
    assert 1 + 2 * (edge * np.sqrt(1 - edge**2) + np.arcsin(edge)) / np.pi == pytest.approx(0.8, abs=0.02)
    assert 0.3 < found.quasiparticle_weight < 0.7


def test_electrons_and_holes_are_alike():
    exact = replace(QUICK, tolerance=1e-3)
    few, many = (solve_hubbard(2.0, 1e-3, LATTICE, exact, filling=n) for n in (0.8, 1.2))
    assert_allclose(many.spectrum, few.spectrum[::-1], atol=2e-3)
    assert many.chemical_potential == pytest.approx(2.0 - few.chemical_potential, abs=1e-3)
    assert many.double_occupancy == pytest.approx(few.double_occupancy + 0.2, abs=2e-3)


def test_the_last_iterate_is_kept_where_nothing_converged():
    found = solve_hubbard(1.0, 1e-3, LATTICE, replace(QUICK, tolerance=1e-9, max_iterations=2))
    assert not found.converged and "expected 1e-09 or less" in found.problem
    again = solve_hubbard(1.0, 1e-3, LATTICE, QUICK, start=(found.bath, found.chemical_potential))
    assert again.converged and len(again.changes) <= len(found.changes) + 2


def test_a_run_that_was_stopped_goes_on_to_the_same_bits():
    made: list[Iteration] = []
    whole = solve_hubbard(1.0, 1e-3, LATTICE, QUICK, filling=0.9, keep=made.append)
    anew: list[Iteration] = []
    again = solve_hubbard(1.0, 1e-3, LATTICE, QUICK, filling=0.9, kept=made[:2], keep=anew.append)
    assert len(anew) == len(made) - 2
    assert_array_equal(again.spectrum, whole.spectrum)
    assert again.changes == whole.changes


def test_a_lattice_whose_mean_energy_is_not_zero_only_moves_the_chemical_potential():
    energy = np.linspace(-0.9, 0.9, 31)
    density = (0.81 - energy**2) * (1 + energy / 3)
    centred = DensityOfStates(energy - DensityOfStates(energy, density).mean, density)
    moved = DensityOfStates(centred.energy + 0.3, density)
    assert centred.mean == pytest.approx(0, abs=1e-12) and moved.mean == pytest.approx(0.3)
    a, b = (solve_hubbard(1.0, 1e-2, lattice, QUICK, filling=0.9) for lattice in (centred, moved))
    assert b.chemical_potential == pytest.approx(a.chemical_potential + 0.3, abs=1e-6)
    assert b.double_occupancy == pytest.approx(a.double_occupancy, abs=1e-6)
    assert a.filling == pytest.approx(0.9, abs=5e-3)


def test_a_start_on_another_grid_is_refused():
    with pytest.raises(ValueError, match="start: expected Gamma at the"):
        solve_hubbard(1.0, 1e-3, LATTICE, QUICK, start=(np.ones(5), 0.5))


def test_what_is_no_model_is_refused_with_all_that_is_wrong():
    with pytest.raises(ValueError, match=r"interaction: found -1.0.*temperature: found nan.*filling: found 2.5"):
        solve_hubbard(-1.0, float("nan"), LATTICE, QUICK, filling=2.5)


def test_spin_multiplets_of_the_impurity_change_nothing():
    plain, multiplets = (solve_hubbard(2.0, 1e-4, LATTICE, QUICK, filling=0.9, symmetry=s) for s in ("u1", "su2"))
    assert len(multiplets.changes) == len(plain.changes) > 2
    assert_allclose(multiplets.spectrum, plain.spectrum, rtol=0, atol=1e-8)
    assert multiplets.filling == pytest.approx(plain.filling, abs=1e-9)
