"""Two programs side by side: same weights, same numbers, and the clock at the same places.

Either program may search pairs in every call, or be given pairs that were found once, as training gives them. Only like
is divided by like:

    kept        peer, its fastest setting with pairs kept            / ours, the step alone
    searched    peer, its fastest setting with its own pair search   / ours: pair search, collation and step

A setting is fastest by the same repeats that are reported, for each row anew, so what luck there is goes to the peer.
Before the clock starts all settings of both programs must agree in energies, forces, losses and the size of the weight
gradient. With one thread, seconds are CPU seconds of the process; with more they are those of the clock, since CPU
seconds are summed over threads: the machine must then be idle. All settings take turns, a ratio is that of neighbouring
runs, and its median is given with the least and the greatest.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from models.frames import Frames
from models.networks.potentials.graph import Configuration, Graph, collate
from models.networks.potentials.neighbours import find_neighbours
from models.networks.potentials.potential import PotentialNetwork, evaluate
from models.training.potentials.configurations import with_neighbours
from models.training.potentials.forces import accumulate_gradients
from models.training.potentials.labelled import Labelled
from models.training.potentials.potential_loss import PotentialLoss
from stores.importers.qm9 import find_tables, read_qm9

__all__ = [
    "ENERGIES",
    "FORCES",
    "STEPS",
    "TRAINED",
    "TRAINING",
    "WEIGHT",
    "Setting",
    "compare",
    "in_turns",
    "lone_steps",
    "ours",
    "qm9_molecules",
]

ENERGIES, FORCES, TRAINING = STEPS = ("energies", "energies and forces", "training step with forces")
WEIGHT = 0.1  # of squared force errors beside squared errors of the energy per atom
TRAINED = PotentialLoss(energy=1.0, forces=WEIGHT)
COLUMNS = (
    "| step | kept: peer / ours [min, max] | searched: peer / ours [min, max] | ours, step | peer, pairs kept "
    "| ours, search + collation + step | peer, own search | peer as it comes |\n|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way to run one program. Steps return (energies,), (energies, forces) or (loss,); see STEPS."""

    name: str
    searches: bool  # pairs in every call; otherwise they were found before the clock starts
    steps: Mapping[str, Callable[[], tuple[Tensor, ...]]]
    weights: Sequence[Tensor]  # the training step leaves its gradient there
    usual: bool = False  # what the program does unless told otherwise
    before: Callable[[], object] = field(default=lambda: None)  # outside the clock


def threads() -> int:
    return int(os.environ["OMP_NUM_THREADS"])


def now_s() -> float:
    return time.process_time() if threads() == 1 else time.perf_counter()


def agreement(ours: Setting, others: Sequence[Setting], *, within: float = 1e-3) -> str:
    """The largest differences, in words. Raises SystemExit where one exceeds `within` of the typical size."""
    worst: dict[str, float] = {}
    problems = []
    expected = _results(ours)
    for other in others:
        for name, found in _results(other).items():
            size = expected[name].square().mean().sqrt()
            error = float((found - expected[name]).abs().max() / size)
            worst[name] = max(worst.get(name, 0.0), error)
            if not error < within:
                problems.append(f"{name} of {other.name}: found a difference of {error:.1e}, expected below {within}")
    if problems:
        raise SystemExit("the programs do not compute the same: " + "; ".join(problems))
    return ", ".join(f"{name} {error:.0e}" for name, error in worst.items())


def _results(setting: Setting) -> dict[str, Tensor]:
    setting.before()
    energies, forces = (tensor.detach().double() for tensor in setting.steps[FORCES]())
    (loss,) = setting.steps[TRAINING]()
    gradient = torch.stack([w.grad.double().square().sum() for w in setting.weights if w.grad is not None])
    return {
        "energies": energies.flatten(),
        "energies alone": setting.steps[ENERGIES]()[0].detach().double().flatten(),
        "forces": forces,
        "loss": loss.detach().double(),
        "weight gradient": gradient.sum().sqrt(),
    }


def ours(model: PotentialNetwork, data: Frames) -> list[Setting]:
    """The step alone, from a batch in hand; and search, collation and step, as calculator and training do them."""
    weights = list(model.parameters())
    rows = range(len(data))
    labelled = with_neighbours(data, model.config).batch(rows)

    def energies(graph: Graph, vectors: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return (graph.sum_over_atoms(model(graph, vectors).sum(dim=1)),)

    def forces(graph: Graph, vectors: Tensor) -> tuple[Tensor, ...]:
        found = evaluate(model, graph, vectors)
        return found.energy_M, found.forces_N3

    def training(batch: Labelled) -> tuple[Tensor, ...]:
        for weight in weights:
            weight.grad = None
        return (accumulate_gradients(model, batch, TRAINED).total,)

    def searched() -> tuple[Graph, Tensor]:
        found = []
        for row, first in enumerate(data.first_atom):
            atoms, cell = slice(first, first + data.n_atoms[row]), data.cells_A[row]
            near = find_neighbours(data.positions_A[atoms], cell, data.pbc[row], model.config.cutoff_A)
            found.append(
                Configuration(
                    numbers=data.numbers[atoms], positions_A=data.positions_A[atoms], cell_A=cell, neighbours=near
                )
            )
        return collate(found)

    return [
        Setting(
            name="ours, step",
            searches=False,
            weights=weights,
            steps={
                ENERGIES: lambda: energies(labelled.graph, labelled.vectors_H3),
                FORCES: lambda: forces(labelled.graph, labelled.vectors_H3),
                TRAINING: lambda: training(labelled),
            },
        ),
        Setting(
            name="ours, search, collation and step",
            searches=True,
            weights=weights,
            steps={
                ENERGIES: lambda: energies(*searched()),
                FORCES: lambda: forces(*searched()),
                TRAINING: lambda: training(with_neighbours(data, model.config).batch(rows)),
            },
        ),
    ]


def compare(name: str, ours: Sequence[Setting], peers: Sequence[Setting], repeats: int) -> None:
    """Print what agrees, then a row for each step; `ours` has one setting that searches and one that does not."""
    step = next(s for s in ours if not s.searches)
    total = next(s for s in ours if s.searches)
    print(f"\n## {name}, {threads()} thread{'s' * (threads() > 1)}\n")
    print(f"Largest differences, of the typical size: {agreement(step, [total, *peers])}.\n\n{COLUMNS}", flush=True)
    for what in STEPS:
        spent = in_turns([*ours, *peers], what, repeats)
        kept = min((s for s in peers if not s.searches), key=lambda s: float(np.median(spent[s.name])))
        searched = min((s for s in peers if s.searches), key=lambda s: float(np.median(spent[s.name])))
        usual = next(s for s in peers if s.usual)
        cells = [
            what,
            f"**{_ratio(spent[kept.name], spent[step.name])}**",
            f"**{_ratio(spent[searched.name], spent[total.name])}**",
            _ms(spent[step.name]),
            f"{_ms(spent[kept.name])} ({kept.name})",
            _ms(spent[total.name]),
            f"{_ms(spent[searched.name])} ({searched.name})",
            _ms(spent[usual.name]),
        ]
        print("| " + " | ".join(cells) + " |", flush=True)
        every = ", ".join(f"{s.name} {_ms(spent[s.name])}" for s in peers)
        print(f"{name}, {what}: {every}", file=sys.stderr, flush=True)


def in_turns(settings: Sequence[Setting], what: str, repeats: int) -> dict[str, np.ndarray]:
    """Seconds of every repeat (repeats,), by setting; `agreement` has compiled kernels, one round warms up."""
    spent = {setting.name: np.zeros(repeats + 1) for setting in settings}
    for k in range(repeats + 1):
        for setting in settings:
            setting.before()
            torch.set_num_threads(threads())  # torch.compile sets another number
            run = setting.steps[what]
            start = now_s()
            run()
            spent[setting.name][k] = now_s() - start
    return {name: seconds[1:] for name, seconds in spent.items()}


def lone_steps(steps: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of things that have no counterpart."""
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for k in range(repeats + 1):
        for name, run in steps.items():
            start = now_s()
            run()
            if k:
                spent[name].append(now_s() - start)
    return {name: float(np.median(seconds)) for name, seconds in spent.items()}


def _ms(seconds: np.ndarray) -> str:
    return f"{1e3 * float(np.median(seconds)):.3g}"


def _ratio(peer: np.ndarray, ours: np.ndarray) -> str:
    ratios = peer / ours
    return f"{np.median(ratios):.2g} [{ratios.min():.2g}, {ratios.max():.2g}]"


def qm9_molecules(n_molecules: int, species: tuple[int, ...]) -> Frames:
    """The first of QM9's molecules, drawn at random, that hold no other elements; labels are random numbers."""
    blocks = read_qm9(find_tables(), n_molecules=2 * n_molecules, seed=0).blocks
    n_atoms = np.concatenate([block.n_atoms for block in blocks]).astype(np.int64)
    numbers = np.split(np.concatenate([block.numbers for block in blocks]), np.cumsum(n_atoms)[:-1])
    positions = np.split(np.concatenate([block.positions for block in blocks]), np.cumsum(n_atoms)[:-1])
    rows = [row for row, these in enumerate(numbers) if set(these.tolist()) <= set(species)][:n_molecules]
    random = np.random.default_rng(0)
    return Frames.concatenate(
        Frames.one(
            numbers=numbers[row],
            positions_A=positions[row],
            cell_A=np.zeros((3, 3)),
            pbc=np.zeros(3, dtype=bool),
            energy_eV=random.normal(),
            forces_eV_A=random.normal(size=positions[row].shape),
        )
        for row in rows
    )
