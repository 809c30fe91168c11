"""Training of ensembles of potentials as tasks, one per member, and the folders they leave.

A member is a pure function of its job, so members of several ensembles run side by side wherever
pipeline.runtime.execution says, and their number of workers changes no bit. Work lies in a scratch folder named after
all that shapes the result: the same command finds its checkpoints there and goes on. A finished potential is moved into
place whole:

    MODEL_DIR/potential.json    model, number of members, level of theory, units, species, split, settings, metrics
    MODEL_DIR/split.npy         of every row of the store: 0 trained on, 1 validation, 2 test, -1 not used
    MODEL_DIR/member_<i>/       model.safetensors, config.json, history.csv
"""

import csv
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.training.potentials.configurations import Configurations
from models.training.potentials.potential_settings import PotentialSettings
from pipeline.atoms.potential_data import TrainingData
from pipeline.atoms.potential_networks import NETWORKS, NetworkParams
from pipeline.runtime.execution import load_execution, run_tasks
from pipeline.runtime.gpus import for_training, n_devices
from pipeline.runtime.progress import Progress
from pipeline.runtime.training_progress import tell_training
from stores.building import building

__all__ = [
    "KIND",
    "UNITS",
    "EnsembleJob",
    "MemberJob",
    "Predictions",
    "errors_of",
    "publish",
    "train_ensembles",
    "train_member",
]

KIND = "potential"  # of folder: what is replaced is what an earlier run made as one
UNITS = {"energy": "eV", "length": "A", "force": "eV/A", "stress": "eV/A^3"}


@dataclass(frozen=True, kw_only=True)
class EnsembleJob:
    """One potential to train: `n_members` networks that differ in seed alone. `tests` are further test sets by name."""

    name: str
    model: str
    network: NetworkParams
    settings: PotentialSettings
    n_members: int
    seed: int
    data: TrainingData
    tests: Mapping[str, Configurations]


@dataclass(frozen=True, kw_only=True)
class MemberJob:
    """One training; everything a worker process needs."""

    name: str
    folder: Path  # scratch of this job: checkpoints, and at the end model, predictions and result.json
    data: Path  # the sets
    model: str
    config: Any
    settings: PotentialSettings
    seed: int


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Of one set, mean over members."""

    energy_M: NDArray[np.float64]
    forces_A3: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """An ensemble that is trained: where its members lie, what they told, and predictions of each test set."""

    job: EnsembleJob
    members: Sequence[MemberJob]
    results: Sequence[Mapping[str, Any]]
    predictions: Mapping[str, Predictions]

    def metrics(self) -> dict[str, Any]:
        """Errors of the ensemble's mean on its test set (none without one), on further ones, and what it has seen."""
        data = self.job.data
        found: dict[str, Any] = errors_of(data.test, self.predictions["test"], data) if len(data.test) else {}
        found |= {name: errors_of(own, self.predictions[name], data) for name, own in self.job.tests.items()}
        sizes = {"n_train": len(data.train), "n_validation": len(data.validation), "n_test": len(data.test)}
        members = [{key: r[key] for key in ("seed", "best_epoch", "epochs")} for r in self.results]
        return {
            **found,
            **sizes,
            "n_members": len(members),
            "members": members,
            "n_weights": self.results[0]["n_weights"],
        }


def train_ensembles(jobs: Sequence[EnsembleJob], scratch: Path, what: str) -> list[Trained]:
    """Train all members of all ensembles, or take what lies in `scratch`.

    Raises RuntimeError that lists every training that failed.
    """
    members = {job.name: _member_jobs(job, scratch) for job in jobs}
    flat = sorted((member for job in jobs for member in members[job.name]), key=_cost, reverse=True)
    results: dict[tuple[str, int], Any] = {}
    failures = []
    execution = for_training(load_execution())
    with Progress(what, len(flat), "trainings") as progress:
        for position, result in run_tasks(train_member, flat, execution):
            job = flat[position]
            if isinstance(result, Exception):
                failures.append(f"{job.name}, seed {job.seed}: {type(result).__name__}: {result}")
            else:
                results[job.name, job.seed] = result
            progress.advance()
    if failures:
        raise RuntimeError("\n".join([f"{len(failures)} of {len(flat)} trainings failed", *sorted(failures)]))
    return [
        Trained(
            job=job,
            members=members[job.name],
            results=[results[job.name, member.seed] for member in members[job.name]],
            predictions=_mean_predictions(job, members[job.name]),
        )
        for job in jobs
    ]


def train_member(job: MemberJob) -> dict[str, Any]:
    """Train and predict the test sets; leave everything in the job's folder, or take what lies there."""
    from models.networks.potentials.ensemble import save_potential
    from models.training.potentials.configurations import with_neighbours
    from models.training.potentials.potential_module import train_potential

    told = job.folder / "result.json"
    if told.is_file():
        found: dict[str, Any] = json.loads(told.read_text())
        return found
    network, _ = NETWORKS[job.model]
    sets = _read_sets(job.data)
    dtype = job.settings.torch_dtype

    def prepared(data: Configurations) -> Any:  # noqa: ANN401 - a ConfigurationSet
        return with_neighbours(
            data,
            cutoff_A=job.config.cutoff_A,
            species=job.config.species,
            reference_energies_eV=job.config.reference_energies_eV,
            dtype=dtype,
        )

    trained = train_potential(
        network,
        job.config,
        job.settings,
        train=prepared(sets.pop("train")),
        validation=prepared(sets.pop("validation")),
        seed=job.seed,
        checkpoints=job.folder / "checkpoints",
        devices=n_devices(),
        tell=partial(tell_training, f"{job.name}, seed {job.seed}"),
    )
    predictions: dict[str, NDArray[np.float64]] = {}
    for name, data in sets.items():
        energy_M, forces_A3 = _predict(trained.model, prepared(data), job.settings.validation_batch)
        predictions |= {f"{name}.energy": energy_M, f"{name}.forces": forces_A3}
    np.savez(job.folder / "predictions.npz", **predictions)  # type: ignore[arg-type]
    save_potential(job.folder / "model", [trained.model], {})
    _write_history(job.folder / "history.csv", trained.history)
    result = {
        "seed": job.seed,
        "best_epoch": trained.best_epoch,
        "best_objective": trained.best_objective,
        "epochs": trained.epochs,
        "n_weights": sum(weight.numel() for weight in trained.model.parameters()),
        "history": trained.history,
    }
    told.with_suffix(".tmp").write_text(json.dumps(result))
    os.replace(told.with_suffix(".tmp"), told)
    return result


def errors_of(data: Configurations, predicted: Predictions, about: TrainingData) -> dict[str, float]:
    """Errors per atom of energies and per component of forces, beside the spread of the labels themselves."""
    energy_known, force_known = np.isfinite(data.energies_eV), np.isfinite(data.forces_eV_A)
    per_atom_M = 1e3 / data.n_atoms
    reference_M = data.counts(about.species) @ np.array(about.reference_energies_eV)
    errors = {
        "energy": ((predicted.energy_M - data.energies_eV) * per_atom_M)[energy_known],
        "force": (predicted.forces_A3 - data.forces_eV_A)[force_known],
    }
    bound = ((data.energies_eV - reference_M) * per_atom_M)[energy_known]
    forces = data.forces_eV_A[force_known]
    return {
        "energy_mae_meV_atom": _mean(np.abs(errors["energy"])),
        "energy_rmse_meV_atom": _mean(errors["energy"] ** 2) ** 0.5,
        "energy_sd_meV_atom": float(np.std(bound)) if bound.size else float("nan"),
        "force_mae_eV_A": _mean(np.abs(errors["force"])),
        "force_rmse_eV_A": _mean(errors["force"] ** 2) ** 0.5,
        "force_mean_abs_eV_A": _mean(np.abs(forces)),
        "force_rms_eV_A": _mean(forces**2) ** 0.5,
    }


def publish(trained: Trained, folder: Path, info: Mapping[str, Any]) -> None:
    """Move the potential to `folder`, replacing a potential made there before; `info` goes into potential.json."""
    from models.networks.potentials.ensemble import load_potential, save_potential
    from pipeline.runtime.stage import plain

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
        networks = [load_potential(member.folder / "model").members[0] for member in trained.members]
        save_potential(workplace, networks, plain(about))
        for number, member in enumerate(trained.members):
            shutil.copy(member.folder / "history.csv", workplace / f"member_{number}" / "history.csv")
        np.save(workplace / "split.npy", job.data.split)


def _member_jobs(job: EnsembleJob, scratch: Path) -> list[MemberJob]:
    folder = scratch / job.name
    folder.mkdir(parents=True, exist_ok=True)
    sets = {"train": job.data.train, "validation": job.data.validation, **job.tests}
    if len(job.data.test):
        sets["test"] = job.data.test
    _write_sets(folder / "sets.npz", sets)
    config = job.network.config(job.data.species, job.data.reference_energies_eV, job.data.energy_scale_eV)
    return [
        MemberJob(
            name=job.name,
            folder=folder / f"seed_{seed}",
            data=folder / "sets.npz",
            model=job.model,
            config=config,
            settings=job.settings,
            seed=seed,
        )
        for seed in range(job.seed, job.seed + job.n_members)
    ]


def _cost(job: MemberJob) -> float:
    """The longest first: by what its steps look at."""
    return float(job.settings.max_epochs * job.data.stat().st_size)


def _predict(model: Any, data: Any, batch: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # noqa: ANN401
    """Total energies and forces of a ConfigurationSet."""
    from models.networks.potentials.potential import evaluate

    energies, forces = [], []
    for start in range(0, len(data), batch):
        labelled = data.batch(range(start, min(start + batch, len(data))))
        found = evaluate(model, labelled.graph, labelled.vectors_H3)
        energies.append(found.energy_M.numpy())
        forces.append(found.forces_N3.double().numpy())
    return np.concatenate(energies), np.concatenate(forces)


def _mean_predictions(job: EnsembleJob, members: Sequence[MemberJob]) -> dict[str, Predictions]:
    names = [*job.tests, *(["test"] if len(job.data.test) else [])]
    told = [dict(np.load(member.folder / "predictions.npz")) for member in members]
    return {
        name: Predictions(
            energy_M=np.mean([t[f"{name}.energy"] for t in told], axis=0),
            forces_A3=np.mean([t[f"{name}.forces"] for t in told], axis=0),
        )
        for name in names
    }


def _write_sets(path: Path, sets: Mapping[str, Configurations]) -> None:
    arrays = {f"{name}.{f.name}": getattr(data, f.name) for name, data in sets.items() for f in fields(data)}
    np.savez(path, **arrays)


def _read_sets(path: Path) -> dict[str, Configurations]:
    with np.load(path) as file:
        names = dict.fromkeys(key.rpartition(".")[0] for key in file.files)
        return {
            name: Configurations(**{f.name: file[f"{name}.{f.name}"] for f in fields(Configurations)}) for name in names
        }


def _write_history(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]) if history else ["epoch"])
        writer.writeheader()
        writer.writerows({key: f"{value:.8g}" for key, value in record.items()} for record in history)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else float("nan")
