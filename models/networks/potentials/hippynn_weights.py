"""The weights of HIP-NN and HIP-NN-TS under the names and shapes of hippynn (LANL's own code), and back.

Both hold the same function (tests compare numbers), so that a potential trained here runs where hippynn runs, and one
trained there is read here:

    hippynn                                         here
    blocks.b.0.base_layer.int_weights (S, F, E)     blocks.b.interaction.weight, rows (E, S)
    blocks.b.0.base_layer.sensitivity.mu, .sigma    blocks.b.interaction.sensitivity.mu_A, .sigma_A
    blocks.b.0.base_layer.selfint                   blocks.b.interaction.self_weight
    blocks.b.0.base_layer.vecscales, .quadscales    blocks.b.interaction.vector_scale, .quadrupole_scale
    blocks.b.0.res_layer, .adjust_layer             blocks.b.interaction_residual.residual, .adjust
    blocks.b.(l + 1).base_layer, .res_layer         blocks.b.onsite.l, blocks.b.onsite_residual.l.residual
    layers.t (of HEnergy, prefix "energy.")         readouts.t times energy_scale_eV

HIP-NN-TS is there HipnnVec (l_max = 1) and HipnnQuad (l_max = 2), whose cusp_reg is a setting that its state repeats as
blocks.b.0.base_layer._extra_state. Reference energies become part of the first readout, whose inputs are the elements.
Suffixes: S sensitivities, F features, E features in front of a layer.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.hipnn_ts import HIPNNTS

__all__ = ["from_hippynn", "hippynn_network", "hippynn_settings", "to_hippynn"]

CUSP = "._extra_state"


def hippynn_network(config: HIPNN.Config) -> str:
    """Name of hippynn's class, of the module and of the node, for the same architecture."""
    if not isinstance(config, HIPNNTS.Config):
        return "Hipnn"
    return {1: "HipnnVec", 2: "HipnnQuad"}[config.l_max]


def hippynn_settings(config: HIPNN.Config) -> dict[str, Any]:
    """Arguments of that class (`module_kwargs` of the node) for the same architecture."""
    tensors = {"cusp_reg": config.cusp_regularisation} if isinstance(config, HIPNNTS.Config) else {}
    return {
        "possible_species": [0, *config.species],
        "n_features": config.n_features,
        "n_sensitivities": config.n_sensitivities,
        "dist_soft_min": config.soft_min_A,
        "dist_soft_max": config.soft_max_A,
        "dist_hard_max": config.cutoff_A,
        "n_interaction_layers": config.n_interactions,
        "n_atom_layers": config.n_onsite,
        "sensitivity_type": "inverse",
        "resnet": True,
        **tensors,
    }


def to_hippynn(model: HIPNN) -> dict[str, Tensor]:
    """State of the network and, prefixed "energy.", of its HEnergy; energies in eV with reference energies, float64."""
    tensors = {name: tensor.detach().double() for name, tensor in model.state_dict().items()}
    n_in = [len(model.config.species), *[model.config.n_features] * model.config.n_interactions]
    state: dict[str, Tensor] = {}
    for theirs, ours in _names(model.config):
        tensor = tensors[ours]
        if theirs.endswith("int_weights"):
            width = n_in[int(theirs.split(".")[1])]
            tensor = tensor.view(width, model.config.n_sensitivities, -1).permute(1, 2, 0)
        elif ".sensitivity." in theirs:
            tensor = tensor[None]
        elif theirs.startswith("energy."):
            tensor = tensor * model.config.energy_scale_eV
        state[theirs] = tensor.clone().contiguous()
    reference = torch.tensor(model.config.reference_energies_eV, dtype=torch.float64)
    state["energy.layers.0.weight"] += reference
    return state


def from_hippynn(state: Mapping[str, Any], config: HIPNN.Config) -> HIPNN:
    """The network of `config` (HIPNNTS for one of its own) with hippynn's weights, energies as there; float64.

    Reference energies of `config` are taken out of the first readout. Raises ValueError where names or shapes differ.
    """
    model = (HIPNNTS if isinstance(config, HIPNNTS.Config) else HIPNN)(config).double()
    tensors = model.state_dict()
    reference = torch.tensor(config.reference_energies_eV, dtype=torch.float64)
    problems = []
    for theirs, ours in _names(config):
        if theirs not in state:
            problems.append(f"{theirs}: found nothing")
            continue
        tensor = state[theirs].detach().double()
        if theirs.endswith("int_weights"):
            tensor = tensor.permute(2, 0, 1).reshape(-1, tensor.shape[1])
        elif ".sensitivity." in theirs:
            tensor = tensor.flatten()
        elif theirs.startswith("energy."):
            shift = reference if theirs == "energy.layers.0.weight" else 0.0
            tensor = (tensor - shift) / config.energy_scale_eV
        if tensor.shape != tensors[ours].shape:
            problems.append(f"{theirs}: found shape {tuple(state[theirs].shape)}, which does not fit {ours}")
        else:
            tensors[ours] = tensor
    cusps = {name: float(state[name]["cusp_reg"]) for name in state if name.endswith(CUSP)}
    problems += _other_cusps(cusps, config)
    if unknown := sorted(state.keys() - {theirs for theirs, _ in _names(config)} - cusps.keys()):
        problems.append(f"found {', '.join(unknown)}, which this architecture does not have")
    if problems:
        raise ValueError("hippynn weights: " + "; ".join(problems) + "; give the settings that they were made with")
    model.load_state_dict(tensors)
    return model.eval()


def _other_cusps(cusps: Mapping[str, float], config: HIPNN.Config) -> list[str]:
    expected = config.cusp_regularisation if isinstance(config, HIPNNTS.Config) else None
    return [f"{name}: found cusp_reg {c}, expected {expected}" for name, c in cusps.items() if c != expected]


def _names(config: HIPNN.Config) -> list[tuple[str, str]]:
    names = []
    for b in range(config.n_interactions):
        block = f"blocks.{b}"
        first, ours = f"{block}.0", f"{block}.interaction"
        names += [
            (f"{first}.base_layer.int_weights", f"{ours}.weight"),
            (f"{first}.base_layer.sensitivity.mu", f"{ours}.sensitivity.mu_A"),
            (f"{first}.base_layer.sensitivity.sigma", f"{ours}.sensitivity.sigma_A"),
        ]
        if isinstance(config, HIPNNTS.Config):
            scales = [("vecscales", "vector_scale"), ("quadscales", "quadrupole_scale")][: config.l_max]
            names += [(f"{first}.base_layer.{their}", f"{ours}.{our}") for their, our in scales]
        names += _both(f"{first}.base_layer.selfint", f"{ours}.self_weight")
        names += _both(f"{first}.res_layer", f"{block}.interaction_residual.residual")
        if (len(config.species) if b == 0 else config.n_features) != config.n_features:
            names.append((f"{first}.adjust_layer.weight", f"{block}.interaction_residual.adjust.weight"))
        for layer in range(config.n_onsite):
            names += _both(f"{block}.{layer + 1}.base_layer", f"{block}.onsite.{layer}")
            names += _both(f"{block}.{layer + 1}.res_layer", f"{block}.onsite_residual.{layer}.residual")
    names.append(("energy.layers.0.weight", "readouts.0.weight"))
    for term in range(1, config.n_interactions + 1):
        names += _both(f"energy.layers.{term}", f"readouts.{term}")
    return names


def _both(theirs: str, ours: str) -> list[tuple[str, str]]:
    return [(f"{theirs}.{part}", f"{ours}.{part}") for part in ("weight", "bias")]
