"""hippynn's names and shapes: an independent forward pass over them, its own code where it is installed, and back."""

from dataclasses import replace

import ase.build
import numpy as np
import pytest
import torch

from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.hippynn_weights import from_hippynn, hippynn_settings, to_hippynn
from models.networks.potentials.potential import evaluate
from tests.models.networks.potentials.morse import batch

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
CONFIGS = {
    "two blocks": CONFIG,
    "as many features as elements": replace(CONFIG, n_features=3, n_interactions=1),
    "no on-site layers": replace(CONFIG, n_onsite=0),
}


def trained_looking(config):
    model = HIPNN(config).double()
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
    window = np.cos(np.pi * r / 2 / settings["dist_hard_max"]) ** 2 * (r < settings["dist_hard_max"])
    energy = linear("energy.layers.0", z).sum()
    for b in range(settings["n_interaction_layers"]):
        base = f"blocks.{b}.0.base_layer"
        mu, sigma = w[f"{base}.sensitivity.mu"][0], w[f"{base}.sensitivity.sigma"][0]
        s = np.exp(-0.5 * (1 / r[..., None] - 1 / mu) ** 2 * sigma**2) * window[..., None]
        a = np.einsum("ijv,vfe,je->if", s, w[f"{base}.int_weights"], z) + linear(f"{base}.selfint", z)
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


@pytest.mark.physics
@pytest.mark.filterwarnings("ignore")
def test_hippynn_itself_takes_the_weights_and_agrees():
    pytest.importorskip("hippynn")
    from hippynn.graphs import GraphModule, inputs, networks, physics, targets

    model, atoms = trained_looking(CONFIG), ethanol()
    expected = evaluate(model, *batch([atoms], CONFIG.cutoff_A))
    species, positions = inputs.SpeciesNode(db_name="Z"), inputs.PositionsNode(db_name="R")
    network = networks.Hipnn("HIPNN", (species, positions), module_kwargs=hippynn_settings(CONFIG))
    energy = targets.HEnergyNode("HEnergy", network)
    gradient = physics.GradientNode("force", (energy, positions), sign=-1)
    state = to_hippynn(model)
    network.torch_module.double().load_state_dict({k: v for k, v in state.items() if not k.startswith("energy.")})
    energy.torch_module.double().load_state_dict({k[7:]: v for k, v in state.items() if k.startswith("energy.")})
    graph = GraphModule([species, positions], [energy.main_output, gradient]).double()
    z, r = torch.from_numpy(atoms.numbers)[None], torch.from_numpy(atoms.positions)[None].requires_grad_(True)
    found_energy, found_forces = graph(z, r)
    assert float(found_energy) == pytest.approx(float(expected.energy_M[0]), rel=1e-9)
    np.testing.assert_allclose(found_forces.detach()[0], expected.forces_N3, rtol=1e-6, atol=1e-7)
