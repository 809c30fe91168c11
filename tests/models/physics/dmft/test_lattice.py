"""Local Green functions of lattices: closed forms, norm and second moment."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from models.physics.dmft.lattice import BetheLattice, DensityOfStates, cubic_lattice

OMEGA = np.linspace(-2, 2, 401)


def test_the_bethe_lattice_solves_its_own_equation():
    """G = 1 / (zeta - G / 4), Im G < 0, and -Im G / pi is the semicircle."""
    zeta = OMEGA + 1e-9j
    green = BetheLattice().green_function(zeta)
    assert_allclose(green, 1 / (zeta - green / 4), rtol=1e-6)
    assert (green.imag <= 1e-12).all()
    inside = np.abs(OMEGA) < 0.99
    assert_allclose(-green.imag[inside] / np.pi, 2 / np.pi * np.sqrt(1 - OMEGA[inside] ** 2), atol=1e-6)


def test_a_density_of_states_at_points_gives_the_same_as_its_closed_form():
    energy = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 2001))
    lattice = DensityOfStates(energy, np.sqrt(np.maximum(1 - energy**2, 0)))
    zeta = OMEGA + 0.05j
    assert_allclose(lattice.green_function(zeta), BetheLattice().green_function(zeta), atol=2e-5)


def test_the_cubic_lattice_has_the_moments_of_three_chains():
    lattice = cubic_lattice()
    assert np.trapezoid(lattice.density, lattice.energy) == pytest.approx(1)
    assert np.trapezoid(lattice.density * lattice.energy, lattice.energy) == pytest.approx(0, abs=1e-6)
    assert np.trapezoid(lattice.density * lattice.energy**2, lattice.energy) == pytest.approx(3 / 18, abs=2e-4)


def test_what_is_no_density_of_states_is_refused():
    with pytest.raises(ValueError, match="ascending energies and a density >= 0"):
        DensityOfStates(np.array([0.0, -1.0, 1.0]), np.ones(3))
    with pytest.raises(ValueError, match="no weight"):
        DensityOfStates(np.array([-1.0, 0.0, 1.0]), np.zeros(3))
