"""Stage `spectrum_vae`: train networks on the spectra, several seeds each, and choose one without looking at labels.

    reads   params.yaml: spectrum_vae, data/spectra.zarr
    writes  runs/spectrum_vae/<subset>/seed_<k>/   model.safetensors, config.json, live/ (DVCLive)
            runs/spectrum_vae/<subset>/<baseline>/ the same of simpler networks, which latents are compared with
            runs/spectrum_vae/selection.json       what was chosen, and the criterion of all candidates
            reports/metrics/spectrum_vae.json

The baselines are plain networks on the same rows, trained as many steps with the first seed: `autoencoder`
(beta = 0) and `beta_vae` (the first beta), both without order of their latents and without Cramer distance. They take
no part in the choice of beta and seed, which is that of models.laws.consistency: the trainings that agree best with
their siblings.
A stage that was killed goes on from its checkpoints, with the same weights at the end. Trainings run one per core, or
where pipeline.runtime.execution says; on a machine with GPUs one after the other on LATENTLAW_GPUS of them (default 1).
"""

import json
import shutil
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from models.laws.consistency import Candidate, most_consistent
from models.networks.spectra.spectrum_vae import SpectrumVAE
from models.settings import Fraction, Some, settings
from models.training.spectra.elbo import latent_activity
from models.training.spectra.spectrum_module import TrainingSettings, train_spectrum_vae
from pipeline.impurity.records import Selection, SpectrumVAEMetrics
from pipeline.impurity.subsets import SUBSETS, split_by_hamiltonian, subset_rows
from pipeline.runtime.content_key import content_key
from pipeline.runtime.execution import load_execution, run_tasks
from pipeline.runtime.gpus import for_training, n_devices
from pipeline.runtime.kept_results import Arrays, KeptResults, scratch_folder
from pipeline.runtime.live_curves import live_curves
from pipeline.runtime.params import load_params
from pipeline.runtime.progress import print_training_progress
from pipeline.runtime.protocol import require_development
from pipeline.runtime.records import write_json
from pipeline.runtime.stage import run_stage
from stores.building import building, require_replaceable
from stores.manifest import read_manifest
from stores.spectra import SPECTRA
from stores.zarr_store import open_store

__all__ = ["SpectrumVAEParams", "main", "train_one"]

SPECTRA_STORE = Path("data/spectra.zarr")
RUNS = Path("runs/spectrum_vae")
KIND = "folder of trained autoencoders"
Baseline = Literal["autoencoder", "beta_vae"]


@settings
class Distance:
    """The Cramer distance in the objective: of which geometry (models.networks.spectra.geometry), with which weight."""

    geometry: Literal["weight", "departure"]
    weight: NonNegativeFloat


@settings
class SubsetDistances:
    """Of each subset: at zero temperature and field the scale is where the weight lies, else where x departs."""

    low_temperature: Distance
    full: Distance


@settings
class SpectrumVAEParams:
    """Section `spectrum_vae` of params.yaml, and how its values become a network and a training."""

    seeds: Some[NonNegativeInt]
    betas: Some[NonNegativeFloat]
    baselines: Annotated[tuple[Baseline, ...], Field(strict=False)]
    error_slack: Annotated[float, Field(ge=1)]
    active_nats: PositiveFloat
    max_field: NonNegativeFloat
    validation_fraction: Annotated[float, Field(gt=0, lt=0.5)]
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)]
    split_seed: NonNegativeInt
    architecture: Literal["mirror", "plain"]
    n_latent: PositiveInt
    n_odd: NonNegativeInt
    hidden: Some[PositiveInt]
    ramp_fraction: Fraction
    nested_dropout: Fraction
    distance: SubsetDistances
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    weight_decay: Fraction
    batch_size: PositiveInt
    max_epochs: PositiveInt
    max_steps: PositiveInt
    patience: PositiveInt
    validate_every: PositiveInt

    def __post_init__(self) -> None:
        if len(set(self.seeds)) != len(self.seeds) or len(set(self.betas)) != len(self.betas):
            raise ValueError(f"found seeds {self.seeds} and betas {self.betas}, expected each value once")
        self.network(beta=self.betas[0], n_omega=333)

    @property
    def split(self) -> dict[str, Any]:
        return {"validation": self.validation_fraction, "test": self.test_fraction, "seed": self.split_seed}

    def network(self, *, beta: float, n_omega: int) -> SpectrumVAE.Config:
        """beta = 0 is the plain autoencoder: nothing is sampled."""
        return SpectrumVAE.Config(
            architecture=self.architecture,
            n_omega=n_omega,
            n_latent=self.n_latent,
            n_odd=self.n_odd,
            hidden=self.hidden,
            variational=beta > 0,
        )

    def of_baseline(self) -> "SpectrumVAEParams":
        """The same training without what this project adds to a VAE."""
        none = Distance(geometry="weight", weight=0.0)
        distance = SubsetDistances(low_temperature=none, full=none)
        return replace(self, architecture="plain", nested_dropout=0.0, distance=distance)

    def training(self, *, subset: str, beta: float, n_rows: int) -> TrainingSettings:
        """Large subsets get fewer epochs, so that no run takes more than `max_steps` steps."""
        distance: Distance = getattr(self.distance, subset)
        epochs = max(1, min(self.max_epochs, self.max_steps // max(1, n_rows // self.batch_size)))
        return TrainingSettings(
            beta=beta,
            ramp_fraction=self.ramp_fraction,
            nested_dropout=self.nested_dropout,
            cramer_weight=distance.weight,
            geometry=distance.geometry,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            max_epochs=epochs,
            patience=self.patience,
            validate_every=min(self.validate_every, epochs),
        )


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training; everything a worker process needs."""

    subset: str
    name: str  # seed_<k>, or that of a baseline
    beta: float
    seed: int
    folder: Path  # scratch of this job: checkpoints, live, and at the end model
    data: Path  # spectra, split and mirrored flags of the subset
    params: SpectrumVAEParams


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A training that is done, what was measured of it, and its active latents of the validation rows."""

    job: Job
    measured: dict[str, Any]
    validation_latents: NDArray[Any]  # (n_rows, n_active)


def main() -> None:
    params = load_params(SpectrumVAEParams, "spectrum_vae")
    require_replaceable(RUNS, KIND)
    key = content_key("spectrum_vae", asdict(params), read_manifest(SPECTRA_STORE).hash)
    scratch = scratch_folder(f"spectrum_vae_{key}")
    files = _subset_files(params, scratch)
    jobs = [
        Job(
            subset=subset,
            name=f"seed_{seed}",
            beta=beta,
            seed=seed,
            folder=scratch / f"{subset}_{beta:g}_{seed}",
            data=data,
            params=params,
        )
        for subset, data in files.items()
        for beta in params.betas
        for seed in params.seeds
    ]
    baselines = [
        Job(
            subset=subset,
            name=name,
            beta=0.0 if name == "autoencoder" else params.betas[0],
            seed=params.seeds[0],
            folder=scratch / f"{subset}_{name}",
            data=data,
            params=params.of_baseline(),
        )
        for subset, data in files.items()
        for name in params.baselines
    ]
    both = _train([*jobs, *baselines], scratch)
    trained = both[: len(jobs)]
    selection = {subset: _choose(subset, trained, params) for subset in SUBSETS}
    _publish(both, selection)
    SpectrumVAEMetrics.of(_metrics([one.measured for one in trained], selection, params)).write()
    for job in [*jobs, *baselines]:
        shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)


def train_one(job: Job) -> Arrays:
    """Train and measure; leaves model and live in the job's folder."""
    import torch

    from models.networks.weights import save_network

    with np.load(job.data) as data:
        spectra, split, mirrored = data["spectra"], data["split"], data["mirrored"]
    training = (split == 0) & ~(mirrored & (job.params.architecture == "mirror"))
    checkpoints = job.folder / "checkpoints"
    with live_curves(job.folder / "live", resumed=(checkpoints / "last.ckpt").is_file()) as logger:
        trained = train_spectrum_vae(
            job.params.network(beta=job.beta, n_omega=spectra.shape[1]),
            job.params.training(subset=job.subset, beta=job.beta, n_rows=int(training.sum())),
            train_BW=spectra[training],
            validation_BW=spectra[split == 1],
            seed=job.seed,
            checkpoints=checkpoints,
            devices=n_devices(),
            logger=logger,
            report=partial(print_training_progress, f"spectrum_vae, {job.subset}, beta {job.beta:g}, {job.name}"),
        )
    save_network(trained.model, job.folder / "model")
    with torch.inference_mode():
        x_BW = torch.from_numpy(spectra)
        posterior = trained.model.encode(x_BW)
        error_BW = (trained.model(x_BW) - x_BW).abs().numpy()
        activity_L = (
            latent_activity(posterior, variational=trained.model.config.variational)[split == 0].mean(0).numpy()
        )
    active = np.flatnonzero(activity_L > job.params.active_nats)
    measured = {
        "subset": job.subset,
        "beta": job.beta,
        "seed": job.seed,
        "test_mae": float(error_BW[split == 2].mean()),
        "validation_mae": float(error_BW[split == 1].mean()),
        "kl": [float(value) for value in activity_L],
        "active": [int(latent) for latent in active],
        "best_epoch": trained.best_epoch,
        "epochs": trained.epochs,
        "max_field": job.params.max_field,
        "split": job.params.split,
    }
    latents_BL = posterior.mean_BL.numpy()[split == 1][:, active]
    return {"measured": np.array(json.dumps(measured)), "validation_latents": latents_BL}


def _subset_files(params: SpectrumVAEParams, scratch: Path) -> dict[str, Path]:
    """Spectra of each subset as one file, for the worker processes."""
    dataset = open_store(SPECTRA_STORE, SPECTRA)
    if len(params.betas) > 1:
        require_development(dataset, "beta")
    scratch.mkdir(parents=True, exist_ok=True)
    files = {}
    for subset in SUBSETS:
        rows = subset_rows(dataset, subset, max_field=params.max_field)
        files[subset] = scratch / f"{subset}.npz"
        split = split_by_hamiltonian(dataset, rows, **params.split)
        np.savez(
            files[subset],
            spectra=np.asarray(dataset["spectrum"].values[rows], dtype=np.float32),
            split=split,
            mirrored=dataset["mirrored"].values[rows],
        )
    return files


def _train(jobs: list[Job], scratch: Path) -> list[Trained]:
    """In order of `jobs`. Raises GenerationError that lists every training that failed."""
    longest_first = sorted(jobs, key=lambda job: -SUBSETS.index(job.subset))
    kept = KeptResults(scratch, partial(run_tasks, execution=for_training(load_execution())))
    kept.make(train_one, {job.folder.name: job for job in longest_first}, what="spectrum_vae", unit="trainings")
    trained = []
    for job in jobs:
        result = kept.read(job.folder.name)
        measured = json.loads(str(result["measured"]))
        trained.append(Trained(job=job, measured=measured, validation_latents=result["validation_latents"]))
    return trained


def _choose(subset: str, trained: list[Trained], params: SpectrumVAEParams) -> dict[str, Any]:
    candidates = []
    for beta in params.betas:
        siblings = [one for one in trained if (one.job.subset, one.job.beta) == (subset, beta)]
        latents = [one.validation_latents for one in siblings]
        error = float(np.mean([one.measured["validation_mae"] for one in siblings]))
        candidates.append(Candidate(setting=beta, latents=latents, error=error))
    choice = most_consistent(candidates, error_slack=params.error_slack)
    return {
        "beta": choice.setting,
        "seed": params.seeds[choice.member],
        "candidates": [
            {
                "beta": c.setting,
                "validation_mae": c.error,
                "consistency": dict(zip(map(str, params.seeds), of, strict=True)),
            }
            for c, of in zip(candidates, choice.consistency, strict=True)
        ],
    }


def _publish(trained: list[Trained], selection: dict[str, Any]) -> None:
    """Seeds of the chosen beta, baselines and selection.json go to runs/, replacing those of an earlier run."""
    with building(RUNS, KIND) as workplace:
        for one in trained:
            job = one.job
            if not job.name.startswith("seed_") or job.beta == selection[job.subset]["beta"]:
                target = workplace / job.subset / job.name
                shutil.copytree(job.folder / "model", target)
                shutil.copytree(job.folder / "live", target / "live")
                (target / "result.json").write_text(json.dumps(one.measured))
        write_json(workplace / "selection.json", Selection.of(selection).root, digits=Selection.digits, sort_keys=True)


def _metrics(results: list[dict[str, Any]], selection: dict[str, Any], params: SpectrumVAEParams) -> dict[str, Any]:
    subsets = {}
    for subset, chosen in selection.items():
        mine = [r for r in results if (r["subset"], r["beta"]) == (subset, chosen["beta"])]
        best = next(r for r in mine if r["seed"] == chosen["seed"])
        subsets[subset] = {
            "beta": chosen["beta"],
            "seed": chosen["seed"],
            "test_mae": best["test_mae"],
            "active_latents": len(best["active"]),
            "seeds": {
                str(r["seed"]): {"test_mae": r["test_mae"], "active_latents": len(r["active"]), "epochs": r["epochs"]}
                for r in mine
            },
        }
    return {
        "test_mae": subsets["full"]["test_mae"],
        "active_latents": subsets["full"]["active_latents"],
        "seeds": list(params.seeds),
        "subsets": subsets,
    }


if __name__ == "__main__":
    run_stage("spectrum_vae", main)
