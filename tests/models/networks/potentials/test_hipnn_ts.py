"""HIP-NN-TS keeps the contract of potentials, sees angles, and is smooth where a vector or quadrupole vanishes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.hipnn_ts import HIPNNTS, HIPNNTSParams
from models.networks.potentials.pair_slots import in_slots, other_end, other_slot
from models.networks.potentials.potential import POTENTIALS, evaluate, forces_of
from models.networks.weights import ArchitectureMismatch, load_network, save_network
from tests.models.networks.potentials.potential_contract import (
    OPEN,
    STRUCTURES,
    PotentialContract,
    Structure,
    aluminium,
    energy,
    graph_of,
    lone_atom,
    methanol,
    predict,
    water,
)
from tests.models.networks.potentials.test_hipnn import with_higher_terms

SIZES = {"species": (1, 6, 8, 13), "cutoff_A": 4.5, "soft_max_A": 4.0, "n_features": 8, "n_sensitivities": 6}


def tensor_network(l_max: int, **options) -> HIPNNTS:
    torch.manual_seed(20)
    return with_higher_terms(HIPNNTS(HIPNNTS.Config(**SIZES | {"l_max": l_max, "n_onsite": 2} | options)).double())


class TestVectors(PotentialContract):
    def model(self) -> HIPNNTS:
        return tensor_network(1)


class TestQuadrupoles(PotentialContract):
    def model(self) -> HIPNNTS:
        return tensor_network(2)


both = pytest.mark.parametrize("l_max", [1, 2])


@both
@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_mirror_image_has_the_same_energy_and_mirrored_forces(l_max, structure):
    model, original = tensor_network(l_max), STRUCTURES[structure]()
    mirror = np.diag([1.0, -1.0, 1.0])
    image = replace(original, positions=original.positions @ mirror, cell=original.cell @ mirror)
    before, after = predict(model, original), predict(model, image)
    torch.testing.assert_close(after.energy_M, before.energy_M, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(after.forces_N3, before.forces_N3 @ torch.from_numpy(mirror), rtol=1e-9, atol=1e-10)


@both
def test_forces_are_slopes_to_a_millionth(l_max):
    model, molecule = tensor_network(l_max), methanol()
    direction = np.random.default_rng(0).normal(size=molecule.positions.shape)
    slope = float((predict(model, molecule).forces_N3.numpy() * direction).sum())
    ends = [energy(model, replace(molecule, positions=molecule.positions + h * direction)) for h in (1e-5, -1e-5)]
    assert -slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)


def open_structure(numbers, positions) -> Structure:
    return Structure(numbers=np.array(numbers), positions=np.array(positions, dtype=float), cell=OPEN, pbc=(False,) * 3)


def star(*directions) -> Structure:
    """An oxygen with aluminium 2.4 A away in each direction."""
    n = np.array(directions, dtype=float)
    positions = np.concatenate([np.zeros((1, 3)), 2.4 * n / np.linalg.norm(n, axis=1, keepdims=True)])
    return open_structure([8] + [13] * len(n), positions)


def at_the_centre(model, structure) -> float:
    """Energy of the first atom."""
    return float(predict(model, structure).energy_N[0])


def test_angles_that_one_layer_of_hipnn_cannot_see_are_seen():
    """The centre has two neighbours at the same distance in both; only the angle between them differs."""
    right, obtuse = star([1, 0, 0], [0, 1, 0]), star([1, 0, 0], [-0.3, 1, 0])
    sizes = SIZES | {"n_interactions": 1}
    torch.manual_seed(20)
    blind = with_higher_terms(HIPNN(HIPNN.Config(**sizes)).double())
    assert at_the_centre(blind, right) == pytest.approx(at_the_centre(blind, obtuse), abs=1e-12)
    for l_max in (1, 2):
        model = tensor_network(l_max, n_interactions=1)
        assert abs(at_the_centre(model, right) - at_the_centre(model, obtuse)) > 1e-3


def test_quadrupoles_see_what_vectors_cannot():
    """A square and a tetrahedron of neighbours: no vector in either, and a quadrupole in the square alone."""
    square = star([1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0])
    tetrahedron = star([1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1])
    vectors, quadrupoles = (tensor_network(l_max, n_interactions=1) for l_max in (1, 2))
    assert at_the_centre(vectors, square) == pytest.approx(at_the_centre(vectors, tetrahedron), abs=1e-10)
    assert abs(at_the_centre(quadrupoles, square) - at_the_centre(quadrupoles, tetrahedron)) > 1e-3


def lattice(kind: str) -> Structure:
    cell = 2.025 * np.array({"cubic": np.eye(3) * 1.4, "fcc": 1 - np.eye(3)}[kind])
    return Structure(numbers=np.array([13]), positions=np.zeros((1, 3)), cell=cell, pbc=(True,) * 3)


SYMMETRIC = {
    "lone atom": lambda: lone_atom(8),
    "linear": lambda: open_structure([8, 6, 8], [[-1.16, 0, 0], [0, 0, 0], [1.16, 0, 0]]),
    "tetrahedron": lambda: star([1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]),
    "simple cubic": lambda: lattice("cubic"),
    "fcc": lambda: lattice("fcc"),
    "two apart": lambda: open_structure([8, 1], [[0, 0, 0], [0, 0, 20]]),
}


@both
@pytest.mark.parametrize("name", SYMMETRIC)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_forces_and_their_derivatives_exist_where_moments_vanish(l_max, name, dtype):
    model = tensor_network(l_max).to(dtype)
    graph, vectors = graph_of(model, SYMMETRIC[name]())
    vectors.requires_grad_(True)
    (gradient,) = torch.autograd.grad(model(graph, vectors).sum(), vectors, create_graph=True)
    forces = forces_of(graph, gradient)
    assert forces.isfinite().all()
    if name in ("simple cubic", "fcc", "lone atom"):
        assert forces.abs().max() < 1e-4
    squares = (forces.square().sum() + forces.sum()) + 0 * model(graph, vectors).sum()
    weights = [*model.parameters(), vectors]
    for found in torch.autograd.grad(squares, weights, allow_unused=True):
        assert found is None or found.isfinite().all()


@both
def test_second_derivatives_are_those_of_finite_differences(l_max):
    """With respect to the vectors of pairs and to all weights, through a crystal that sees itself."""
    model = tensor_network(l_max, n_features=3, n_sensitivities=3, n_onsite=1, cutoff_A=3.2, soft_max_A=3.0)
    graph, vectors = graph_of(model, water(), aluminium(1))
    names, weights = zip(*model.named_parameters(), strict=True)

    def energies(vectors_H3, *values):
        return torch.func.functional_call(model, dict(zip(names, values, strict=True)), (graph, vectors_H3)).sum()

    inputs = [vectors.clone().requires_grad_(True), *[w.detach().clone().requires_grad_(True) for w in weights]]
    assert torch.autograd.gradcheck(energies, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(energies, inputs, fast_mode=True, atol=1e-4)


@both
def test_the_equations_written_out_over_pairs_give_the_same_moments(l_max):
    model = tensor_network(l_max)
    graph, vectors = graph_of(model, methanol(), aluminium())
    layer = model.blocks[0].interaction
    z = torch.nn.functional.one_hot(model.species_N(graph), 4).double()
    n = torch.cat([vectors, -vectors])
    first, second = torch.cat([graph.first_H, graph.second_H]), torch.cat([graph.second_H, graph.first_H])
    r = n.norm(dim=1)
    n = n / r[:, None]
    weight = layer.weight.view(4, 6, 8)
    message = torch.einsum("pv,pe,evf->pf", layer.sensitivity(r), z[second], weight)
    total = lambda of_pair: message.new_zeros(len(z), *of_pair.shape[1:]).index_add(0, first, of_pair)  # noqa: E731
    traceless = n[:, :, None] * n[:, None] - torch.eye(3, dtype=n.dtype) / 3
    v = total(n[:, :, None] * message[:, None])
    q = total(traceless[:, :, :, None] * message[:, None, None])
    expected = total(message) + layer.self_weight(z) + layer.vector_scale * (v.square().sum(1) + 1e-6).sqrt()
    if l_max == 2:
        expected = expected + layer.quadrupole_scale * (q.square().sum((1, 2)) + 1e-6).sqrt()
    torch.testing.assert_close(layer(z, model.geometry(graph, vectors), graph), expected, rtol=1e-11, atol=1e-11)


def test_without_scales_it_is_hipnn():
    scaled = tensor_network(2)
    plain = HIPNN(HIPNN.Config(**SIZES, n_onsite=2)).double()
    state = scaled.state_dict()
    assert [name for name in state if name not in plain.state_dict()] == [
        f"blocks.{b}.interaction.{kind}_scale" for b in (0, 1) for kind in ("vector", "quadrupole")
    ]
    plain.load_state_dict({name: state[name] for name in plain.state_dict()})
    with torch.no_grad():
        for block in scaled.blocks:
            block.interaction.vector_scale.zero_()
            block.interaction.quadrupole_scale.zero_()
    found, expected = (predict(model, methanol(), aluminium()) for model in (scaled, plain))
    torch.testing.assert_close(found.terms_NT, expected.terms_NT, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(found.forces_N3, expected.forces_N3, rtol=1e-10, atol=1e-10)


def test_slots_and_their_derivatives_are_those_of_plain_indexing():
    graph, _ = graph_of(tensor_network(1), methanol(), water())
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(graph.n_pairs, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    other = other_slot(graph)

    def plain_slots(x_HC):
        return torch.cat([x_HC, x_HC.new_zeros(1, x_HC.shape[1])])[graph.slot_pair_NK]

    def ours(x_HC):
        y = in_slots(x_HC, graph)
        return (torch.sin(y * other_end(y * graph.slot_sign_NK[..., None], other)) * y).sum()

    def plain(x_HC):
        y = plain_slots(x_HC)
        moved = (y * graph.slot_sign_NK[..., None]).flatten(0, 1)[other].view_as(y)
        return (torch.sin(y * moved) * y).sum()

    assert torch.equal(other[other], torch.arange(len(other)))
    torch.testing.assert_close(torch.autograd.functional.hessian(ours, x), torch.autograd.functional.hessian(plain, x))
    tangent = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    found, expected = (torch.func.jvp(torch.func.grad(f), (x.detach(),), (tangent,))[1] for f in (ours, plain))
    torch.testing.assert_close(found, expected)


@both
def test_saved_weights_come_back_and_belong_to_their_class(tmp_path, l_max):
    model = tensor_network(l_max).float()
    save_network(model, tmp_path)
    graph, vectors = graph_of(model, methanol())
    assert torch.equal(model(graph, vectors), load_network(HIPNNTS, tmp_path)(graph, vectors))
    with pytest.raises(ArchitectureMismatch, match=r"found weights of class 'HIPNNTS', expected 'HIPNN'"):
        load_network(HIPNN, tmp_path)


def test_it_is_chosen_by_name_with_the_settings_of_hipnn():
    chosen = POTENTIALS.choose("hipnn_ts", l_max=2, n_features=12)
    assert isinstance(chosen.settings, HIPNNTSParams)
    config = chosen.settings.config([1, 8], [-1.0, -2.0], 0.5)
    assert (config.l_max, config.n_features, config.cutoff_A) == (2, 12, 5.5)
    assert isinstance(POTENTIALS["hipnn_ts"].make(config), HIPNNTS)
    with pytest.raises(ValueError, match=r"l_max: found 3"):
        POTENTIALS.choose("hipnn_ts", l_max=3)


def test_impossible_configurations_are_refused_together():
    with pytest.raises(ValueError, match=r"HIPNNTS\.Config: species.*l_max: found 0.*cusp_regularisation: found 0"):
        HIPNNTS.Config(species=(1, 1), l_max=0, cusp_regularisation=0.0)


def test_evaluation_needs_no_gradient_of_the_caller():
    model = tensor_network(2)
    with torch.no_grad():
        assert evaluate(model, *graph_of(model, methanol())).forces_N3.isfinite().all()
