"""Contacts, heights and offsets against direct sums over images."""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stores import atom_checks
from stores.atom_checks import CONTACT_A, any_atom, cell_heights, contacts, net_force, offsets_agree


def shortest(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> float:
    """Smallest distance of two atoms or of an atom and an image, by looking at many images."""
    ranges = [range(-15, 16) if periodic else [0] for periodic in pbc]
    shifts = np.array(list(product(*ranges))) @ cell
    apart = positions[None, :, None] - positions[:, None, None] + shifts
    distance = np.linalg.norm(apart, axis=3)
    home = int(np.flatnonzero((shifts == 0).all(axis=1))[0])
    distance[np.arange(len(positions)), np.arange(len(positions)), home] = np.inf
    return float(distance.min())


@given(seed=st.integers(0, 2**32 - 1), pbc=st.tuples(*[st.booleans()] * 3), size=st.sampled_from([0.5, 1.0, 3.0]))
@settings(max_examples=150, deadline=None)
def test_contacts_are_those_of_all_images(seed, pbc, size):
    rng = np.random.default_rng(seed)
    cell, positions = rng.normal(size=(3, 3)) * size, rng.normal(size=(3, 3)) * 0.3
    pbc = np.array(pbc)
    heights = cell_heights(cell[None], pbc[None])
    assume((heights > 0.1).all())
    expected = shortest(positions, cell, pbc)
    assume(abs(expected - CONTACT_A) > 1e-9)
    rows, distances = contacts(positions, np.array([0]), np.array([3], np.int32), cell[None], pbc[None])
    assert rows.tolist() == ([0] if expected < CONTACT_A else [])
    assert distances == pytest.approx([expected] if expected < CONTACT_A else [])


def test_configurations_do_not_see_each_other_in_whatever_portions(monkeypatch):
    rng = np.random.default_rng(0)
    n_atoms = rng.integers(1, 8, 300).astype(np.int32)
    first = np.cumsum(n_atoms, dtype=np.int64) - n_atoms
    positions = rng.random((int(n_atoms.sum()), 3)) * 2
    cell, pbc = np.tile(np.eye(3) * 2, (300, 1, 1)), rng.random((300, 3)) < 0.5
    cell[~pbc.any(axis=1)] = 0
    expected = [
        m for m in range(300) if shortest(positions[first[m] : first[m] + n_atoms[m]], cell[m], pbc[m]) < CONTACT_A
    ]
    for portion in (10**6, 50, 1):
        monkeypatch.setattr(atom_checks, "ATOMS_PER_TREE", portion)
        assert contacts(positions, first, n_atoms, cell, pbc)[0].tolist() == expected
    assert len(expected) > 10


def test_heights_are_those_of_the_periodic_directions():
    cell = np.array([[3.0, 0, 0], [1.0, 2.0, 0], [0, 0, 0]])
    heights = cell_heights(np.stack([cell, cell, cell]), np.array([[1, 1, 0], [1, 1, 1], [0, 0, 0]], dtype=bool))
    np.testing.assert_allclose(heights[0], [3 * 2 / np.sqrt(5), 2.0, np.inf])
    np.testing.assert_array_equal(heights[1], 0)
    np.testing.assert_array_equal(heights[2], np.inf)


def test_offsets_name_the_row_that_breaks_them():
    n_atoms = np.array([2, 3, 1], dtype=np.int32)
    assert offsets_agree(np.array([0, 2, 5]), n_atoms, 6).all()
    assert offsets_agree(np.array([0, 2, 5]), n_atoms, 7).tolist() == [True, True, False]
    assert offsets_agree(np.array([0, 3, 5]), n_atoms, 6).tolist() == [True, False, True]


def test_sums_and_marks_belong_to_their_configuration():
    first = np.array([0, 2])
    force = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 3.0, 4.0]])
    np.testing.assert_allclose(net_force(force, first), [0, 5])
    assert any_atom(np.array([False, True, False]), first).tolist() == [True, False]
    empty = np.zeros(0, dtype=np.int64)
    assert net_force(np.zeros((0, 3)), empty).size == 0
    assert (
        contacts(np.zeros((0, 3)), empty, empty.astype(np.int32), np.zeros((0, 3, 3)), np.zeros((0, 3), bool))[0].size
        == 0
    )
