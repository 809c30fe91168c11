"""Second-moment tight binding: forces and stress are derivatives, aluminium is fcc of about the right size."""

import ase.build
import numpy as np
import pytest
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from models.physics.atoms.second_moment import SecondMoment


@pytest.fixture
def rattled() -> ase.Atoms:
    atoms = ase.build.bulk("Al", "fcc", a=4.0, cubic=True) * (2, 1, 1)
    atoms.rattle(0.2, seed=1)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.03 * np.tri(3)), scale_atoms=True)
    atoms.calc = SecondMoment()
    return atoms


def test_forces_and_stress_are_derivatives_of_the_energy(rattled):
    np.testing.assert_allclose(rattled.get_forces(), calculate_numerical_forces(rattled, 1e-4), atol=1e-6)
    np.testing.assert_allclose(rattled.get_stress(), calculate_numerical_stress(rattled, 1e-5), atol=1e-6)


def test_the_energy_does_not_jump_where_pairs_leave_the_switch():
    pair = ase.Atoms("Al2", positions=[[0, 0, 0], [0, 0, 6.0 - 1e-5]], cell=[20, 20, 20])
    pair.calc = SecondMoment()
    assert abs(pair.get_potential_energy()) < 1e-6
    pair.positions[1, 2] = 6.1
    assert pair.get_potential_energy() == 0


@pytest.mark.physics
def test_crystals_of_aluminium_come_out_as_published():
    """Cleri and Rosato fitted a cohesive energy of 3.339 eV at a = 4.05 A; fcc lies below bcc."""
    fcc = ase.build.bulk("Al", "fcc", a=4.05)
    fcc.calc = SecondMoment()
    assert fcc.get_potential_energy() == pytest.approx(-3.339, abs=0.08)
    assert abs(fcc.get_stress()[:3]).max() < 0.02
    bcc = ase.build.bulk("Al", "bcc", a=4.05 / 2 ** (1 / 3))
    bcc.calc = SecondMoment()
    assert bcc.get_potential_energy() > fcc.get_potential_energy()


def test_radii_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match=r"6.0 .. 4.5 A"):
        SecondMoment(inner_A=6.0, outer_A=4.5)
