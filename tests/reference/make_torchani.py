"""Energies and forces of torchani for tests/models/networks/potentials/test_ani.py, written to torchani.json.

    python tests/reference/make_torchani.py

needs torchani 2.9 (not a dependency of this project) and torch. Weights are those torch draws from the seed;
molecules and cells are written out below. float64, energies in the units of the network (no scale, no reference
energies).
"""

import json
from pathlib import Path

import torch
from torchani.aev import AEVComputer, ANIAngular, ANIRadial
from torchani.nn import ANINetworks, AtomicNetwork

SEED = 7
SYMBOLS, NUMBERS = ("H", "C", "O"), (1, 6, 8)
HIDDEN = ((5, 4), (6, 3), (4, 4))
MOLECULES = {
    "methanol": (
        [6, 8, 1, 1, 1, 1],
        [
            [-0.05, 0.66, 0.01],
            [0.02, -0.76, 0.03],
            [-1.08, 0.98, 0.05],
            [0.44, 1.07, 0.89],
            [0.43, 1.08, -0.91],
            [0.9, -1.09, -0.02],
        ],
        None,
    ),
    "carbon dioxide": ([8, 6, 8], [[-1.16, 0.02, 0.0], [0.0, 0.0, 0.0], [1.16, 0.0, 0.0]], None),
    "oblique cell": (
        [6, 8, 1, 1, 6],
        [[0.1, 0.2, 0.3], [2.1, 1.9, 0.4], [4.0, 3.1, 3.9], [1.2, 4.4, 2.2], [3.3, 0.8, 2.9]],
        [[5.6, 0.1, 0.0], [0.4, 5.9, -0.2], [0.2, 0.3, 5.5]],
    ),
}


def main() -> None:
    """Write torchani.json."""
    radial, angular = ANIRadial.like_1x(), ANIAngular.like_1x()
    for term in (radial, angular):  # their buffers are float32; the settings are meant exactly
        term.double()
    radial.shifts = torch.tensor([0.9 + 4.3 / 16 * i for i in range(16)], dtype=torch.float64)
    angular.shifts = torch.tensor([0.9 + 2.6 / 4 * i for i in range(4)], dtype=torch.float64)
    angular.sections = torch.tensor([torch.pi / 8 * (i + 0.5) for i in range(8)], dtype=torch.float64)
    computer = AEVComputer(radial, angular, len(SYMBOLS)).double()
    torch.manual_seed(SEED)
    networks = ANINetworks(
        {s: AtomicNetwork((computer.out_dim, *h, 1), "celu", bias=True) for s, h in zip(SYMBOLS, HIDDEN, strict=True)}
    ).double()
    results = {}
    for name, (numbers, positions, cell) in MOLECULES.items():
        species = torch.tensor([[NUMBERS.index(n) for n in numbers]])
        place = torch.tensor([positions], dtype=torch.float64, requires_grad=True)
        box = None if cell is None else torch.tensor(cell, dtype=torch.float64)
        aevs = computer(species, place, box, None if cell is None else torch.ones(3, dtype=torch.bool))
        energies = networks(species, aevs, atomic=True)
        (gradient,) = torch.autograd.grad(energies.sum(), place)
        results[name] = {
            "numbers": numbers,
            "positions": positions,
            "cell": cell,
            "energies": energies[0].tolist(),
            "forces": (-gradient[0]).tolist(),
        }
    written = {
        "command": "python tests/reference/make_torchani.py",
        "versions": {"torch": torch.__version__, "torchani": __import__("torchani").__version__},
        "seed": SEED,
        "species": NUMBERS,
        "hidden": HIDDEN,
        # Drawn as float32 numbers, which nine digits hold exactly.
        "weights": {
            name: [float(f"{x:.9g}") for x in weight.flatten().tolist()] for name, weight in networks.named_parameters()
        },
        "results": results,
    }
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in written.items())
    Path(__file__).with_name("torchani.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
