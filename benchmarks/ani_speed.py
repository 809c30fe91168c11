"""Our ANI beside torchani: training steps and inference, same sizes, data, batch and thread count, in one run.

    PYTHONPATH=. python benchmarks/ani_speed.py --molecules FILE.extxyz [--out benchmarks/ani_speed.md]

Needs an environment with torch, numba, ase, vesin and torchani (which this project does not depend on). Systems: 64
QM9-like molecules from FILE with ANI-1x settings, and 4 rattled fcc cells of 108 atoms with ANI-Al settings. Each
figure is the median of interleaved repeats, in CPU seconds of the process: other work on the machine inflates them,
ratios least. Neighbour lists are outside the clock for ours (searched once per configuration and kept, as in training
here) and given separately; torchani searches inside its model in every call, so its search alone is given too.
Networks are new: time does not depend on weights.
"""

import argparse
import datetime
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.build
import ase.io
import numpy as np
import torch

from models.networks.potentials.ani import ANI
from models.networks.potentials.graph import Configuration, collate
from models.networks.potentials.neighbours import find_neighbours
from models.networks.potentials.potential import evaluate, forces_of
from models.networks.potentials.second_derivatives import weights_only

MOLECULES, CELLS = 64, 4
LATTICE_A, RATTLE_A = 4.05, 0.1


@dataclass(frozen=True)
class Case:
    """Functions to time, by name: ours and torchani's."""

    name: str
    ours: dict[str, Callable[[], object]]
    theirs: dict[str, Callable[[], object]]


def main() -> None:
    """Print the table, and write it where --out says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecules", required=True, help="extxyz with at least 64 molecules of H, C, N, O")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="torchani")
    lines = [head()]
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        for case in (molecules(arguments.molecules), aluminium()):
            lines += table(case, threads, arguments.repeats)
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


def head() -> str:
    import torchani

    return (
        "# ANI beside torchani\n\n`PYTHONPATH=. python benchmarks/ani_speed.py --molecules FILE.extxyz`, "
        f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {platform.processor() or platform.machine()}, "
        f"torch {torch.__version__}, torchani {torchani.__version__}, float32.\n"
        "CPU milliseconds per batch, median of interleaved repeats; their neighbour search is inside all their figures "
        "but the last, ours is outside (kept between steps)."
    )


def table(case: Case, threads: int, repeats: int) -> list[str]:
    lines = [
        f"\n## {case.name}, {threads} thread{'s' * (threads > 1)}\n",
        "| | ours | torchani | times faster |",
        "|---|---|---|---|",
    ]
    measured = interleaved(
        [f for pair in zip(case.ours.values(), case.theirs.values(), strict=True) for f in pair], repeats
    )
    for i, name in enumerate(case.ours):
        ours, theirs = measured[2 * i], measured[2 * i + 1]
        lines.append(f"| {name} | {1e3 * ours:.2f} | {1e3 * theirs:.2f} | {theirs / ours:.1f} |")
    return lines


def interleaved(functions: list[Callable[[], object]], repeats: int) -> list[float]:
    for function in functions:  # compilation
        function()
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, times in zip(functions, seconds, strict=True):
            start = time.process_time()
            function()
            times.append(time.process_time() - start)
    return [statistics.median(times) for times in seconds]


def molecules(path: str) -> Case:
    frames = [atoms for atoms in ase.io.read(path, index=":2000") if set(atoms.numbers) <= {1, 6, 7, 8}][:MOLECULES]
    if len(frames) < MOLECULES:
        raise SystemExit(f"{path}: found {len(frames)} molecules of H, C, N and O, expected at least {MOLECULES}")
    n_atoms = sum(map(len, frames))
    return compare(f"{MOLECULES} molecules, {n_atoms} atoms, ANI-1x", ANI.Config.ani1x(), frames)


def aluminium() -> Case:
    random = np.random.default_rng(0)
    frames = [ase.build.bulk("Al", cubic=True, a=LATTICE_A) * (3, 3, 3) for _ in range(CELLS)]
    for atoms in frames:
        atoms.positions += random.normal(scale=RATTLE_A, size=atoms.positions.shape)
    return compare(f"{CELLS} cells of 108 aluminium atoms, ANI-Al", ANI.Config.ani_al(), frames)


def compare(name: str, config: Any, frames: list[ase.Atoms]) -> Case:  # noqa: ANN401
    return Case(name, ours(config, frames), theirs(config, frames))


def ours(config: Any, frames: list[ase.Atoms]) -> dict[str, Callable[[], object]]:  # noqa: ANN401
    model = ANI(config)
    weights = list(model.parameters())

    def configurations() -> list[Configuration]:
        return [
            Configuration(
                numbers=a.numbers,
                positions_A=a.positions,
                cell_A=a.cell.array,
                neighbours=find_neighbours(a.positions, a.cell.array, a.pbc, config.cutoff_A),
            )
            for a in frames
        ]

    graph, vectors = collate(configurations())
    target = torch.zeros(graph.n_configs), torch.zeros(graph.n_atoms, 3)

    def energy_step() -> None:
        energy = graph.sum_over_atoms(model(graph, vectors)[:, 0])
        ((energy - target[0]) ** 2).mean().backward(inputs=weights)
        model.zero_grad()

    def force_step() -> None:
        moved = vectors.clone().requires_grad_(True)
        terms = model(graph, moved)
        with weights_only():
            (gradient,) = torch.autograd.grad(terms.sum(), moved, create_graph=True)
            energy, forces = graph.sum_over_atoms(terms[:, 0]), forces_of(graph, gradient)
            loss = ((energy - target[0]) ** 2).mean() + ((forces - target[1]) ** 2).mean()
            loss.backward(inputs=weights)
        model.zero_grad()

    def energies() -> None:
        with torch.no_grad():
            model(graph, vectors)

    return {
        "energies": energies,
        "energies and forces": lambda: evaluate(model, graph, vectors),
        "training step on energies": energy_step,
        "training step on energies and forces (double backward)": force_step,
        "neighbour search (and collation)": lambda: collate(configurations()),
    }


def theirs(config: Any, frames: list[ase.Atoms]) -> dict[str, Callable[[], object]]:  # noqa: ANN401
    """torchani takes a padded batch of molecules, or one periodic cell at a time."""
    from torchani.aev import AEVComputer, ANIAngular, ANIRadial
    from torchani.nn import ANINetworks, AtomicNetwork

    symbols = [ase.data.chemical_symbols[number] for number in config.species]
    computer = AEVComputer(
        ANIRadial(config.radial_eta, config.radial_shifts_A, config.cutoff_A),
        ANIAngular(config.angular_eta, config.zeta, config.angular_shifts_A, config.angles, config.angular_cutoff_A),
        len(symbols),
    )
    network = ANINetworks(
        {
            symbol: AtomicNetwork((computer.out_dim, *widths, 1), "celu", bias=True)
            for symbol, widths in zip(symbols, config.hidden, strict=True)
        }
    )
    weights = list(network.parameters())
    index = {number: place for place, number in enumerate(config.species)}
    groups = [[atoms] for atoms in frames] if frames[0].pbc.any() else [frames]
    batches = []
    for group in groups:
        width = max(map(len, group))
        species = torch.full((len(group), width), -1)
        positions = torch.zeros(len(group), width, 3)
        for row, atoms in enumerate(group):
            species[row, : len(atoms)] = torch.tensor([index[number] for number in atoms.numbers])
            positions[row, : len(atoms)] = torch.from_numpy(atoms.positions).float()
        periodic = bool(group[0].pbc.any())
        cell = torch.from_numpy(group[0].cell.array).float() if periodic else None
        batches.append((species, positions, cell, torch.ones(3, dtype=torch.bool) if periodic else None))

    def energy_of(positions: list[torch.Tensor]) -> torch.Tensor:
        parts = [
            network(species, computer(species, place, cell, pbc))
            for (species, _, cell, pbc), place in zip(batches, positions, strict=True)
        ]
        return torch.cat(parts)

    def places(needed: bool) -> list[torch.Tensor]:
        return [positions.clone().requires_grad_(needed) for _, positions, _, _ in batches]

    def energies() -> None:
        with torch.no_grad():
            energy_of(places(False))

    def forces() -> None:
        positions = places(True)
        torch.autograd.grad(energy_of(positions).sum(), positions)

    def energy_step() -> None:
        (energy_of(places(False)) ** 2).mean().backward(inputs=weights)
        network.zero_grad()

    def force_step() -> None:
        positions = places(True)
        energy = energy_of(positions)
        gradients = torch.autograd.grad(energy.sum(), positions, create_graph=True)
        loss = (energy**2).mean() + torch.cat([g.flatten() for g in gradients]).square().mean()
        loss.backward(inputs=weights)
        network.zero_grad()

    def search() -> None:
        for species, positions, cell, pbc in batches:
            computer.neighborlist(config.cutoff_A, species, positions, cell, pbc)

    return {
        "energies": energies,
        "energies and forces": forces,
        "training step on energies": energy_step,
        "training step on energies and forces (double backward)": force_step,
        "neighbour search (and collation)": search,
    }


if __name__ == "__main__":
    main()
