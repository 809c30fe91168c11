from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.frames import Frames
from models.networks.potentials.graph import Configuration, Graph, collate
from models.networks.potentials.neighbours import find_neighbours
from models.training.potentials.configurations import with_neighbours
from tests.models.training.potentials.clusters import clusters, config, prepared


def collated(data, rows, cutoff_A, dtype):
    """The same batch by the plain way."""
    one = []
    for row in rows:
        atoms = slice(data.first_atom[row], data.first_atom[row] + data.n_atoms[row])
        positions, cell, pbc = data.positions_A[atoms], data.cells_A[row], data.pbc[row]
        near = find_neighbours(positions, cell, pbc, cutoff_A)
        one.append(Configuration(numbers=data.numbers[atoms], positions_A=positions, cell_A=cell, neighbours=near))
    return collate(one, dtype)


def same(one, other):
    return one.dtype == other.dtype and torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))


@settings(deadline=None)
@given(rows=st.lists(st.integers(0, 11), min_size=1, max_size=8))
def test_a_batch_equals_the_plain_collation_of_its_configurations(rows):
    data = clusters(12, periodic=True)
    for dtype in (torch.float32, torch.float64):
        labelled = prepared(data, dtype).batch(rows)
        graph, vectors = collated(data, rows, 4.0, dtype)
        assert all(same(getattr(labelled.graph, f.name), getattr(graph, f.name)) for f in fields(Graph))
        assert same(labelled.vectors_H3, vectors)


def test_images_of_small_cells_and_atoms_alone_keep_their_place():
    apart = Frames.one(numbers=[1, 1], positions_A=np.array([[0.0, 0, 0], [9.0, 0, 0]]))
    lonely = Frames.concatenate([apart, Frames.one(numbers=[8], positions_A=np.zeros((1, 3)), cell_A=2.0 * np.eye(3))])
    labelled = prepared(lonely).batch([1, 0])
    graph, vectors = collated(lonely, [1, 0], 4.0, torch.float32)
    assert all(same(getattr(labelled.graph, f.name), getattr(graph, f.name)) for f in fields(Graph))
    assert torch.equal(labelled.vectors_H3, vectors)
    assert labelled.graph.n_pairs > 10


def test_energies_lose_their_reference_in_double_precision_before_they_are_rounded():
    data = clusters(8)
    heavy = replace(data, energies_eV=data.energies_eV + 1e6 * data.n_atoms)
    found = with_neighbours(heavy, config(references=(-3.0 + 1e6, -100.0 + 1e6)))
    torch.testing.assert_close(found.energy_M, prepared(data).energy_M, rtol=1e-5, atol=1e-6)
    assert found.energy_M.abs().max() < 10


def test_labels_come_with_their_configuration_and_missing_ones_are_nan():
    data = clusters(6, periodic=True)
    labelled = prepared(data, torch.float64).batch([4, 3])
    first = data.first_atom
    expected = np.concatenate([data.forces_eV_A[first[row] : first[row] + data.n_atoms[row]] for row in (4, 3)])
    np.testing.assert_array_equal(labelled.forces_N3.numpy(), expected)
    assert torch.isnan(labelled.stress_M33[0]).all()
    assert torch.isfinite(labelled.stress_M33[1]).all()
    assert torch.isnan(labelled.graph.volume_M[0]) and labelled.graph.volume_M[1].item() == pytest.approx(8000)


def test_selected_configurations_are_the_same_in_any_order():
    data = clusters(7)
    there = data.select([5, 0, 5])
    assert there.n_atoms.tolist() == data.n_atoms[[5, 0, 5]].tolist()
    back = there.select([1])
    np.testing.assert_array_equal(back.positions_A, data.positions_A[: data.n_atoms[0]])
    assert data.counts((1, 8)).sum(axis=1).tolist() == data.n_atoms.tolist()


def test_atoms_on_top_of_each_other_unknown_elements_and_flat_cells_are_refused():
    data = clusters(5)
    close = data.positions_A.copy()
    close[1] = close[0] + 0.1
    with pytest.raises(ValueError, match=r"closer than 0.3 A in 1 configurations: 0 \(0.173 A\)"):
        prepared(replace(data, positions_A=close))
    with pytest.raises(ValueError, match=r"found elements with atomic numbers \[8\], expected some of \[1\]"):
        with_neighbours(data, config(species=(1,), references=(0.0,)))
    with pytest.raises(ValueError, match="configuration 0: cell: found volume 0"):
        prepared(replace(data, pbc=np.ones((5, 3), dtype=bool)))
    with pytest.raises(ValueError, match="found no configurations"):
        prepared(data).batch([])
    with pytest.raises(ValueError, match=r"forces_eV_A: found shape \(1, 3\)"):
        replace(data, forces_eV_A=np.zeros((1, 3)))
