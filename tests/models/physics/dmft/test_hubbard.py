"""The Hubbard model on the Bethe lattice: no interaction, a Fermi liquid, an insulator."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from models.physics.dmft.hubbard import MeanFieldSettings, solve_hubbard
from models.physics.dmft.lattice import BetheLattice
from models.physics.impurity.nrg_solver import NRGSettings

QUICK = MeanFieldSettings(nrg=NRGSettings(discretization=4.0, n_keep=100, n_z=1, broadening=0.5), tolerance=1e-2)


def test_without_interaction_the_spectrum_is_that_of_the_lattice():
    found = solve_hubbard(0.0, 1e-3, BetheLattice(), QUICK)
    inside = np.abs(found.omega) < 0.98
    assert_allclose(found.spectrum[inside], 2 / np.pi * np.sqrt(1 - found.omega[inside] ** 2), atol=1e-6)
    assert found.filling == pytest.approx(1, abs=1e-9)
    assert found.double_occupancy == pytest.approx(0.25, abs=2e-3)
    assert found.converged


def test_a_fermi_liquid_is_pinned_and_its_quasiparticles_are_heavy():
    found = solve_hubbard(2.0, 1e-5, BetheLattice(), QUICK)
    middle = np.pi / 2 * found.spectrum[np.abs(found.omega).argmin()]
    assert middle == pytest.approx(1, abs=0.01)
    assert found.quasiparticle_weight == pytest.approx(0.23, abs=0.05)
    assert np.trapezoid(found.spectrum, found.omega) == pytest.approx(1, abs=2e-3)
    assert found.double_occupancy < 0.12


def test_an_insulator_has_a_gap_and_no_quasiparticles():
    found = solve_hubbard(4.0, 1e-3, BetheLattice(), QUICK, start="insulator")
    assert found.spectrum[np.abs(found.omega) < 0.3].max() < 0.02
    assert found.quasiparticle_weight == 0
    assert found.double_occupancy < 0.03


def test_the_last_iterate_is_kept_where_nothing_converged():
    few = MeanFieldSettings(nrg=QUICK.nrg, tolerance=1e-9, max_iterations=2)
    found = solve_hubbard(1.0, 1e-3, BetheLattice(), few)
    assert not found.converged and len(found.changes) >= 2
    again = solve_hubbard(1.0, 1e-3, BetheLattice(), QUICK, first=found.bath)
    assert again.converged and len(again.changes) <= len(found.changes) + 2
