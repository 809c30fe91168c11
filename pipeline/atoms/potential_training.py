"""Ensembles of potentials trained from a store, one task per member, and the folders they leave.

Members are tasks of models.training.potentials.ensembles; they run side by side wherever pipeline.runtime.execution
says, and their number of workers changes no bit. Work lies in a scratch folder named after all that shapes the result:
the same command finds its results and checkpoints there and goes on. A finished potential is moved into place whole:

    MODEL_DIR/potential.json    model, number of members, level of theory, units, species, split, settings, metrics
    MODEL_DIR/split.npy         of every row of the store: 0 trained on, 1 validation, 2 test, -1 not used
    MODEL_DIR/baseline/         the potential that this one completes, where its baseline is one
    MODEL_DIR/member_<i>/       model.safetensors, config.json, history.csv, live/ (DVCLive)
"""

import csv
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.frames import Frames
from models.networks.potentials.baseline import Baseline
from models.networks.potentials.ensemble import save_potential
from models.networks.potentials.potential import PotentialNetwork
from models.training.potentials.ensembles import (
    Member,
    MemberTask,
    Prediction,
    Weights,
    errors_of,
    kept_sets,
    mean_prediction,
    network_of,
    train_member,
)
from models.training.potentials.potential_settings import PotentialSettings
from pipeline.atoms.potential_data import TrainingData
from pipeline.runtime.execution import load_execution, run_tasks
from pipeline.runtime.gpus import for_training, n_devices
from pipeline.runtime.kept_results import KeptResults
from pipeline.runtime.live_curves import live_curves
from pipeline.runtime.progress import print_training_progress
from pipeline.runtime.records import plain
from stores.building import building

if TYPE_CHECKING:
    from dvclive.lightning import DVCLiveLogger

__all__ = ["KIND", "UNITS", "EnsembleJob", "Trained", "measured", "publish", "train_ensembles"]

LIVE = "live"
KIND = "potential"  # of folder: what is replaced is what an earlier run made as one
UNITS = {"energy": "eV", "length": "A", "force": "eV/A", "stress": "eV/A^3"}


@dataclass(frozen=True, kw_only=True)
class EnsembleJob:
    """One potential to train: `n_members` networks that differ in seed alone. `tests` are further test sets by name.

    `starts`: weights that the members go on from, one mapping for each; empty: from scratch.
    """

    name: str
    network: Callable[[Any], PotentialNetwork]  # of a registry: the class
    config: Any  # of the network, for these data
    settings: PotentialSettings
    n_members: int
    seed: int
    data: TrainingData
    tests: Mapping[str, Frames]
    starts: Sequence[Weights] = ()

    @property
    def test_sets(self) -> dict[str, Frames]:
        """All that is measured; the groups that were held out for it are "test", where there are some."""
        return dict(self.tests) | ({"test": self.data.test} if len(self.data.test) else {})


@dataclass(frozen=True, kw_only=True)
class Trained:
    """An ensemble that is trained."""

    job: EnsembleJob
    members: Sequence[Member]
    curves: Sequence[Path]  # of each member: a folder of DVCLive

    @property
    def predictions(self) -> dict[str, Prediction]:
        """The ensemble's mean, of each test set."""
        return {name: mean_prediction([m.predictions[name] for m in self.members]) for name in self.job.test_sets}

    @property
    def histories(self) -> list[Any]:
        """Of each member, one record for each validation."""
        return [json.loads(member.history) for member in self.members]

    def metrics(self) -> dict[str, Any]:
        """Errors of the ensemble's mean on its test set (none without one), on further ones, and what it has seen."""
        data, predictions = self.job.data, self.predictions
        of_sets = {name: measured(predictions[name], frames, data) for name, frames in self.job.test_sets.items()}
        of_test = of_sets.pop("test", {})
        sizes = {"n_train": len(data.train), "n_validation": len(data.validation), "n_test": len(data.test)}
        members = [
            {"seed": seed, "best_epoch": member.best_epoch, "epochs": member.epochs}
            for seed, member in enumerate(self.members, start=self.job.seed)
        ]
        n_weights = sum(weights.size for weights in self.members[0].weights.values())
        return {**of_test, **of_sets, **sizes, "n_members": len(members), "members": members, "n_weights": n_weights}


def train_ensembles(jobs: Sequence[EnsembleJob], scratch: Path, what: str) -> list[Trained]:
    """Train all members of all ensembles, or take what lies in `scratch`.

    Raises GenerationError that lists every training that failed.
    """
    tasks = [task for job in jobs for task in _member_tasks(job, scratch)]
    longest_first = sorted(tasks, key=_cost, reverse=True)
    names = [task.name for task in longest_first]
    kept = KeptResults(scratch, partial(run_tasks, execution=for_training(load_execution())))
    train = partial(train_member, devices=n_devices(), report=print_training_progress, curves=_curves)
    members = dict(
        zip(names, kept.results(Member, names, train, longest_first, what=what, unit="trainings"), strict=True)
    )
    return [
        Trained(
            job=job,
            members=[members[name] for name in _names(job)],
            curves=[folder / LIVE for folder in _folders(job, scratch)],
        )
        for job in jobs
    ]


def measured(predicted: Prediction, frames: Frames, data: TrainingData) -> dict[str, float]:
    """Errors as metrics state them, beside the size of the labels themselves."""
    errors = errors_of(predicted, frames)
    reference_M = frames.counts(data.species) @ np.array(data.reference_energies_eV)
    bound = (frames.energies_eV - reference_M) / frames.n_atoms
    bound, forces = bound[np.isfinite(bound)], frames.forces_eV_A[np.isfinite(frames.forces_eV_A)]
    nothing = float("nan")
    return {
        "energy_mae_meV_atom": 1e3 * errors.energy_mae_eV_atom,
        "energy_rmse_meV_atom": 1e3 * errors.energy_rmse_eV_atom,
        "energy_sd_meV_atom": 1e3 * float(np.std(bound)) if bound.size else nothing,
        "force_mae_eV_A": errors.force_mae_eV_A,
        "force_rmse_eV_A": errors.force_rmse_eV_A,
        "force_mean_abs_eV_A": float(np.mean(np.abs(forces))) if forces.size else nothing,
        "force_rms_eV_A": float(np.sqrt(np.mean(forces**2))) if forces.size else nothing,
    }


def publish(trained: Trained, folder: Path, info: Mapping[str, Any], baseline: Baseline | None = None) -> None:
    """Move the potential to `folder`, replacing a potential made there before; `info` goes into potential.json."""
    job = trained.job
    about = {
        "level": job.data.level,
        "units": UNITS,
        "species": list(job.data.species),
        "settings": asdict(job.settings),
        "seed": job.seed,
        **info,
        "metrics": trained.metrics(),
    }
    with building(folder, KIND) as workplace:
        networks = [network_of(job.network, job.config, member.weights) for member in trained.members]
        save_potential(workplace, networks, plain(about), baseline)
        for number, (history, curves) in enumerate(zip(trained.histories, trained.curves, strict=True)):
            _write_history(workplace / f"member_{number}" / "history.csv", history)
            shutil.copytree(curves, workplace / f"member_{number}" / LIVE)
        np.save(workplace / "split.npy", job.data.split)


def _member_tasks(job: EnsembleJob, scratch: Path) -> list[MemberTask]:
    sets = {"train": job.data.train, "validation": job.data.validation, **job.test_sets}
    file = kept_sets(scratch / job.name / "sets.npz", sets)
    return [
        MemberTask(
            name=name,
            network=job.network,
            config=job.config,
            settings=job.settings,
            seed=job.seed + number,
            sets=file,
            start=job.starts[number] if job.starts else None,
            keeps_start=bool(job.starts),
            checkpoints=folder,
        )
        for number, (name, folder) in enumerate(zip(_names(job), _folders(job, scratch), strict=True))
    ]


def _names(job: EnsembleJob) -> list[str]:
    return [f"{job.name}, seed {seed}" for seed in range(job.seed, job.seed + job.n_members)]


def _folders(job: EnsembleJob, scratch: Path) -> list[Path]:
    """Of each member: checkpoints and curves."""
    return [scratch / job.name / f"seed_{seed}" for seed in range(job.seed, job.seed + job.n_members)]


def _curves(folder: Path) -> AbstractContextManager["DVCLiveLogger"]:
    return live_curves(folder / LIVE, resumed=(folder / "last.ckpt").is_file())


def _cost(task: MemberTask) -> float:
    """By what its steps look at."""
    assert isinstance(task.sets, Path)
    return float(task.settings.max_epochs * task.sets.stat().st_size)


def _write_history(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]) if history else ["epoch"])
        writer.writeheader()
        writer.writerows({key: f"{value:.8g}" for key, value in record.items()} for record in history)
