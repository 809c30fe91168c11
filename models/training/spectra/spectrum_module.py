"""Training of the spectrum VAE by Lightning: resumable exactly, on CPU, GPU (mixed precision) or several of them.

Everything random is a function of (seed, epoch or step, rank), never of a generator's history: a run that was cut and
taken up again from its last checkpoint ends with the same weights, bit for bit, as one that was not.
The best weights are a copy taken when the validation objective was lowest. They count from the end of the KL ramp on,
because the objective of the ramp is another one; so does the patience of early stopping.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor
from torch.utils.data import DataLoader

from models.networks.spectra.spectrum_vae import SpectrumVAE
from models.settings import Fraction, settings
from models.training.batches import EpochBatches, Rows, check_rows
from models.training.best_weights import BestWeights, read_best
from models.training.progress import ProgressCallback, TrainingProgress
from models.training.quiet import quiet
from models.training.spectra.elbo import negative_elbo, ramp

__all__ = ["SpectrumModule", "TrainedSpectrumVAE", "TrainingSettings", "train_spectrum_vae"]


@settings
class TrainingSettings:
    """How to train; the network's shape is SpectrumVAE.Config."""

    beta: NonNegativeFloat = 0.2
    ramp_fraction: Fraction = 0.5
    nested_dropout: Fraction = 0.3
    cramer_weight: NonNegativeFloat = 20.0
    geometry: Literal["weight", "departure"] = "weight"
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-3
    weight_decay: Fraction = 1e-4
    batch_size: PositiveInt = 256
    max_epochs: PositiveInt = 200
    patience: PositiveInt = 100
    validate_every: PositiveInt = 5


@dataclass(frozen=True, kw_only=True)
class TrainedSpectrumVAE:
    """Best network (CPU, evaluation mode) and what its training looked like."""

    model: SpectrumVAE
    best_epoch: int
    best_objective: float
    epochs: int


class SpectrumModule(lightning.LightningModule):
    """Lightning's view of one training run."""

    def __init__(self, config: SpectrumVAE.Config, settings: TrainingSettings, *, seed: int, n_steps: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = SpectrumVAE(config)
        self.settings = settings
        self.seed = seed
        self.n_steps = n_steps

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        """Objective of one batch, at the beta that the ramp has reached."""
        beta = self.settings.beta * ramp(self.global_step, round(self.settings.ramp_fraction * self.n_steps))
        state = np.random.SeedSequence(self.seed, spawn_key=(1, self.global_step, self.global_rank)).generate_state(1)
        generator = torch.Generator(device=self.device).manual_seed(int(state[0]))
        objective = negative_elbo(
            self.model,
            batch,
            beta=beta,
            nested_dropout=self.settings.nested_dropout,
            cramer_weight=self.settings.cramer_weight,
            geometry=self.settings.geometry,
            generator=generator,
        )
        return objective.loss

    def validation_step(self, batch: Tensor, _: int) -> None:
        """Objective at the full beta, no dropout, the same noise at each call."""
        generator = torch.Generator(device=self.device).manual_seed(self.seed)
        objective = negative_elbo(
            self.model,
            batch,
            beta=self.settings.beta,
            cramer_weight=self.settings.cramer_weight,
            geometry=self.settings.geometry,
            generator=generator,
        )
        mae = (self.model(batch) - batch).abs().mean()
        values = {"objective": objective.loss, "squared_error": objective.squared_error, "mae": mae}
        if self.model.config.variational:
            values["kl"] = objective.kl_L.sum()
        self.log_dict(values, batch_size=len(batch), sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW on a one-cycle schedule."""
        settings = self.settings
        optimizer = torch.optim.AdamW(
            self.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=self.device.type == "cpu",
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=settings.learning_rate, total_steps=self.n_steps + 1, pct_start=0.1
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train_spectrum_vae(
    config: SpectrumVAE.Config,
    settings: TrainingSettings,
    *,
    train_BW: np.ndarray,
    validation_BW: np.ndarray,
    seed: int,
    checkpoints: Path | str,
    logger: Logger | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    stop_after: int | None = None,
    report: Callable[[TrainingProgress], None] | None = None,
) -> TrainedSpectrumVAE:
    """Train from scratch, or go on from `checkpoints`/last.ckpt where it exists.

    `checkpoints` must belong to this config, settings, seed and data alone. `devices` > 1 share every batch.
    `report` is called now and then (models.training.progress).
    `stop_after` ends the run early after so many epochs (the schedule stays that of the whole run). Raises ValueError
    for data of the wrong shape and FloatingPointError when the objective is not finite.
    """
    check_rows("spectra", config.n_omega, train_BW, validation_BW)
    batches = EpochBatches(len(train_BW), settings.batch_size, seed=seed)
    n_steps = len(batches) * settings.max_epochs
    module = SpectrumModule(config, settings, seed=seed, n_steps=n_steps)
    best_weights = BestWeights(
        patience=settings.patience,
        first_epoch=math.ceil(settings.ramp_fraction * settings.max_epochs),
        folder=Path(checkpoints),
    )
    train: DataLoader[Tensor] = DataLoader(Rows(train_BW), sampler=batches, batch_size=None)
    validation: DataLoader[Tensor] = DataLoader(
        Rows(validation_BW), sampler=[list(range(len(validation_BW)))], batch_size=None
    )
    checkpoint = ModelCheckpoint(
        dirpath=checkpoints,
        filename="last",
        every_n_epochs=max(1, settings.max_epochs // 10),
        save_top_k=1,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    last = Path(checkpoints) / "last.ckpt"
    on_gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())
    with quiet():
        trainer = lightning.Trainer(
            accelerator=accelerator if on_gpu else "cpu",
            devices=devices,
            strategy="auto" if devices == 1 else "ddp_spawn",
            precision="16-mixed" if on_gpu else "32-true",
            max_epochs=settings.max_epochs if stop_after is None else stop_after,
            check_val_every_n_epoch=settings.validate_every,
            callbacks=[best_weights, checkpoint, *([ProgressCallback(report, settings.max_epochs)] if report else [])],
            logger=logger if logger is not None else False,
            log_every_n_steps=10**9,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            gradient_clip_val=10.0,
        )
        trainer.fit(module, train, validation, ckpt_path=str(last) if last.is_file() else None)
    best = read_best(Path(checkpoints))
    model = SpectrumVAE(config)
    model.load_state_dict(best.weights)
    return TrainedSpectrumVAE(
        model=model.eval(),
        best_epoch=best.epoch,
        best_objective=best.objective,
        epochs=best.n_epochs,
    )
