"""One member of one round's ensemble as a task: trained, and asked what it says of the frames that decide.

A member is a pure function of its task. Checkpoints live in a folder of the task and go with it: a training that was
killed is done again, with the same result.
"""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from models.networks.potentials.batched_dynamics import Spread
from models.physics.atoms.reference_energies import robust
from models.training.potentials.configurations import Configurations
from models.training.potentials.potential_settings import PotentialSettings
from pipeline.atoms.potential_networks import NETWORKS
from pipeline.runtime.kept_results import Arrays
from pipeline.runtime.progress import print_training_progress
from stores.atoms import AtomsRecord

__all__ = [
    "Errors",
    "Member",
    "MemberTask",
    "configurations",
    "errors_of",
    "member_of",
    "references",
    "spreads_of",
    "train",
]

WEIGHT = "weight."


@dataclass(frozen=True, kw_only=True)
class Member:
    """A trained network as plain arrays."""

    model: str
    config: Any
    weights: Mapping[str, NDArray[Any]]

    def network(self) -> Any:  # noqa: ANN401 - a PotentialNetwork
        import torch

        kind, _ = NETWORKS[self.model]
        made = kind(self.config)
        tensors = {name: torch.from_numpy(np.array(values)) for name, values in self.weights.items()}
        if any(tensor.dtype == torch.float64 for tensor in tensors.values()):
            reference = made.reference_S
            made.double()
            made.reference_S = reference
        made.load_state_dict(tensors)
        return made.eval()


@dataclass(frozen=True, kw_only=True)
class MemberTask:
    """`start`: weights to go on from. `asked`: sets by name, of which energies and forces are told."""

    model: str
    config: Any
    settings: PotentialSettings
    seed: int
    train: Configurations
    validation: Configurations
    asked: Mapping[str, Configurations]
    start: Mapping[str, NDArray[Any]] | None = None
    name: str = "training"


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Of the ensemble's mean on the frozen test set."""

    energy_rmse_eV_atom: float
    force_rmse_eV_A: float
    energy_mae_eV_atom: float
    force_mae_eV_A: float


def train(task: MemberTask) -> Arrays:
    """Weights, energies and forces of the sets asked for, and a JSON text with history and CPU seconds."""
    import torch

    from models.training.potentials.configurations import with_neighbours
    from models.training.potentials.potential_module import train_potential

    torch.set_num_threads(1)  # products of matrices depend on it in their last digits, and so would all that follows
    begun = time.process_time()
    kind, _ = NETWORKS[task.model]

    def prepared(data: Configurations) -> Any:  # noqa: ANN401 - a ConfigurationSet
        return with_neighbours(
            data,
            cutoff_A=task.config.cutoff_A,
            species=task.config.species,
            reference_energies_eV=task.config.reference_energies_eV,
            dtype=task.settings.torch_dtype,
        )

    network = kind if task.start is None else cast(type, partial(_started, task))
    with tempfile.TemporaryDirectory(prefix="member-") as folder:
        found = train_potential(
            network,
            task.config,
            task.settings,
            train=prepared(task.train),
            validation=prepared(task.validation),
            seed=task.seed,
            checkpoints=folder,
            report=partial(print_training_progress, task.name),
        )
    arrays: Arrays = {WEIGHT + name: value.numpy() for name, value in found.model.state_dict().items()}
    for name, data in task.asked.items():
        energy_M, forces_A3 = _predict(found.model, prepared(data), task.settings.validation_batch)
        arrays |= {f"{name}.energy": energy_M, f"{name}.forces": forces_A3}
    told = {"best_epoch": found.best_epoch, "epochs": found.epochs, "cpu_s": time.process_time() - begun}
    return arrays | {"told": np.array(json.dumps(told))}


def member_of(model: str, config: Any, arrays: Arrays) -> Member:  # noqa: ANN401 - the Config of that network
    weights = {name.removeprefix(WEIGHT): values for name, values in arrays.items() if name.startswith(WEIGHT)}
    return Member(model=model, config=config, weights=weights)


def configurations(records: Sequence[AtomsRecord]) -> Configurations:
    """Labelled records as training knows them; a missing stress is NaN."""
    none = np.full((3, 3), np.nan)
    return Configurations(
        numbers_A=np.concatenate([r.numbers for r in records]),
        positions_A3=np.concatenate([r.positions_A for r in records]),
        n_atoms_M=np.array([len(r.numbers) for r in records], dtype=np.int64),
        cell_M33=np.stack([np.zeros((3, 3)) if r.cell_A is None else r.cell_A for r in records]),
        pbc_M3=np.array([r.periodic for r in records], dtype=bool),
        energy_M=np.array([r.energy_eV for r in records]),
        forces_A3=np.concatenate([_forces(r) for r in records]),
        stress_M33=np.stack([none if r.stress_eV_A3 is None else r.stress_eV_A3 for r in records]),
    )


def references(data: Configurations) -> tuple[tuple[float, ...], float]:
    """Reference energies of the elements, in the order of `data.species`, and the rms force as energy scale."""
    found = robust(np.array(data.species), data.counts_MS(data.species).astype(np.int64), data.energy_M)
    scale = float(np.sqrt(np.nanmean(data.forces_A3**2)))
    return tuple(found.energies_eV.tolist()), scale if scale > 0 else 1.0


def errors_of(members: Sequence[Arrays], name: str, data: Configurations) -> Errors:
    """Of the members' mean on the set `name`, which they were asked."""
    energy = np.mean([m[f"{name}.energy"] for m in members], axis=0)
    forces = np.mean([m[f"{name}.forces"] for m in members], axis=0)
    energy_error, force_error = (energy - data.energy_M) / data.n_atoms_M, forces - data.forces_A3
    return Errors(
        energy_rmse_eV_atom=float(np.sqrt(np.mean(energy_error**2))),
        force_rmse_eV_A=float(np.sqrt(np.mean(force_error**2))),
        energy_mae_eV_atom=float(np.mean(np.abs(energy_error))),
        force_mae_eV_A=float(np.mean(np.abs(force_error))),
    )


def spreads_of(members: Sequence[Arrays], name: str, data: Configurations) -> list[Spread]:
    """How far members disagree on each frame of the set `name`."""
    energy_M = np.std([m[f"{name}.energy"] for m in members], axis=0) / data.n_atoms_M
    forces_A3 = np.std([m[f"{name}.forces"] for m in members], axis=0)
    frames = np.split(forces_A3, np.cumsum(data.n_atoms_M)[:-1])
    return [
        Spread(energy_eV_atom=float(e), force_mean_eV_A=float(f.mean()), force_max_eV_A=float(f.max()))
        for e, f in zip(energy_M, frames, strict=True)
    ]


def _started(task: MemberTask, config: Any) -> Any:  # noqa: ANN401 - stands for the network's class
    return Member(model=task.model, config=config, weights=task.start or {}).network().train()


def _forces(record: AtomsRecord) -> NDArray[np.float64]:
    if record.forces_eV_A is None:
        return np.full((len(record.numbers), 3), np.nan)
    return np.asarray(record.forces_eV_A, dtype=np.float64)


def _predict(model: Any, data: Any, batch: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # noqa: ANN401
    from models.networks.potentials.potential import evaluate

    energies, forces = [], []
    for start in range(0, len(data), batch):
        labelled = data.batch(range(start, min(start + batch, len(data))))
        found = evaluate(model, labelled.graph, labelled.vectors_H3)
        energies.append(found.energy_M.numpy())
        forces.append(found.forces_N3.double().numpy())
    return np.concatenate(energies), np.concatenate(forces)
