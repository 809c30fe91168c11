"""Our HIP-NN and HIP-NN-TS beside hippynn at its best: inference and force training, same weights, same numbers.

    make peers && pip install qm9pack
    OMP_NUM_THREADS=1 python benchmarks/hipnn_speed.py [--repeats 9] [--only "HIP-NN-TS"]

With HIP-NN-TS comes a table of ours alone: HIP-NN, l = 1 and l = 2 in turns, all else equal.

Batches: 64 molecules drawn from QM9, and 4 rattled fcc cells of 108 atoms of aluminium (cutoff 7.5 A). What is divided
by what is told in benchmarks/side_by_side.py. hippynn 0.1.3 runs in every setting that it has on CPUs:

pairs       searched in every call: open or periodic (its defaults), or one system after another; kept: by its own
            precompute_pairs (which takes periodic systems only), or by calling its modules with pairs, offsets and
            one-hot elements in hand, which spares all of its graph ("bare network"). Its KD tree wants cells of twice
            the cutoff, more than 108 atoms have
kernels     numba (its default where numba is installed), pytorch (compiled by torch.compile), and sparse where no atom
            sees two images of another, as it demands; its triton and cupy kernels need a GPU

The batch of the peer is made before the clock starts in every setting. Force training goes backward twice in both.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**30))  # as workers of the pipeline have it: freed memory is kept
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**30))

import argparse
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from side_by_side import (
    ENERGIES,
    FORCES,
    STEPS,
    TRAINED,
    TRAINING,
    WEIGHT,
    Setting,
    compare,
    in_turns,
    lone_steps,
    ours,
    qm9_molecules,
)
from torch import Tensor

from models.frames import Frames
from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.hipnn_ts import HIPNNTS
from models.networks.potentials.hippynn_weights import hippynn_network, hippynn_settings, to_hippynn
from models.training.potentials.configurations import with_neighbours
from models.training.potentials.forces import accumulate_gradients
from pipeline.atoms.force_training_systems import aluminium_cells

QM9 = {"species": (1, 6, 7, 8, 9), "cutoff_A": 6.5, "soft_min_A": 0.75, "soft_max_A": 5.5}
METAL = {"species": (13,), "cutoff_A": 7.5, "soft_min_A": 1.25, "soft_max_A": 7.0}


@dataclass(frozen=True)
class Case:
    name: str
    data: Frames
    config: HIPNN.Config

    def model(self) -> HIPNN:
        torch.manual_seed(0)
        return (HIPNNTS if isinstance(self.config, HIPNNTS.Config) else HIPNN)(self.config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    molecules, metal = qm9_molecules(64, QM9["species"]), aluminium_cells(4, rattle_A=0.1, seed=0)
    cases = [
        Case("QM9, 20 features, 2 interactions", molecules, HIPNN.Config(**QM9, n_features=20)),
        Case("QM9, 80 features, 2 interactions", molecules, HIPNN.Config(**QM9, n_features=80)),
        Case("Al 108, 10 features, 1 interaction", metal, HIPNN.Config(**METAL, n_features=10, n_interactions=1)),
        Case("Al 108, 60 features, 2 interactions", metal, HIPNN.Config(**METAL, n_features=60)),
    ]
    cases += [
        Case(f"{where}, 20 features, 2 interactions, HIP-NN-TS l = {l_max}", data, HIPNNTS.Config(**sizes, l_max=l_max))
        for where, data, sizes in (("QM9", molecules, QM9), ("Al 108", metal, METAL))
        for l_max in (1, 2)
    ]
    for case in (case for case in cases if arguments.only in case.name):
        model = case.model()
        compare(case.name, ours(model, case.data), hippynn(case, model), arguments.repeats)
        batch = with_neighbours(case.data, case.config).batch(range(len(case.data)))
        difference = partial(accumulate_gradients, model, batch, TRAINED, method="finite_difference")
        print(f"\nOurs by finite differences, the step alone: {lone_steps({'': difference}, arguments.repeats)['']}")
    if arguments.only in "HIP-NN-TS":
        for name, data, sizes in (("QM9", molecules, QM9), ("Al 108", metal, METAL)):
            beside_hipnn(name, data, sizes, arguments.repeats)


def beside_hipnn(name: str, data: Frames, sizes: dict[str, Any], repeats: int) -> None:
    """Print what directions cost: our steps of HIP-NN and of HIP-NN-TS, pairs kept."""
    cases = [Case("HIP-NN", data, HIPNN.Config(**sizes))]
    cases += [Case(f"l = {l_max}", data, HIPNNTS.Config(**sizes, l_max=l_max)) for l_max in (1, 2)]
    settings = [replace(ours(case.model(), data)[0], name=case.name) for case in cases]
    print(f"\n## {name}, ours with and without directions\n\n| step | HIP-NN | l = 1 | l = 2 |\n|---|---|---|---|")
    for what in STEPS:
        spent = in_turns(settings, what, repeats)
        ms = [f"{1e3 * float(np.median(seconds)):.3g}" for seconds in spent.values()]
        times = [f" ({np.median(seconds / spent['HIP-NN']):.2f})" for seconds in spent.values()]
        print(f"| {what} | {ms[0]} | {ms[1]}{times[1]} | {ms[2]}{times[2]} |", flush=True)


def hippynn(case: Case, model: HIPNN) -> list[Setting]:
    """The settings worth a run, with the weights of `model`."""
    from hippynn.custom_kernels import set_custom_kernels
    from hippynn.graphs.nodes import pairs

    periodic = bool(case.data.pbc.any())
    usual = ("periodic search", "numba") if periodic else ("open search", "numba")
    tried = [usual, ("bare network", "numba"), ("bare network", "pytorch")]
    tried += [("search one by one", "pytorch"), ("precompute_pairs", "pytorch")] if periodic else []
    tried += [] if periodic else [("open search", "pytorch"), ("bare network", "sparse")]
    made: dict[str, Callable[[], tuple[Energies, EnergiesAndForces, list[Tensor]]]] = {
        "open search": lambda: graph(case, model, pairs.OpenPairIndexer),
        "periodic search": lambda: graph(case, model, pairs.PeriodicPairIndexer),
        "search one by one": lambda: graph(case, model, pairs.DynamicPeriodicPairs),
        "precompute_pairs": lambda: graph(case, model, pairs.PeriodicPairIndexer, keep=True),
        "bare network": lambda: bare_network(case, model),
    }
    settings = []
    for way, kernels in tried:
        parts = made[way]()
        settings.append(
            Setting(
                name=f"{way}, {kernels}",
                searches="search" in way,
                steps=steps(case.data, *parts),
                weights=parts[2],
                usual=(way, kernels) == usual,
                before=partial(set_custom_kernels, kernels),
            )
        )
    return settings


Energies = Callable[[Tensor], Tensor]  # positions (M, atoms, 3) to energies (M, 1)
EnergiesAndForces = Callable[[Tensor], tuple[Tensor, Tensor]]  # forces (M, atoms, 3)


def steps(
    data: Frames, energies: Energies, both: EnergiesAndForces, weights: list[Tensor]
) -> dict[str, Callable[[], tuple[Tensor, ...]]]:
    _, positions, _ = padded(data)
    wanted, per_atom = torch.from_numpy(data.energies_eV).float()[:, None], 1 / torch.from_numpy(data.n_atoms)[:, None]
    forces_wanted = torch.zeros_like(positions)
    real = torch.arange(positions.shape[1])[None] < torch.from_numpy(data.n_atoms)[:, None]
    forces_wanted[real] = torch.from_numpy(data.forces_eV_A).float()
    n_components = 3 * int(data.n_atoms.sum())

    def only_energies() -> tuple[Tensor, ...]:
        with torch.no_grad():
            return (energies(positions),)

    def energies_and_forces() -> tuple[Tensor, ...]:
        found, forces = both(positions.clone().requires_grad_(True))
        return found, forces[real]

    def training() -> tuple[Tensor, ...]:
        for weight in weights:
            weight.grad = None
        found, forces = both(positions.clone().requires_grad_(True))
        loss = ((found - wanted) * per_atom).square().mean()
        loss = loss + WEIGHT * (forces - forces_wanted).square().sum() / n_components
        loss.backward(inputs=weights)
        return (loss,)

    return {ENERGIES: only_energies, FORCES: energies_and_forces, TRAINING: training}


def graph(
    case: Case,
    model: HIPNN,
    search: Any,  # noqa: ANN401 - a class of hippynn
    keep: bool = False,
) -> tuple[Energies, EnergiesAndForces, list[Tensor]]:
    """hippynn as its documentation builds it; `keep`: after its precompute_pairs."""
    from hippynn.experiment.assembly import precompute_pairs
    from hippynn.graphs import GraphModule, get_subgraph, inputs, networks, physics, targets
    from hippynn.graphs.nodes.base import InputNode
    from hippynn.graphs.nodes.indexers import acquire_encoding_padding

    periodic = bool(case.data.pbc.any())
    species, positions = inputs.SpeciesNode(db_name="Z"), inputs.PositionsNode(db_name="R")
    cell = [inputs.CellNode(db_name="C")] if periodic else []
    options = hippynn_settings(case.config)
    encoder, padding = acquire_encoding_padding(species, species_set=options["possible_species"])
    found = search("pairs", (positions, encoder, padding, *cell), dist_hard_max=case.config.cutoff_A)
    network = getattr(networks, hippynn_network(case.config))(
        "network", (padding, found), periodic=periodic, module_kwargs=options
    )
    energy = targets.HEnergyNode("energy", network)
    force = physics.GradientNode("force", (energy.mol_energy, positions), sign=-1)
    copy_weights(model, network.torch_module, energy.torch_module)
    numbers, places, cells = padded(case.data)
    values = {"Z": numbers, "R": places, "C": cells}
    if keep:
        database = SimpleNamespace(splits={"train": dict(values)})
        precompute_pairs(
            GraphModule([species, positions, *cell], [energy.mol_energy]), database, batch_size=len(places)
        )
        values = database.splits["train"]
    nodes = [node for node in get_subgraph([energy.mol_energy]) if isinstance(node, InputNode)]
    rest = [node for node in nodes if node is not positions]
    constants = [values[node.db_name] for node in rest]
    only, both = (
        GraphModule([positions, *rest], [energy.mol_energy]),
        GraphModule([positions, *rest], [energy.mol_energy, force]),
    )

    def energies(place: Tensor) -> Tensor:
        return only(place, *constants)[0]

    def energies_and_forces(place: Tensor) -> tuple[Tensor, Tensor]:
        found_energy, found_force = both(place, *constants)
        return found_energy, found_force

    return energies, energies_and_forces, [weight for weight in both.parameters() if weight.requires_grad]


def bare_network(case: Case, model: HIPNN) -> tuple[Energies, EnergiesAndForces, list[Tensor]]:
    """Its network and readout as modules, and all that does not depend on positions or weights kept."""
    from hippynn.layers.targets import HEnergy
    from hippynn.networks import hipnn

    tensors = isinstance(case.config, HIPNNTS.Config)
    network = getattr(hipnn, hippynn_network(case.config))(**hippynn_settings(case.config))
    readout = HEnergy(network.feature_sizes)
    copy_weights(model, network, readout)
    labelled = with_neighbours(case.data, case.config).batch(range(len(case.data)))
    near = labelled.graph
    first, second = torch.cat([near.first_H, near.second_H]), torch.cat([near.second_H, near.first_H])
    vectors = torch.cat([labelled.vectors_H3, -labelled.vectors_H3])
    order = torch.argsort(first, stable=True)
    first, second, vectors = first[order], second[order], vectors[order]
    one_hot = torch.nn.functional.one_hot(model.species_N(near), len(case.config.species)).float()
    _, places, _ = padded(case.data)
    real = (torch.arange(places.shape[1])[None] < near.n_atoms_M[:, None]).flatten().nonzero()[:, 0]
    start = places.view(-1, 3)[real]
    offsets = vectors - (start[second] - start[first])

    def energies(place: Tensor) -> Tensor:
        atoms = place.view(-1, 3)[real]
        apart = atoms[second] - atoms[first] + offsets
        geometry = (apart.norm(dim=1), apart) if tensors else (apart.norm(dim=1),)
        return readout(network(one_hot, first, second, *geometry), near.config_N, near.n_configs)[0]

    def energies_and_forces(place: Tensor) -> tuple[Tensor, Tensor]:
        found = energies(place)
        (slope,) = torch.autograd.grad(found.sum(), place, create_graph=True)
        return found, -slope

    return energies, energies_and_forces, [*network.parameters(), *readout.parameters()]


def copy_weights(model: HIPNN, network: torch.nn.Module, readout: torch.nn.Module) -> None:
    state = {name: tensor.float() for name, tensor in to_hippynn(model).items()}
    present = network.state_dict()
    network.load_state_dict(present | {name: tensor for name, tensor in state.items() if name in present})
    readout.load_state_dict({n.removeprefix("energy."): t for n, t in state.items() if n.startswith("energy.")})


def padded(data: Frames) -> tuple[Tensor, Tensor, Tensor]:
    """Numbers (M, atoms), positions (M, atoms, 3), cells (M, 3, 3)."""
    width = int(data.n_atoms.max())
    numbers = torch.zeros(len(data), width, dtype=torch.int64)
    positions = torch.zeros(len(data), width, 3)
    for row, (first, n) in enumerate(zip(data.first_atom, data.n_atoms, strict=True)):
        numbers[row, :n] = torch.from_numpy(data.numbers[first : first + n].astype(np.int64))
        positions[row, :n] = torch.from_numpy(data.positions_A[first : first + n]).float()
    return numbers, positions, torch.from_numpy(data.cells_A).float()


if __name__ == "__main__":
    sys.exit(main())
