"""HIP-NN keeps the contract of potentials and is, number for number, the network of hippynn."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.networks.potentials.graph import Configuration, Graph, collate
from models.networks.potentials.hierarchicality import hierarchicality_N
from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.hippynn_weights import from_hippynn
from models.networks.potentials.neighbour_sums import environment_sum
from models.networks.potentials.neighbours import find_neighbours
from models.networks.potentials.potential import evaluate
from models.networks.weights import load_network, save_network
from tests.models.networks.potentials.potential_contract import PotentialContract, graph_of, methanol, water

REFERENCE = json.loads((Path(__file__).parents[3] / "reference/hippynn.json").read_text())


def with_higher_terms(model: HIPNN) -> HIPNN:
    """Readouts of usual size: fresh ones are small on purpose, and would hide errors."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for readout in model.readouts:
            readout.weight.normal_(generator=generator)
    return model


class TestHIPNN(PotentialContract):
    def model(self) -> HIPNN:
        config = HIPNN.Config(
            species=(1, 6, 8, 13), cutoff_A=4.5, soft_max_A=4.0, n_features=8, n_sensitivities=6, n_onsite=2
        )
        return with_higher_terms(HIPNN(config).double())


@pytest.mark.physics
@pytest.mark.parametrize("name", ["molecule", "crystal"])
def test_energies_forces_and_hierarchicality_are_those_of_hippynn(name):
    recorded, settings = REFERENCE[name], REFERENCE["settings"]
    config = HIPNN.Config(
        species=tuple(recorded["species"]),
        cutoff_A=settings["dist_hard_max"],
        soft_min_A=settings["dist_soft_min"],
        soft_max_A=settings["dist_soft_max"],
        n_features=settings["n_features"],
        n_sensitivities=settings["n_sensitivities"],
        n_interactions=settings["n_interaction_layers"],
        n_onsite=settings["n_atom_layers"],
    )
    state = {key: torch.tensor(value, dtype=torch.float64) for key, value in recorded["state"].items()}
    model = from_hippynn(state, config)
    positions = np.array(recorded["positions"])
    cell = np.zeros((3, 3)) if recorded["cell"] is None else np.array(recorded["cell"])
    neighbours = find_neighbours(positions, cell, np.full(3, recorded["cell"] is not None), config.cutoff_A)
    configuration = Configuration(
        numbers=np.array(recorded["numbers"]), positions_A=positions, cell_A=cell, neighbours=neighbours
    )
    found = evaluate(model, *collate([configuration], torch.float64))
    assert float(found.energy_M) == pytest.approx(recorded["energy"], rel=1e-9)
    np.testing.assert_allclose(found.forces_N3.numpy(), recorded["forces"], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(hierarchicality_N(found.terms_NT).numpy(), recorded["hierarchicality"], rtol=1e-7)


def test_the_first_term_knows_the_element_alone():
    model = TestHIPNN().model()
    terms = evaluate(model, *graph_of(model, methanol(), water())).terms_NT
    oxygens = [1, 6]
    hydrogens = [2, 3, 4, 5, 7, 8]
    assert float(terms[oxygens, 0].std()) == 0.0
    assert float(terms[hydrogens, 0].std()) == 0.0
    assert float(terms[hydrogens, 1].std()) > 1e-3


def test_a_fresh_network_has_an_ordered_hierarchy():
    torch.manual_seed(0)
    model = HIPNN(HIPNN.Config(species=(1, 6, 8))).double()
    terms = evaluate(model, *graph_of(model, methanol())).terms_NT.abs().mean(dim=0)
    assert terms[1] > 10 * terms[2] > 0


def test_hierarchicality_follows_its_definition():
    terms = torch.tensor([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    np.testing.assert_allclose(hierarchicality_N(terms), [4 / 5 + 1 / 5, 0.0, 0.0])


def test_a_sensitivity_peaks_at_its_centre_and_ends_at_the_cutoff():
    model = TestHIPNN().model()
    sensitivity = model.blocks[0].interaction.sensitivity
    centres = sensitivity.mu_A.detach()
    at_centres = sensitivity(centres).detach()
    window = torch.cos(0.5 * torch.pi * centres / 4.5).square()
    np.testing.assert_allclose(torch.diagonal(at_centres), window, rtol=1e-12)
    assert not sensitivity(torch.tensor([4.5, 4.6], dtype=torch.float64)).any()


def test_saved_weights_come_back(tmp_path):
    model = TestHIPNN().model().float()
    save_network(model, tmp_path)
    again = load_network(HIPNN, tmp_path, expected=model.config)
    graph, vectors = graph_of(model, methanol())
    assert torch.equal(model(graph, vectors), again(graph, vectors))


def test_impossible_configurations_are_refused_together():
    with pytest.raises(ValueError, match=r"species.*soft_min_A.*n_features"):
        HIPNN.Config(species=(1, 1), soft_min_A=2.0, soft_max_A=1.0, n_features=0)


def sums_by_loops(s: torch.Tensor, z: torch.Tensor, graph: Graph) -> torch.Tensor:
    found = z.new_zeros((graph.n_atoms, z.shape[1], s.shape[1]))
    for pair, (i, j) in enumerate(zip(graph.first_H.tolist(), graph.second_H.tolist(), strict=True)):
        found[i] += z[j][:, None] * s[pair][None]
        found[j] += z[i][:, None] * s[pair][None]
    return found


def test_environment_sums_and_their_derivatives_are_those_of_loops_over_pairs():
    model = TestHIPNN().model()
    graph, _ = graph_of(model, methanol(), water())
    generator = torch.Generator().manual_seed(1)
    s = torch.randn(graph.n_pairs, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    z = torch.randn(graph.n_atoms, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(environment_sum(s, z, graph), sums_by_loops(s, z, graph))

    def second_gradients(sums):
        value = torch.sin(sums(s, z, graph)).sum()
        first = torch.autograd.grad(value, (s, z), create_graph=True)
        penalty = sum((g**3).sum() for g in first)
        return (*first, *torch.autograd.grad(penalty, (s, z)))

    for ours, plain in zip(second_gradients(environment_sum), second_gradients(sums_by_loops), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-11, atol=1e-11)


def test_tangents_of_gradients_of_sums_are_exact():
    model = TestHIPNN().model()
    graph, _ = graph_of(model, methanol())
    generator = torch.Generator().manual_seed(2)
    draw = lambda n, m: torch.randn(n, m, generator=generator, dtype=torch.float64)  # noqa: E731
    s, z, s_dot, z_dot = draw(graph.n_pairs, 3), draw(graph.n_atoms, 2), draw(graph.n_pairs, 3), draw(graph.n_atoms, 2)

    def tangent(sums):
        value = lambda a, b: torch.sin(sums(a, b, graph)).sum()  # noqa: E731
        return torch.func.jvp(torch.func.grad(value, argnums=(0, 1)), (s, z), (s_dot, z_dot))[1]

    for ours, plain in zip(tangent(environment_sum), tangent(sums_by_loops), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-11, atol=1e-11)
