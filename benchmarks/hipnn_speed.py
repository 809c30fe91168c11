"""Our HIP-NN beside hippynn: training steps and inference, same sizes, data, batch and threads, in one run.

    make peers && pip install qm9pack
    python benchmarks/hipnn_speed.py [--repeats 9] [--threads 1]

Batches: 64 molecules drawn from QM9, and 4 rattled fcc cells of 108 atoms of aluminium (cutoff 7.5 A).
hippynn 0.1.3 runs as it comes: message-passing kernels compiled by torch.compile (warmed up before the clock starts)
and its own pair search, open or periodic, in every call. Ours searches pairs once per configuration and keeps them, as
in training; the search alone is given beside. Seconds are CPU seconds of the process, medians of repeats in turns.

energy        gradient of an energy loss with respect to all weights
forces        gradient of an energy and force loss; double backward in both, and our finite difference
evaluation    energies and forces, no training
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**30))  # as workers of the pipeline have it: freed memory is kept
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**30))

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from models.frames import Frames
from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.hippynn_weights import hippynn_settings
from models.networks.potentials.neighbours import find_neighbours
from models.networks.potentials.potential import evaluate
from models.training.potentials.configurations import with_neighbours
from models.training.potentials.forces import accumulate_gradients
from models.training.potentials.labelled import Labelled
from models.training.potentials.potential_loss import PotentialLoss
from pipeline.atoms.force_training_systems import aluminium_cells
from stores.importers.qm9 import find_tables, read_qm9

ENERGY, FORCES = PotentialLoss(energy=1.0, forces=0.0), PotentialLoss(energy=1.0, forces=0.1)
QM9 = {"species": (1, 6, 7, 8, 9), "cutoff_A": 6.5, "soft_min_A": 0.75, "soft_max_A": 5.5}
METAL = {"species": (13,), "cutoff_A": 7.5, "soft_min_A": 1.25, "soft_max_A": 7.0}


@dataclass(frozen=True)
class Case:
    name: str
    data: Frames
    config: HIPNN.Config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    molecules, metal = qm9_molecules(64), aluminium_cells(4, rattle_A=0.1, seed=0)
    cases = [
        Case("QM9, 20 features, 2 interactions", molecules, HIPNN.Config(**QM9, n_features=20)),
        Case("QM9, 80 features, 2 interactions", molecules, HIPNN.Config(**QM9, n_features=80)),
        Case("Al 108, 10 features, 1 interaction", metal, HIPNN.Config(**METAL, n_features=10, n_interactions=1)),
        Case("Al 108, 60 features, 2 interactions", metal, HIPNN.Config(**METAL, n_features=60)),
    ]
    print(f"{arguments.threads} thread(s), torch {torch.__version__}, milliseconds of the CPU a batch\n")
    print("| batch and network | step | hippynn | ours | ratio | configurations per CPU s |\n|---|---|---|---|---|---|")
    for case in cases:
        compare(case, arguments.repeats, arguments.threads)


def compare(case: Case, repeats: int, threads: int) -> None:
    torch.manual_seed(0)
    ours, theirs = our_steps(case), hippynn_steps(case)
    steps = {f"ours {name}": step for name, step in ours.items()} | {f"theirs {n}": step for n, step in theirs.items()}
    for step in steps.values():
        step()
        step()
    torch.set_num_threads(threads)  # compilation sets another number
    spent = medians(steps, repeats)
    for name in ours:
        peer = spent["theirs forces" if name.startswith("forces") else f"theirs {name}"]
        mine = spent[f"ours {name}"]
        rate = len(case.data) / mine
        print(
            f"| {case.name} | {name} | {1e3 * peer:.1f} | {1e3 * mine:.1f} | {peer / mine:.1f} | {rate:,.0f} |",
            flush=True,
        )
    start = time.process_time()
    for row, first in enumerate(case.data.first_atom):
        atoms = slice(first, first + case.data.n_atoms[row])
        find_neighbours(case.data.positions_A[atoms], case.data.cells_A[row], case.data.pbc[row], case.config.cutoff_A)
    print(f"| {case.name} | pair search, once | | {1e3 * (time.process_time() - start):.1f} | | |", flush=True)


def our_steps(case: Case) -> dict[str, Callable[[], object]]:
    model = HIPNN(case.config)
    prepared = with_neighbours(case.data, case.config)
    rows = list(range(len(case.data)))
    batch = prepared.batch(rows)

    def step(loss: PotentialLoss, method: str) -> object:
        model.zero_grad()
        return accumulate_gradients(model, prepared.batch(rows), loss, method=method)  # making the batch counts too

    return {
        "energy": partial(step, ENERGY, "double_backward"),
        "forces": partial(step, FORCES, "double_backward"),
        "forces, finite difference": partial(step, FORCES, "finite_difference"),
        "evaluation": lambda: evaluated(model, batch),
    }


def evaluated(model: HIPNN, batch: Labelled) -> Tensor:
    return evaluate(model, batch.graph, batch.vectors_H3).forces_N3


def hippynn_steps(case: Case) -> dict[str, Callable[[], object]]:
    from hippynn.graphs import GraphModule, inputs, networks, physics, targets

    periodic = bool(case.data.pbc.any())
    nodes = [inputs.SpeciesNode(db_name="Z"), inputs.PositionsNode(db_name="R")]
    if periodic:
        nodes.append(inputs.CellNode(db_name="C"))
    network = networks.Hipnn("network", tuple(nodes), periodic=periodic, module_kwargs=hippynn_settings(case.config))
    energy = targets.HEnergyNode("energy", network)
    force = physics.GradientNode("force", (energy.mol_energy, nodes[1]), sign=-1)
    only_energy = GraphModule(nodes, [energy.mol_energy])
    both = GraphModule(nodes, [energy.mol_energy, force])
    numbers, positions, cells = padded(case.data)
    rest = [cells] if periodic else []
    wanted = torch.from_numpy(case.data.energies_eV).float()[:, None]

    def energy_step() -> None:
        only_energy.zero_grad()
        (found,) = only_energy(numbers, positions, *rest)
        (found - wanted).square().mean().backward()

    def predicted() -> tuple[Tensor, Tensor]:
        found, forces = both(numbers, positions.clone().requires_grad_(True), *rest)
        return found, forces

    def force_step() -> None:
        both.zero_grad()
        found, forces = predicted()
        ((found - wanted).square().mean() + forces.square().mean()).backward()

    return {"energy": energy_step, "forces": force_step, "evaluation": predicted}


def padded(data: Frames) -> tuple[Tensor, Tensor, Tensor]:
    width = int(data.n_atoms.max())
    numbers = torch.zeros(len(data), width, dtype=torch.int64)
    positions = torch.zeros(len(data), width, 3)
    for row, (first, n) in enumerate(zip(data.first_atom, data.n_atoms, strict=True)):
        numbers[row, :n] = torch.from_numpy(data.numbers[first : first + n].astype(np.int64))
        positions[row, :n] = torch.from_numpy(data.positions_A[first : first + n]).float()
    return numbers, positions, torch.from_numpy(data.cells_A).float()


def medians(steps: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = time.process_time()
            step()
            spent[name].append(time.process_time() - start)
    return {name: float(np.median(values)) for name, values in spent.items()}


def qm9_molecules(n_molecules: int) -> Frames:
    blocks = read_qm9(find_tables(), n_molecules=n_molecules, seed=0).blocks
    n_atoms = np.concatenate([block.n_atoms for block in blocks]).astype(np.int64)
    total = int(n_atoms.sum())
    n_frames = len(n_atoms)
    return Frames(
        numbers=np.concatenate([block.numbers for block in blocks]),
        positions_A=np.concatenate([block.positions for block in blocks]),
        n_atoms=n_atoms,
        cells_A=np.zeros((n_frames, 3, 3)),
        pbc=np.zeros((n_frames, 3), dtype=bool),
        energies_eV=np.random.default_rng(0).normal(size=n_frames),
        forces_eV_A=np.random.default_rng(1).normal(size=(total, 3)),
        stresses_eV_A3=np.full((n_frames, 3, 3), np.nan),
        charges_e=np.full(total, np.nan),
        groups=np.arange(n_frames),
        sources=np.full(n_frames, ""),
        provenances=np.full(n_frames, ""),
        failures=np.full(n_frames, ""),
    )


if __name__ == "__main__":
    sys.exit(main())
