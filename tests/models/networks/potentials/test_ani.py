"""ANI: the truths of every potential, fused kernels against plain torch, torchani's numbers."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.networks.potentials.aev import environment_vectors
from models.networks.potentials.aev_function import PositionHessianNeeded, fused_environment_vectors
from models.networks.potentials.ani import ANI
from models.networks.potentials.second_derivatives import weights_only
from models.networks.weights import load_network, save_network
from tests.models.networks.potentials.potential_contract import (
    PotentialContract,
    Structure,
    aluminium,
    graph_of,
    lone_atom,
    methanol,
    predict,
    slab,
    water,
)

SPECIES = (1, 6, 8, 13)
TORCHANI = Path(__file__).parents[3] / "reference" / "torchani.json"


class TestANIWithTorchKernels(PotentialContract):
    def model(self):
        return ANI(ANI.Config.ani1x(species=SPECIES, kernels="torch", energy_scale_eV=5.0)).double()


class TestANIWithFusedKernels(PotentialContract):
    def model(self):
        return ANI(ANI.Config.ani1x(species=SPECIES, kernels="numba", energy_scale_eV=5.0)).double()


def small(**changes) -> ANI:
    """A network small enough for finite differences over all of its weights."""
    torch.manual_seed(3)
    config = ANI.Config.ani1x(species=SPECIES, kernels="numba")
    return ANI(replace(config, hidden=((3, 2), (2,), (3,), (2, 2)), **changes)).double()


def odd_shapes() -> ANI:
    """Numbers of shifts that fill no register."""
    shifts = {"radial_shifts_A": (1.0, 2.0, 3.1, 4.4, 5.0), "angular_shifts_A": (1.0, 1.9, 3.0), "angles": (0.3,) * 7}
    return small(**shifts, cutoff_A=6.5, angular_cutoff_A=5.5, zeta=7.3)


MODELS = {"1x": small, "odd shapes": odd_shapes}


@pytest.fixture(params=["1x", pytest.param("odd shapes", marks=pytest.mark.slow)])
def case(request):
    """Settings, topology, elements and vectors of a mixed batch; a buffer's worth of triples more than once."""
    model = MODELS[request.param]()
    graph, vectors = graph_of(model, methanol(), aluminium(), lone_atom(1), slab(), water())
    return model.environment, graph, model.species_N(graph), vectors


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_fused_kernels_give_the_vectors_of_plain_torch_and_their_products(case, dtype, tolerance):
    settings, graph, species, exact = case
    vectors = exact.to(dtype)
    torch.manual_seed(5)
    weights = torch.randn(graph.n_atoms, settings.n_features, dtype=torch.float64)
    change = torch.randn_like(exact)

    def products(function, vectors):
        value, tangent = torch.func.jvp(
            lambda v: function(settings, graph, species, v), (vectors,), (change.to(dtype),)
        )
        at = vectors.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad((function(settings, graph, species, at) * weights.to(dtype)).sum(), at)
        return value, tangent, gradient

    fused, plain = products(fused_environment_vectors, vectors), products(environment_vectors, vectors)
    for found, expected in zip(fused, plain, strict=True):
        assert (found - expected).abs().max() < tolerance * expected.abs().max()


def test_pullback_and_pushforward_are_adjoint(case):
    settings, graph, species, vectors = case
    torch.manual_seed(6)
    change = torch.randn_like(vectors)
    at = vectors.clone().requires_grad_(True)
    features = fused_environment_vectors(settings, graph, species, at)
    weights = torch.randn_like(features)
    (gradient,) = torch.autograd.grad(features, at, weights)
    _, tangent = torch.func.jvp(lambda v: fused_environment_vectors(settings, graph, species, v), (vectors,), (change,))
    torch.testing.assert_close((gradient * change).sum(), (weights * tangent).sum(), rtol=1e-12, atol=0)


def test_the_number_of_threads_does_not_change_a_bit():
    model = small()
    settings = model.environment
    graph, vectors = graph_of(model, *[aluminium()] * 40)
    species = model.species_N(graph)
    n_threads, results = torch.get_num_threads(), []
    try:
        for n in (1, 3):
            torch.set_num_threads(n)
            at = vectors.clone().requires_grad_(True)
            features = fused_environment_vectors(settings, graph, species, at)
            results.append((features.detach(), *torch.autograd.grad(features.square().sum(), at)))
    finally:
        torch.set_num_threads(n_threads)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def force_gradient(model: ANI, graph, vectors, targets) -> list[torch.Tensor]:
    at = vectors.clone().requires_grad_(True)
    with weights_only():
        (gradient,) = torch.autograd.grad(model.energy_terms(graph, at).sum(), at, create_graph=True)
        ((gradient - targets) ** 2).sum().backward(inputs=list(model.parameters()))
    # Last biases and networks of absent elements do not matter to forces.
    found = [torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in model.parameters()]
    model.zero_grad()
    return found


def test_double_backward_gives_the_gradient_of_a_force_loss():
    """Central differences over every weight."""
    model = small()
    graph, vectors = graph_of(model, methanol(), aluminium())
    targets = torch.randn(vectors.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def loss() -> float:
        at = vectors.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(model.energy_terms(graph, at).sum(), at)
        return float(((gradient - targets) ** 2).sum())

    analytic = torch.cat([g.flatten() for g in force_gradient(model, graph, vectors, targets)])
    numbers = torch.cat([w.detach().flatten() for w in model.parameters()])
    chosen = torch.randperm(len(numbers), generator=torch.Generator().manual_seed(2))[:60]
    numeric = []
    for index in chosen:
        ends = []
        for sign in (1, -1):
            moved = numbers.clone()
            moved[index] += sign * 1e-5
            torch.nn.utils.vector_to_parameters(moved, model.parameters())
            ends.append(loss())
        numeric.append((ends[0] - ends[1]) / 2e-5)
    assert analytic[chosen].abs().max() > 1e-2
    np.testing.assert_allclose(analytic[chosen], numeric, rtol=1e-6, atol=1e-7)


def test_both_kernels_give_one_force_gradient():
    fused = small()
    plain = ANI(replace(fused.config, kernels="torch")).double()
    plain.load_state_dict(fused.state_dict())
    graph, vectors = graph_of(fused, methanol(), aluminium(), slab())
    targets = torch.zeros_like(vectors)
    for a, b in zip(*(force_gradient(m, graph, vectors, targets) for m in (fused, plain)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_forward_over_reverse_gives_the_slope_of_the_weight_gradient():
    model = small()
    graph, vectors = graph_of(model, methanol(), slab())
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    direction = torch.randn(vectors.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def weight_gradient(at):
        def energy(w):
            return torch.func.functional_call(model, w, (graph, at)).sum()

        return torch.func.grad(energy)(weights)

    _, found = torch.func.jvp(weight_gradient, (vectors,), (direction,))
    ends = [weight_gradient(vectors + sign * 1e-5 * direction) for sign in (1, -1)]
    for name in weights:
        torch.testing.assert_close(found[name], (ends[0][name] - ends[1][name]) / 2e-5, rtol=1e-6, atol=1e-7)


def test_a_hessian_from_fused_kernels_is_refused_and_torch_kernels_give_it():
    fused = small()
    graph, vectors = graph_of(fused, water())

    def hessian_row(model):
        at = vectors.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(model.energy_terms(graph, at).sum(), at, create_graph=True)
        return torch.autograd.grad(gradient[0, 0], at)[0]

    with pytest.raises(PositionHessianNeeded, match="kernels='torch'"):
        hessian_row(fused)
    plain = ANI(replace(fused.config, kernels="torch")).double()
    assert hessian_row(plain).abs().max() > 0


def test_numba_kernels_are_refused_for_half_precision():
    model = small().bfloat16()
    graph, vectors = graph_of(model, water())
    with pytest.raises(ValueError, match="bfloat16"):
        model(graph, vectors)


def from_torchani(stored: dict, kernels: str) -> ANI:
    config = ANI.Config.ani1x(species=tuple(stored["species"]), kernels=kernels)
    model = ANI(replace(config, hidden=stored["hidden"])).double()
    with torch.no_grad():
        for weight, numbers in zip(model.parameters(), stored["weights"].values(), strict=True):
            weight.copy_(torch.tensor(numbers, dtype=torch.float64).reshape(weight.shape))
    return model


@pytest.mark.physics
@pytest.mark.parametrize("kernels", ["torch", "numba"])
@pytest.mark.parametrize("name", ["methanol", "carbon dioxide", "oblique cell"])
def test_torchani_with_the_same_weights_gives_the_same(name, kernels):
    """Its energies and forces, open and periodic; numbers by tests/reference/make_torchani.py."""
    stored = json.loads(TORCHANI.read_text())
    expected = stored["results"][name]
    periodic = expected["cell"] is not None
    structure = Structure(
        numbers=np.array(expected["numbers"]),
        positions=np.array(expected["positions"]),
        cell=np.array(expected["cell"]) if periodic else np.zeros((3, 3)),
        pbc=(periodic,) * 3,
    )
    found = predict(from_torchani(stored, kernels), structure)
    np.testing.assert_allclose(found.energy_N, expected["energies"], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(found.forces_N3, expected["forces"], rtol=1e-8, atol=1e-9)


@pytest.mark.physics
def test_the_live_torchani_agrees_on_environment_vectors(monkeypatch):
    monkeypatch.setenv("TORCHANI_NO_WARN_EXTENSIONS", "1")
    pytest.importorskip("torchani")
    from torchani.aev import AEVComputer

    molecule = methanol()
    model = ANI(ANI.Config.ani1x(species=(1, 6, 8)))
    graph, vectors = graph_of(model, molecule)
    species = model.species_N(graph)
    computer = AEVComputer.like_1x(num_species=3)
    expected = computer(species[None], torch.tensor(molecule.positions[None], dtype=torch.float32))[0]
    torch.testing.assert_close(
        environment_vectors(model.environment, graph, species, vectors), expected, rtol=1e-4, atol=1e-5
    )


def test_settings_of_ani_1x_and_ani_al_give_their_numbers_of_features_and_weights():
    molecules, metal = ANI(ANI.Config.ani1x()), ANI(ANI.Config.ani_al())
    assert molecules.environment.n_features == 4 * 16 + 10 * 4 * 8
    assert metal.environment.n_features == 32 + 8 * 8
    widths = [96, 96, 96, 64, 1]
    assert sum(p.numel() for p in metal.parameters()) == sum((n + 1) * m for n, m in itertools.pairwise(widths))


def test_weights_and_config_come_back_from_disk(tmp_path):
    torch.manual_seed(1)
    model = ANI(ANI.Config.ani1x(species=(1, 8), reference_energies_eV=(-13.6, -2040.0), energy_scale_eV=3.0))
    save_network(model, tmp_path)
    loaded = load_network(ANI, tmp_path, expected=model.config)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True))


def test_impossible_settings_are_all_named():
    with pytest.raises(ValueError, match=r"reference_energies_eV.*cutoffs.*energy_scale_eV"):
        ANI.Config(
            species=(1, 8),
            cutoff_A=3.0,
            radial_eta=16.0,
            radial_shifts_A=(1.0,),
            angular_cutoff_A=4.0,
            angular_eta=8.0,
            angular_shifts_A=(1.0,),
            zeta=32.0,
            angles=(1.0,),
            hidden=((8,), (8,)),
            reference_energies_eV=(0.0,),
            energy_scale_eV=0.0,
        )
