"""Ensembles of potentials: members trained as tasks, what they predict, how far that is off and how far they disagree.

A member is a pure function of its task, so members of several ensembles run side by side wherever the caller sends
them. It is trained, then asked for energies and forces of whatever sets decide something. Everything is in eV, eV/A;
errors of energies are per atom.
"""

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.loggers import Logger
from numpy.typing import NDArray

from models.frames import FloatArray, Frames
from models.networks.potentials.potential import PotentialConfig, PotentialNetwork, evaluate
from models.physics.atoms.reference_energies import robust
from models.training.potentials.configurations import ConfigurationSet, with_neighbours
from models.training.potentials.potential_module import train_potential, validation_loss
from models.training.potentials.potential_settings import PotentialSettings
from models.training.progress import TrainingProgress

__all__ = [
    "Errors",
    "Member",
    "MemberTask",
    "Prediction",
    "Weights",
    "errors_of",
    "frame_errors",
    "kept_sets",
    "mean_prediction",
    "network_of",
    "predict",
    "references_of",
    "spreads_of",
    "train_member",
]

Weights = Mapping[str, NDArray[Any]]
TRAIN, VALIDATION = "train", "validation"
BEFORE = -1  # the epoch of weights that a training starts from


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Of one set of frames."""

    energies_eV: FloatArray  # (M,) total
    forces_eV_A: FloatArray  # (N, 3)


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Of a prediction; NaN where the set has no such label."""

    energy_rmse_eV_atom: float
    force_rmse_eV_A: float
    energy_mae_eV_atom: float
    force_mae_eV_A: float


@dataclass(frozen=True, kw_only=True)
class MemberTask:
    """One training. `sets` are "train", "validation" and those that the member is asked of; or a file of `kept_sets`.

    `start`: weights to go on from; with `keeps_start` they are the result where no epoch has a lower validation loss,
    and the history begins with them, as epoch -1. `checkpoints`: a folder of this task alone, where a training that was
    killed goes on; without one it is done again, with the same result.
    """

    name: str
    network: Callable[[Any], PotentialNetwork]
    config: PotentialConfig
    settings: PotentialSettings
    seed: int
    sets: Mapping[str, Frames] | Path
    start: Weights | None = None
    keeps_start: bool = False
    checkpoints: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Member:
    """A trained network as plain arrays, and what it says of the sets it was asked of."""

    weights: Mapping[str, NDArray[Any]]
    predictions: Mapping[str, Prediction]
    best_epoch: int  # -1: the weights that it started from
    best_objective: float
    epochs: int
    history: str  # JSON, one record for each validation
    cpu_s: float


def train_member(
    task: MemberTask,
    *,
    devices: int = 1,
    report: Callable[[str, TrainingProgress], None] | None = None,
    curves: Callable[[Path], AbstractContextManager[Logger]] | None = None,
) -> Member:
    """Train and predict.

    `report` is called now and then with the name and the progress; `curves` makes a logger for the folder of
    checkpoints.
    """
    if not torch.cuda.is_available():
        torch.set_num_threads(1)  # products of matrices depend on it in their last digits, and so does all that follows
    begun = time.process_time()
    sets = dict(task.sets if isinstance(task.sets, Mapping) else _read_sets(task.sets))
    prepared = partial(with_neighbours, config=task.config, dtype=task.settings.torch_dtype)
    before = _before(task, sets[VALIDATION]) if task.keeps_start else None
    with _folder(task.checkpoints) as folder, curves(folder) if curves else nullcontext() as logger:
        trained = train_potential(
            task.network if task.start is None else partial(_started, task),
            task.config,
            task.settings,
            train=prepared(sets.pop(TRAIN)),
            validation=prepared(sets.pop(VALIDATION)),
            seed=task.seed,
            checkpoints=folder,
            devices=devices,
            logger=logger,
            report=None if report is None else partial(report, task.name),
        )
    model, best_epoch, objective = trained.model, trained.best_epoch, trained.best_objective
    if before is not None and before["validation_loss"] <= objective:
        model, best_epoch, objective = _started(task, task.config).eval(), BEFORE, before["validation_loss"]
    batch = task.settings.validation_batch
    return Member(
        weights={name: value.numpy() for name, value in model.state_dict().items()},
        predictions={name: predict(model, prepared(frames), batch) for name, frames in sets.items()},
        best_epoch=best_epoch,
        best_objective=objective,
        epochs=trained.epochs,
        history=json.dumps([*([] if before is None else [before]), *trained.history]),
        cpu_s=time.process_time() - begun,
    )


def predict(model: PotentialNetwork, data: ConfigurationSet, batch: int) -> Prediction:
    """Total energies and forces, `batch` frames at a time."""
    energies, forces = [], []
    for start in range(0, len(data), batch):
        labelled = data.batch(range(start, min(start + batch, len(data))))
        prediction = evaluate(model, labelled.graph, labelled.vectors_H3)
        energies.append(prediction.energy_M.numpy())
        forces.append(prediction.forces_N3.double().numpy())
    return Prediction(energies_eV=np.concatenate(energies), forces_eV_A=np.concatenate(forces))


def network_of(
    network: Callable[[PotentialConfig], PotentialNetwork], config: PotentialConfig, weights: Weights
) -> PotentialNetwork:
    """The network with these weights, in their precision and evaluation mode."""
    made = network(config)
    tensors = {name: torch.from_numpy(np.array(values)) for name, values in weights.items()}
    if any(tensor.dtype == torch.float64 for tensor in tensors.values()):
        reference = made.reference_S
        made.double()
        made.reference_S = reference
    made.load_state_dict(tensors)
    return made.eval()


def mean_prediction(members: Sequence[Prediction]) -> Prediction:
    """Of the ensemble."""
    return Prediction(
        energies_eV=np.mean([m.energies_eV for m in members], axis=0),
        forces_eV_A=np.mean([m.forces_eV_A for m in members], axis=0),
    )


def errors_of(predicted: Prediction, frames: Frames) -> Errors:
    """Over the labels that are there."""
    energy_M = (predicted.energies_eV - frames.energies_eV) / frames.n_atoms
    energy, force = _given(energy_M), _given(predicted.forces_eV_A - frames.forces_eV_A)
    return Errors(
        energy_rmse_eV_atom=float(np.sqrt(np.mean(energy**2))),
        force_rmse_eV_A=float(np.sqrt(np.mean(force**2))),
        energy_mae_eV_atom=float(np.mean(np.abs(energy))),
        force_mae_eV_A=float(np.mean(np.abs(force))),
    )


def spreads_of(members: Sequence[Prediction], frames: Frames) -> FloatArray:
    """How far members disagree on each frame, (M, 3) as models.networks.potentials.ensemble.SPREADS."""
    energy_M = np.std([m.energies_eV for m in members], axis=0) / frames.n_atoms
    forces_N3 = np.std([m.forces_eV_A for m in members], axis=0)
    of_frames = np.split(forces_N3, frames.first_atom[1:])
    return np.array([[e, f.mean(), f.max()] for e, f in zip(energy_M, of_frames, strict=True)]).reshape(-1, 3)


def frame_errors(predicted: Prediction, frames: Frames) -> FloatArray:
    """Absolute errors on each frame, (M, 3): what `spreads_of` is to be compared with."""
    energy_M = np.abs(predicted.energies_eV - frames.energies_eV) / frames.n_atoms
    of_frames = np.split(np.abs(predicted.forces_eV_A - frames.forces_eV_A), frames.first_atom[1:])
    return np.array([[e, f.mean(), f.max()] for e, f in zip(energy_M, of_frames, strict=True)]).reshape(-1, 3)


def references_of(frames: Frames, given: Mapping[int, float] | None = None) -> tuple[float, ...]:
    """Reference energies of the elements [eV], in the order of `frames.species`: fitted corrections to those given."""
    start = np.array([(given or {}).get(number, 0.0) for number in frames.species])
    known = np.isfinite(frames.energies_eV)
    if not known.any():
        return tuple(start.tolist())
    counts = frames.counts(frames.species)[known].astype(np.int64)
    rest = robust(np.array(frames.species), counts, frames.energies_eV[known] - counts @ start)
    return tuple((start + rest.energies_eV).tolist())


def kept_sets(path: Path, sets: Mapping[str, Frames]) -> Path:
    """Write the sets of a task to a file, for workers that should not each be sent them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f"{name}/{key}": array for name, frames in sets.items() for key, array in frames.arrays().items()}
    np.savez(path, allow_pickle=False, **arrays)
    return path


def _read_sets(path: Path) -> dict[str, Frames]:
    with np.load(path) as file:
        names = dict.fromkeys(key.partition("/")[0] for key in file.files)
        return {name: Frames(**{f.name: file[f"{name}/{f.name}"] for f in fields(Frames)}) for name in names}


def _started(task: MemberTask, config: PotentialConfig) -> PotentialNetwork:
    """Stands for the network's class where a training goes on from other weights."""
    return network_of(task.network, config, task.start or {}).train()


def _before(task: MemberTask, frames: Frames) -> dict[str, float]:
    """The record of a history that the start would have; without what a step has."""
    data = with_neighbours(frames, task.config, task.settings.torch_dtype)
    model = _started(task, task.config).eval()
    errors = errors_of(predict(model, data, task.settings.validation_batch), frames)
    nothing = float("nan")
    return {
        "epoch": BEFORE,
        "step": 0,
        "learning_rate": nothing,
        "batch_size": nothing,
        "train_loss": nothing,
        "validation_loss": validation_loss(model, data, task.settings),
        "energy_mae_eV_atom": errors.energy_mae_eV_atom,
        "energy_rmse_eV_atom": errors.energy_rmse_eV_atom,
        "force_mae_eV_A": errors.force_mae_eV_A,
        "force_rmse_eV_A": errors.force_rmse_eV_A,
    }


@contextlib.contextmanager
def _folder(checkpoints: Path | None) -> Iterator[Path]:
    if checkpoints is not None:
        yield checkpoints
        return
    with tempfile.TemporaryDirectory(prefix="member-") as folder:
        yield Path(folder)


def _given(values: FloatArray) -> FloatArray:
    """The finite ones; NaN alone where there are none, so that means are NaN too."""
    finite = values[np.isfinite(values)]
    return finite if finite.size else np.array([np.nan])
