"""Our ANI beside torchani at its best: inference and force training, same weights, same numbers, in one run.

    make peers && pip install qm9pack
    OMP_NUM_THREADS=1 python benchmarks/ani_speed.py [--repeats 9]

Batches: 64 molecules of H, C, N, O drawn from QM9 with the settings of ANI-1x, and 4 rattled fcc cells of 108 atoms
of aluminium with those of ANI-Al. What is divided by what is told in benchmarks/side_by_side.py. torchani 2.9 runs in
every setting that it has on CPUs:

pairs       searched in every call: all pairs, its default; its cell list is for more than 190 atoms by its own rule,
            and lost by a tenth here in a first run. Kept: given to `compute_from_neighbors`. One periodic cell a call
            (four take longer even where they can: their triples outgrow the cache); molecules all at once or 16
triples     also kept, through its own parts, which its interface does not offer ("pairs and triples kept")
strategy    pyaev, plain torch. cuaev, and networks run in parallel (MNP), need a GPU; its compiled cell list is an
            extension that the package from PyPI does not hold

Force training goes backward twice in both.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**30))  # as workers of the pipeline have it: freed memory is kept
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**30))
os.environ.setdefault("TORCHANI_NO_WARN_EXTENSIONS", "1")

import argparse
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from ase.data import chemical_symbols
from side_by_side import ENERGIES, FORCES, TRAINING, WEIGHT, Setting, compare, ours, qm9_molecules
from torch import Tensor

from models.frames import Frames
from models.networks.potentials.ani import ANI
from pipeline.atoms.force_training_systems import aluminium_cells

AEVs = Callable[[Tensor], Tensor]  # positions (M, atoms, 3) to environment vectors (M, atoms, features)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    cases = {
        "QM9, ANI-1x": (qm9_molecules(64, (1, 6, 7, 8)), ANI.Config.ani1x()),
        "Al 108, ANI-Al": (aluminium_cells(4, rattle_A=0.1, seed=0), ANI.Config.ani_al()),
    }
    for name, (data, config) in cases.items():
        if arguments.only in name:
            torch.manual_seed(0)
            model = ANI(config)
            compare(name, ours(model, data), torchani(model, data), arguments.repeats)


def torchani(model: ANI, data: Frames) -> list[Setting]:
    """Every setting, with the weights of `model`."""
    from torchani.aev import AEVComputer, ANIAngular, ANIRadial
    from torchani.nn import ANINetworks, AtomicNetwork

    config = model.config
    symbols = [chemical_symbols[number] for number in config.species]

    def computer() -> Any:  # noqa: ANN401
        radial = ANIRadial(config.radial_eta, config.radial_shifts_A, config.cutoff_A)
        angular = (config.angular_eta, config.zeta, config.angular_shifts_A, config.angles, config.angular_cutoff_A)
        return AEVComputer(radial, ANIAngular(*angular), len(symbols))

    network = ANINetworks(
        {
            symbol: AtomicNetwork((model.config.environment.n_features, *widths, 1), "celu", bias=True)
            for symbol, widths in zip(symbols, config.hidden, strict=True)
        }
    )
    with torch.no_grad():
        for theirs, mine in zip(network.parameters(), model.parameters(), strict=True):
            theirs.copy_(mine.reshape(theirs.shape))
    species, positions = padded(data, config.species)
    sizes = (1,) if data.pbc.any() else (len(data), 16)
    ways: dict[str, tuple[bool, AEVs]] = {}
    for size in sizes:
        for name, searches, make in (
            ("all pairs", True, partial(searching, computer())),
            ("pairs kept", False, partial(with_pairs, computer())),
            ("pairs and triples kept", False, partial(with_triples, computer())),
        ):
            ways[f"{name}, {size} a call"] = searches, in_parts(make, species, positions, data, size)
    return [
        Setting(
            name=name,
            searches=searches,
            usual=name == f"all pairs, {sizes[0]} a call",
            weights=list(network.parameters()),
            steps=steps(data, species, positions, vectors, network),
        )
        for name, (searches, vectors) in ways.items()
    ]


Batch = tuple[Tensor, Tensor, Tensor | None]  # species (m, atoms), positions (m, atoms, 3), the cell (3, 3) of one


def in_parts(make: Callable[[Batch], AEVs], species: Tensor, positions: Tensor, data: Frames, size: int) -> AEVs:
    """Some configurations a call, one after another."""
    cells = torch.from_numpy(data.cells_A).float()
    rows = [slice(first, first + size) for first in range(0, len(species), size)]
    made = [make((species[r], positions[r], cells[r.start] if data.pbc.any() else None)) for r in rows]
    return lambda place: torch.cat([vectors(place[r]) for r, vectors in zip(rows, made, strict=True)])


def searching(computer: Any, batch: Batch) -> AEVs:  # noqa: ANN401
    species, _, cell = batch
    everywhere = None if cell is None else torch.ones(3, dtype=torch.bool)
    return lambda place: computer(species, place, cell, everywhere)


def with_pairs(computer: Any, batch: Batch) -> AEVs:  # noqa: ANN401
    """With the pairs that its own search found once."""
    indices, shifts = found_once(computer, batch)
    return lambda place: computer.compute_from_neighbors(batch[0], place, neighbours(place, indices, shifts))


def with_triples(computer: Any, batch: Batch) -> AEVs:  # noqa: ANN401
    """What `compute_from_neighbors` does, without what depends on neither positions nor weights."""
    from torchani.neighbors import neighbors_to_triples

    species, positions, _ = batch
    indices, shifts = found_once(computer, batch)
    near = neighbours(positions, indices, shifts)
    inner = (near.distances <= computer.angular.cutoff).nonzero().flatten()
    triples = neighbors_to_triples(near._replace(indices=indices[:, inner], **pick(near, inner)))
    sides, signs = triples.side_idxs, triples.diff_signs.view(2, -1, 1)
    flat = inner[sides.flatten()]

    def vectors(place: Tensor) -> Tensor:
        all_pairs = neighbours(place, indices, shifts)
        radial = computer._collect_radial(species, indices, computer.radial(all_pairs.distances))
        arms = all_pairs.diff_vectors.index_select(0, flat).view(2, -1, 3) * signs
        terms = computer.angular(all_pairs.distances.index_select(0, flat).view(2, -1), arms)
        angular = computer._collect_angular(
            species, indices[:, inner], triples.central_idxs, sides, triples.diff_signs, terms
        )
        return torch.cat([radial, angular], dim=-1)

    return vectors


def pick(near: Any, rows: Tensor) -> dict[str, Tensor]:  # noqa: ANN401
    return {"distances": near.distances[rows], "diff_vectors": near.diff_vectors[rows]}


def found_once(computer: Any, batch: Batch) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    """Indices (2, pairs) into all atoms one after another, and shifts (pairs, 3) [A]."""
    from torchani.neighbors import reconstruct_shifts

    species, positions, cell = batch
    everywhere = None if cell is None else torch.ones(3, dtype=torch.bool)
    near = computer.neighborlist(computer.radial.cutoff, species, positions, cell, everywhere)
    return near.indices, reconstruct_shifts(positions, near)


def neighbours(place: Tensor, indices: Tensor, shifts: Tensor) -> Any:  # noqa: ANN401
    from torchani.neighbors import Neighbors

    atoms = place.view(-1, 3)
    vectors = atoms.index_select(0, indices[0]) - atoms.index_select(0, indices[1]) + shifts
    return Neighbors(indices, vectors.norm(2, -1), vectors)


def steps(
    data: Frames, species: Tensor, positions: Tensor, vectors: AEVs, network: torch.nn.Module
) -> dict[str, Callable[[], tuple[Tensor, ...]]]:
    real, weights = species >= 0, list(network.parameters())
    wanted, n_atoms = torch.from_numpy(data.energies_eV).float(), torch.from_numpy(data.n_atoms)
    forces_wanted = torch.zeros_like(positions)
    forces_wanted[real] = torch.from_numpy(data.forces_eV_A).float()
    n_components = 3 * int(n_atoms.sum())

    def energies() -> tuple[Tensor, ...]:
        with torch.no_grad():
            return (network(species, vectors(positions)),)

    def energies_and_forces() -> tuple[Tensor, ...]:
        place = positions.clone().requires_grad_(True)
        energy = network(species, vectors(place))
        (slope,) = torch.autograd.grad(energy.sum(), place)
        return energy, -slope[real]

    def training() -> tuple[Tensor, ...]:
        for weight in weights:
            weight.grad = None
        place = positions.clone().requires_grad_(True)
        energy = network(species, vectors(place))
        (slope,) = torch.autograd.grad(energy.sum(), place, create_graph=True)
        loss = ((energy - wanted) / n_atoms).square().mean()
        loss = loss + WEIGHT * (slope + forces_wanted).square().sum() / n_components
        loss.backward(inputs=weights)
        return (loss,)

    return {ENERGIES: energies, FORCES: energies_and_forces, TRAINING: training}


def padded(data: Frames, elements: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Species (M, atoms), -1 where there is no atom, and positions (M, atoms, 3)."""
    width = int(data.n_atoms.max())
    species, positions = torch.full((len(data), width), -1), torch.zeros(len(data), width, 3)
    index = {number: place for place, number in enumerate(elements)}
    for row, (first, n) in enumerate(zip(data.first_atom, data.n_atoms, strict=True)):
        species[row, :n] = torch.tensor([index[int(number)] for number in data.numbers[first : first + n]])
        positions[row, :n] = torch.from_numpy(data.positions_A[first : first + n]).float()
    return species, positions


if __name__ == "__main__":
    sys.exit(main())
