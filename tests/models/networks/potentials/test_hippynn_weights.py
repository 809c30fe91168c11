"""hippynn's names and shapes: an independent forward pass over them, its own code where it is installed, and back."""

import copy
import json
from dataclasses import fields, replace
from pathlib import Path

import ase.build
import numpy as np
import pytest
import torch

from models.networks.potentials.graph import Configuration, Graph, collate
from models.networks.potentials.hierarchicality import hierarchicality_N
from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.hipnn_ts import HIPNNTS
from models.networks.potentials.hippynn_weights import from_hippynn, hippynn_network, hippynn_settings, to_hippynn
from models.networks.potentials.neighbours import find_neighbours
from models.networks.potentials.potential import evaluate, forces_of
from tests.models.networks.potentials.morse import batch

RECORDED = json.loads((Path(__file__).parents[3] / "reference/hippynn_tensor.json").read_text())

CONFIG = HIPNN.Config(
    species=(6, 1, 8),
    cutoff_A=4.0,
    soft_max_A=3.5,
    n_features=4,
    n_sensitivities=5,
    n_onsite=2,
    energy_scale_eV=3.0,
    reference_energies_eV=(-1030.0, -13.6, -2040.0),
)


def tensor_config(l_max: int, config: HIPNN.Config = CONFIG) -> HIPNNTS.Config:
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    return HIPNNTS.Config(**values, l_max=l_max, cusp_regularisation=1e-5)


CONFIGS = {
    "two blocks": CONFIG,
    "vectors": tensor_config(1),
    "quadrupoles": tensor_config(2),
    "as many features as elements": replace(CONFIG, n_features=3, n_interactions=1),
    "no on-site layers": replace(CONFIG, n_onsite=0),
}


def trained_looking(config):
    model = (HIPNNTS if isinstance(config, HIPNNTS.Config) else HIPNN)(config).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.rand_like(weight) * weight.abs().mean())
        for readout in model.readouts:
            readout.weight.copy_(torch.randn_like(readout.weight))
    return model


def ethanol():
    atoms = ase.build.molecule("CH3CH2OH")
    atoms.positions += 0.1 * np.random.default_rng(0).normal(size=atoms.positions.shape)
    return atoms


def forward(state, settings, numbers, positions):
    """The equations of the paper over hippynn's tensors, all pairs at once."""
    w = {name: tensor.numpy() for name, tensor in state.items()}

    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)

    z = (numbers[:, None] == np.array(settings["possible_species"][1:])).astype(float)
    r = np.linalg.norm(positions[:, None] - positions, axis=-1) + 1e9 * np.eye(len(numbers))
    n = (positions - positions[:, None]) / r[..., None]
    traceless = np.einsum("ijx,ijy->ijxy", n, n) - np.eye(3) / 3
    window = np.cos(np.pi * r / 2 / settings["dist_hard_max"]) ** 2 * (r < settings["dist_hard_max"])
    energy = linear("energy.layers.0", z).sum()
    for b in range(settings["n_interaction_layers"]):
        base = f"blocks.{b}.0.base_layer"
        mu, sigma = w[f"{base}.sensitivity.mu"][0], w[f"{base}.sensitivity.sigma"][0]
        s = np.exp(-0.5 * (1 / r[..., None] - 1 / mu) ** 2 * sigma**2) * window[..., None]
        message = np.einsum("ijv,vfe,je->ijf", s, w[f"{base}.int_weights"], z)
        a = message.sum(axis=1) + linear(f"{base}.selfint", z)
        for scales, tensor in (("vecscales", n[..., None]), ("quadscales", traceless)):
            if f"{base}.{scales}" in w:
                moment = np.einsum("ijxy,ijf->ifxy", tensor, message)
                a += w[f"{base}.{scales}"] * np.sqrt((moment**2).sum(axis=(2, 3)) + settings["cusp_reg"])
        for layer in range(settings["n_atom_layers"] + 1):
            name = f"blocks.{b}.{layer}"
            if layer:
                a = linear(f"{name}.base_layer", z)
            carried = linear(f"{name}.adjust_layer", z) if f"{name}.adjust_layer.weight" in w else z
            z = carried + linear(f"{name}.res_layer", np.log1p(np.exp(a)))
        energy += linear(f"energy.layers.{b + 1}", z).sum()
    return energy


@pytest.mark.parametrize("name", CONFIGS)
def test_the_equations_over_hippynns_tensors_give_the_same_energy(name):
    model, atoms = trained_looking(CONFIGS[name]), ethanol()
    expected = evaluate(model, *batch([atoms], model.config.cutoff_A)).energy_M[0]
    found = forward(to_hippynn(model), hippynn_settings(model.config), atoms.numbers, atoms.positions)
    assert found == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("name", CONFIGS)
def test_there_and_back_is_the_same_network(name):
    model = trained_looking(CONFIGS[name])
    back = from_hippynn(to_hippynn(model), model.config)
    for key, value in model.state_dict().items():
        np.testing.assert_allclose(back.state_dict()[key], value, rtol=1e-11, atol=1e-11)


def test_other_reference_energies_and_scales_leave_the_energy_alone():
    model, atoms = trained_looking(CONFIG), ethanol()
    other = replace(CONFIG, energy_scale_eV=0.5, reference_energies_eV=(0.0, 1.0, 2.0))
    back = from_hippynn(to_hippynn(model), other)
    graph, vectors = batch([atoms], CONFIG.cutoff_A)
    assert float(evaluate(back, graph, vectors).energy_M) == pytest.approx(
        float(evaluate(model, graph, vectors).energy_M), rel=1e-12
    )


def test_weights_of_another_architecture_are_refused():
    state = to_hippynn(trained_looking(CONFIG))
    with pytest.raises(ValueError, match=r"blocks\.2\.0\.base_layer\.int_weights: found nothing"):
        from_hippynn(state, replace(CONFIG, n_interactions=3))
    with pytest.raises(ValueError, match=r"int_weights: found shape \(5, 4, 3\).*give the settings"):
        from_hippynn(state, replace(CONFIG, n_features=6))
    with pytest.raises(ValueError, match=r"found blocks\.0\.2\..*does not have"):
        from_hippynn(state, replace(CONFIG, n_onsite=1))


def test_another_cusp_of_hippynn_is_refused():
    config = tensor_config(1)
    state = to_hippynn(trained_looking(config)) | {"blocks.0.0.base_layer._extra_state": {"cusp_reg": 1e-5}}
    from_hippynn(state, config)
    with pytest.raises(ValueError, match=r"_extra_state: found cusp_reg 1e-05, expected 0\.001.*give the settings"):
        from_hippynn(state, replace(config, cusp_regularisation=1e-3))


def slopes_of_squared_forces(model: HIPNN, graph: Graph, vectors: torch.Tensor) -> dict[str, torch.Tensor]:
    """d(sum of squared forces)/dW under hippynn's names; energy scale 1 and no reference energies."""
    vectors = vectors.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(model(graph, vectors).sum(), vectors, create_graph=True)
    squares = forces_of(graph, slope).square().sum()
    found = torch.autograd.grad(squares, list(model.parameters()), allow_unused=True)
    slopes = copy.deepcopy(model)
    with torch.no_grad():
        for weight, slope_of_it in zip(slopes.parameters(), found, strict=True):
            weight.copy_(torch.zeros_like(weight) if slope_of_it is None else slope_of_it)
    return to_hippynn(slopes)


@pytest.mark.physics
@pytest.mark.parametrize("kind", ["HipnnVec", "HipnnQuad"])
@pytest.mark.parametrize("system", ["molecule", "crystal"])
def test_tensor_sensitivities_give_the_recorded_numbers_of_hippynn(kind, system):
    recorded, settings = RECORDED[f"{kind} {system}"], RECORDED["settings"]
    config = HIPNNTS.Config(
        species=tuple(recorded["species"]),
        cutoff_A=settings["dist_hard_max"],
        soft_min_A=settings["dist_soft_min"],
        soft_max_A=settings["dist_soft_max"],
        n_features=settings["n_features"],
        n_sensitivities=settings["n_sensitivities"],
        n_interactions=settings["n_interaction_layers"],
        n_onsite=settings["n_atom_layers"],
        l_max={"HipnnVec": 1, "HipnnQuad": 2}[kind],
    )
    model = from_hippynn({k: torch.tensor(v, dtype=torch.float64) for k, v in recorded["state"].items()}, config)
    cell = np.zeros((3, 3)) if recorded["cell"] is None else np.array(recorded["cell"])
    positions = np.array(recorded["positions"])
    near = find_neighbours(positions, cell, np.full(3, recorded["cell"] is not None), config.cutoff_A)
    numbers = np.array(recorded["numbers"])
    configuration = Configuration(numbers=numbers, positions_A=positions, cell_A=cell, neighbours=near)
    graph, vectors = collate([configuration], torch.float64)
    found = evaluate(model, graph, vectors)
    assert float(found.energy_M) == pytest.approx(recorded["energy"], rel=1e-10)
    scale = np.abs(recorded["forces"]).max()
    np.testing.assert_allclose(found.forces_N3.numpy(), recorded["forces"], rtol=0, atol=1e-10 * scale)
    np.testing.assert_allclose(hierarchicality_N(found.terms_NT).numpy(), recorded["hierarchicality"], rtol=1e-9)
    slopes = slopes_of_squared_forces(model, graph, vectors)
    largest = max(np.abs(value).max() for value in recorded["gradient"].values() if value is not None)
    for name, value in recorded["gradient"].items():
        np.testing.assert_allclose(slopes[name], 0.0 if value is None else value, rtol=0, atol=1e-10 * largest)


@pytest.fixture
def exact_kernels():
    """hippynn's usual ones on CPUs, in numba, pass through float32."""
    kernels = pytest.importorskip("hippynn").custom_kernels
    before = kernels.CUSTOM_KERNELS_ACTIVE
    kernels.set_custom_kernels("sparse")
    yield
    kernels.set_custom_kernels(before)


@pytest.mark.physics
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("config", [CONFIG, tensor_config(1), tensor_config(2)], ids=["scalar", "vector", "quadrupole"])
def test_hippynn_itself_takes_the_weights_and_agrees(config, exact_kernels):
    """Energy, forces and, of the sum of squared forces, the slope by every weight."""
    from hippynn.graphs import GraphModule, inputs, networks, physics, targets

    config = replace(config, energy_scale_eV=1.0, reference_energies_eV=(0.0, 0.0, 0.0))
    model, atoms = trained_looking(config), ethanol()
    ours, vectors = batch([atoms], config.cutoff_A)
    expected = evaluate(model, ours, vectors)
    species, positions = inputs.SpeciesNode(db_name="Z"), inputs.PositionsNode(db_name="R")
    kind = getattr(networks, hippynn_network(config))
    network = kind("HIPNN", (species, positions), module_kwargs=hippynn_settings(config))
    energy = targets.HEnergyNode("HEnergy", network)
    gradient = physics.GradientNode("force", (energy, positions), sign=-1)
    state = to_hippynn(model)
    parts = {"": network.torch_module.double(), "energy.": energy.torch_module.double()}
    weights = {prefix + name: w for prefix, module in parts.items() for name, w in module.named_parameters()}
    assert weights.keys() == state.keys()
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(state[name])
    graph = GraphModule([species, positions], [energy.main_output, gradient]).double()
    z, r = torch.from_numpy(atoms.numbers)[None], torch.from_numpy(atoms.positions)[None].requires_grad_(True)
    found_energy, found_forces = graph(z, r)
    assert float(found_energy) == pytest.approx(float(expected.energy_M[0]), rel=1e-10)
    np.testing.assert_allclose(found_forces.detach()[0], expected.forces_N3, rtol=1e-10, atol=1e-10)
    slopes = torch.autograd.grad(found_forces.square().sum(), list(weights.values()), allow_unused=True)
    found_slopes = slopes_of_squared_forces(model, ours, vectors)
    for name, slope in zip(weights, slopes, strict=True):
        largest = 1.0 if slope is None else max(1.0, float(slope.abs().max()))
        np.testing.assert_allclose(found_slopes[name], 0.0 if slope is None else slope, rtol=0, atol=1e-10 * largest)
    state_of_theirs = {k: v for k, v in parts[""].state_dict().items() if k in state or k.endswith("_extra_state")}
    back = from_hippynn(state | state_of_theirs, config)
    np.testing.assert_array_equal(evaluate(back, ours, vectors).energy_M, expected.energy_M)
