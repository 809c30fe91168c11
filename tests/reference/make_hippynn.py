"""Energies and forces of a small HIP-NN by hippynn, for tests/models/networks/potentials/test_hipnn.py.

    pip install torch hippynn==0.1.3 && python tests/reference/make_hippynn.py > tests/reference/hippynn.json
    python tests/reference/make_hippynn.py tensor > tests/reference/hippynn_tensor.json

float64; weights are hippynn's own initial ones after torch.manual_seed(7), readouts of the energy enlarged to O(1).
With `tensor` HIP-NN-TS, l = 1 and 2, for test_hippynn_weights.py, with the gradient of the sum of squared forces by
weights; by its kernels in PyTorch, for those in numba pass through float32.
"""

import json
import sys

import hippynn
import numpy as np
import torch
from hippynn.graphs import GraphModule, inputs, networks, physics, targets

SETTINGS = {
    "n_features": 4,
    "n_sensitivities": 5,
    "dist_soft_min": 0.9,
    "dist_soft_max": 3.5,
    "dist_hard_max": 4.2,
    "n_interaction_layers": 2,
    "n_atom_layers": 1,
}


def main() -> None:
    torch.set_default_dtype(torch.float64)
    methanol = [[-0.05, 0.66, 0.01], [0.02, -0.76, 0.03], [-1.08, 0.98, 0.05], [0.44, 1.07, 0.89]]
    methanol += [[0.43, 1.08, -0.91], [0.9, -1.09, -0.02]]
    random = np.random.default_rng(5)
    cell = 8.1 * np.eye(3) + random.normal(scale=0.1, size=(3, 3))
    cube = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    corners = np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(2)])
    fractional = ((cube[None] + corners[:, None]) / 2).reshape(-1, 3)
    crystal = fractional @ cell + random.normal(scale=0.1, size=(32, 3))
    cases = {
        "molecule": ([6, 8, 1, 1, 1, 1], np.array(methanol), None, [0, 1, 6, 8]),
        "crystal": ([13] * 32, crystal, cell, [0, 13]),
    }
    found = {"hippynn": hippynn.__version__, "settings": SETTINGS}
    if sys.argv[1:] == ["tensor"]:
        hippynn.custom_kernels.set_custom_kernels("pytorch")
        found["settings"] = SETTINGS | {"n_features": 3, "n_sensitivities": 4}
        kinds = ("HipnnVec", "HipnnQuad")
        found |= {
            f"{kind} {name}": solve(*case, kind, found["settings"]) for kind in kinds for name, case in cases.items()
        }
    else:
        found |= {name: solve(*case) for name, case in cases.items()}
    json.dump(found, sys.stdout)


def solve(
    numbers: list[int],
    positions: np.ndarray,
    cell: np.ndarray | None,
    species: list[int],
    kind: str = "Hipnn",
    settings: dict = SETTINGS,
) -> dict:
    torch.manual_seed(7)
    nodes = [inputs.SpeciesNode(db_name="Z"), inputs.PositionsNode(db_name="R")]
    values = [torch.tensor([numbers]), torch.tensor(positions[None])]
    if cell is not None:
        nodes.append(inputs.CellNode(db_name="C"))
        values.append(torch.tensor(cell[None]))
    network = getattr(networks, kind)(
        "network", tuple(nodes), periodic=cell is not None, module_kwargs={"possible_species": species, **settings}
    )
    energy = targets.HEnergyNode("energy", network)
    force = physics.GradientNode("force", (energy.mol_energy, nodes[1]), sign=-1)
    module = GraphModule(nodes, [energy.mol_energy, force, energy.atom_hier])
    for layer in energy.torch_module.layers:
        torch.nn.init.normal_(layer.weight)
    weights = dict(network.torch_module.named_parameters())
    weights |= {f"energy.{name}": t for name, t in energy.torch_module.named_parameters()}
    state = {name: t.detach() for name, t in weights.items()}
    values[1].requires_grad_(True)
    total, forces, hierarchicality = module(*values)
    tensor = {}
    if kind != "Hipnn":
        found = torch.autograd.grad(forces.square().sum(), weights.values(), allow_unused=True)
        tensor["gradient"] = {name: None if g is None else g.tolist() for name, g in zip(weights, found, strict=True)}
    return {
        "numbers": numbers,
        "positions": positions.tolist(),
        "cell": None if cell is None else cell.tolist(),
        "species": species[1:],
        "state": {name: tensor.tolist() for name, tensor in state.items()},
        "energy": float(total),
        "forces": forces[0].tolist(),
        "hierarchicality": hierarchicality.flatten().tolist(),
        **tensor,
    }


if __name__ == "__main__":
    main()
