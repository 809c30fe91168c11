"""Reference energies: exact where compositions determine them, smallest where they do not, unmoved by wrong labels."""

import numpy as np
import pytest

from models.physics.atoms.reference_energies import b3lyp_atoms, least_squares, robust

NUMBERS = np.array([1, 6, 8])
TRUE = np.array([-13.6, -1030.0, -2043.0])
COUNTS = np.array([[4, 1, 0], [2, 0, 1], [2, 1, 1], [6, 2, 0], [6, 2, 1], [4, 2, 0]])


@pytest.mark.parametrize("fit", [least_squares, robust])
def test_sums_of_atoms_give_the_atoms_back(fit):
    found = fit(NUMBERS, COUNTS, COUNTS @ TRUE)
    np.testing.assert_allclose(found.energies_eV, TRUE, rtol=1e-10)
    assert found.determined.all()
    assert found.residual_eV_atom < 1e-9
    assert found.as_mapping() == pytest.approx({1: -13.6, 6: -1030.0, 8: -2043.0})


def test_least_squares_is_the_minimum_of_the_squared_residual_per_atom():
    rng = np.random.default_rng(0)
    energies = COUNTS @ TRUE + rng.normal(size=len(COUNTS))
    found = least_squares(NUMBERS, COUNTS, energies)

    def loss(e):
        return (((energies - COUNTS @ e) / COUNTS.sum(axis=1)) ** 2).sum()

    for step in np.vstack([np.eye(3), -np.eye(3)]) * 1e-3:
        assert loss(found.energies_eV) < loss(found.energies_eV + step)


def test_a_few_wrong_labels_do_not_move_the_robust_energies():
    rng = np.random.default_rng(1)
    counts = COUNTS[rng.integers(0, len(COUNTS), 400)]
    energies = counts @ TRUE + rng.normal(size=400) * 0.01
    energies[::20] += 300.0
    assert np.abs(robust(NUMBERS, counts, energies).energies_eV - TRUE).max() < 0.1
    assert np.abs(least_squares(NUMBERS, counts, energies).energies_eV - TRUE).max() > 3


def test_one_molecule_determines_no_atom_but_is_explained():
    found = least_squares(NUMBERS, np.array([[6, 2, 1]] * 3), np.full(3, -4209.0))
    assert not found.determined.any()
    assert found.residual_eV_atom < 1e-9
    np.testing.assert_allclose(found.energies_eV, TRUE, rtol=0.05)  # all electrons: Z^2.4 is near the truth


def test_only_the_elements_that_are_open_are_said_to_be():
    counts = np.array([[2, 1, 0], [4, 2, 0], [0, 0, 1], [2, 1, 1]])
    found = least_squares(NUMBERS, counts, counts @ TRUE)
    assert found.determined.tolist() == [False, False, True]
    assert found.energies_eV[2] == pytest.approx(TRUE[2])
    np.testing.assert_allclose(counts @ found.energies_eV, counts @ TRUE)


def test_equal_labels_end_the_robust_fit():
    found = robust(np.array([13]), np.array([[4], [8], [16]]), np.array([-14.8, -29.6, -59.2]))
    assert found.energies_eV == pytest.approx([-3.7])


def test_all_that_is_wrong_is_reported():
    with pytest.raises(ValueError, match=r"no atom of the elements \[8\].*; energies_eV: found 1 .* first 1"):
        least_squares(NUMBERS, COUNTS * [1, 1, 0], np.where(np.arange(6) == 1, np.nan, -1.0))
    with pytest.raises(ValueError, match=r"configurations without atoms: \[0\]"):
        least_squares(np.array([1]), np.array([[0], [2]]), np.zeros(2))
    with pytest.raises(ValueError, match="found shape"):
        least_squares(NUMBERS, COUNTS[:, :2], np.zeros(6))


@pytest.mark.physics
def test_atoms_at_room_temperature_agree_with_the_published_table_of_qm9():
    """Rows U, H, G of H and C in the table of atomic references that comes with QM9 [Hartree]."""
    hartree = 27.211386245988
    published = {"U": (-0.498857, -37.845355), "H": (-0.497912, -37.844411), "G": (-0.510927, -37.861317)}
    for kind, (hydrogen, carbon) in published.items():
        found = b3lyp_atoms(kind)
        assert found[1] / hartree == pytest.approx(hydrogen, abs=2e-5)
        assert found[6] / hartree == pytest.approx(carbon, abs=2e-5)


def test_an_unknown_kind_of_energy_is_refused():
    with pytest.raises(ValueError, match="found 'U1', expected U0"):
        b3lyp_atoms("U1")
