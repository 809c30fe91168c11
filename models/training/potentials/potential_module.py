"""Training of any potential by Lightning: resumable exactly, on one CPU or GPU or on several.

Gradients come from models.training.potentials.forces (manual optimisation, so the method is a setting), steps from
Adam. Whatever a step depends on is in the checkpoint or a function of (seed, epoch): a run that was cut and taken up
again ends with the same weights, bit for bit on the CPU, as one that was not.

Several devices share every batch. Each weighs its part by the labels it holds, so that the sum of their gradients is
that of the whole batch (of `kind` rmse_mae, which is no sum over labels, only nearly so).

The weights that are validated and kept are the moving average where there is one.
"""

import copy
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from models.networks.potentials.potential import PotentialNetwork, evaluate
from models.training.batches import EpochBatches
from models.training.best_weights import BestWeights, read_best
from models.training.potentials.configurations import ConfigurationSet
from models.training.potentials.forces import accumulate_gradients
from models.training.potentials.labelled import Labelled
from models.training.potentials.potential_loss import PotentialLoss
from models.training.potentials.potential_settings import PotentialSettings
from models.training.progress import ProgressCallback, TrainingProgress
from models.training.quiet import quiet
from models.training.schedule import Plateau, one_cycle

__all__ = ["PotentialModule", "TrainedPotential", "train_potential", "validation_loss"]

HISTORY = "history.json"
KEPT_BYTES_ON_GPU = 8 * 2**30  # sets up to this size lie on the GPU whole


@dataclass(frozen=True, kw_only=True)
class TrainedPotential:
    """Best network (CPU, evaluation mode) and what its training looked like, one record per validation."""

    model: PotentialNetwork
    best_epoch: int
    best_objective: float
    epochs: int
    history: list[dict[str, float]]


def train_potential(
    network: Callable[[Any], PotentialNetwork],
    config: Any,  # noqa: ANN401 - the Config of that network
    settings: PotentialSettings,
    *,
    train: ConfigurationSet,
    validation: ConfigurationSet,
    seed: int,
    checkpoints: Path | str,
    accelerator: str = "auto",
    devices: int = 1,
    stop_after: int | None = None,
    logger: Logger | None = None,
    report: Callable[[TrainingProgress], None] | None = None,
) -> TrainedPotential:
    """Train from scratch, or go on from `checkpoints`/last.ckpt where it exists.

    `checkpoints` must belong to this config, settings, seed and data alone. `devices` > 1 share every batch.
    `logger` gets the curves of each validation; `report` is called now and then (models.training.progress).
    `stop_after` ends the run early after so many epochs (the schedule stays that of the whole run). Raises ValueError
    for sets without the labels that the loss asks for, FloatingPointError where the loss is not finite.
    """
    _check(settings, train, validation, devices)
    folder = Path(checkpoints)
    n_batches = len(EpochBatches(len(train), settings.batch_size, seed=seed))
    module = PotentialModule(network, config, settings, seed=seed, n_steps=n_batches * settings.max_epochs)
    module.folder = folder
    best_weights = BestWeights(
        patience=settings.termination_patience,
        first_epoch=0,
        folder=folder,
        module="average" if module.ema else "model",
    )
    checkpoint = ModelCheckpoint(
        dirpath=folder,
        filename="last",
        every_n_epochs=max(1, settings.max_epochs // 20),
        save_top_k=1,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    last = folder / "last.ckpt"
    on_gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())
    with quiet():
        trainer = lightning.Trainer(
            accelerator="gpu" if on_gpu else "cpu",
            devices=devices,
            strategy="auto" if devices == 1 else "ddp_spawn",
            max_epochs=settings.max_epochs if stop_after is None else stop_after,
            check_val_every_n_epoch=settings.validate_every,
            callbacks=[best_weights, checkpoint, *([ProgressCallback(report, settings.max_epochs)] if report else [])],
            logger=logger if logger is not None else False,
            log_every_n_steps=10**9,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            inference_mode=False,  # forces need gradients
            reload_dataloaders_every_n_epochs=1 if settings.schedule == "plateau" else 0,
        )
        trainer.fit(
            module,
            datamodule=PotentialData(train, validation, module),
            ckpt_path=str(last) if last.is_file() else None,
            weights_only=False,
        )
    best = read_best(folder)
    model = _new(network, config, settings)
    model.load_state_dict(best.weights)
    return TrainedPotential(
        model=model.eval(),
        best_epoch=best.epoch,
        best_objective=best.objective,
        epochs=best.n_epochs,
        history=json.loads((folder / HISTORY).read_text()),
    )


def validation_loss(model: PotentialNetwork, data: ConfigurationSet, settings: PotentialSettings) -> float:
    """What training keeps the lowest of, for a network that is not trained here."""
    loss, size = replace(settings.loss, hierarchicality=0.0), settings.validation_batch
    sums, counts = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for start in range(0, len(data), size):
        labelled = data.batch(range(start, min(start + size, len(data))))
        prediction = evaluate(model, labelled.graph, labelled.vectors_H3)
        parts = loss.parts(labelled, prediction.terms_NT, prediction.forces_N3, prediction.stress_M33)
        n = _label_counts(labelled)[:3]
        sums += n * torch.stack([parts.energy, parts.forces, parts.stress]).double()
        counts += n
    weights = torch.tensor([loss.energy, loss.forces, loss.stress], dtype=torch.float64)
    return float((weights * sums / counts.clamp(min=1)).sum())


class PotentialModule(lightning.LightningModule):
    """Lightning's view of one training run."""

    def __init__(
        self,
        network: Callable[[Any], PotentialNetwork],
        config: Any,  # noqa: ANN401 - the Config of that network
        settings: PotentialSettings,
        *,
        seed: int,
        n_steps: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = _new(network, config, settings)
        self.ema = settings.ema_decay > 0
        if self.ema:
            self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.settings, self.seed, self.n_steps = settings, seed, n_steps
        self.folder = Path()
        self.history: list[dict[str, float]] = []
        self.plateau = Plateau(
            learning_rate=settings.learning_rate,
            batch_size=settings.batch_size,
            max_batch_size=settings.max_batch_size,
            patience=settings.patience,
        )

    def setup(self, stage: str) -> None:
        """Runs in every process."""
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high" if self.settings.tf32 else "highest")
        if self.settings.compile:
            self.model.compile(dynamic=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam; squared weights are part of the loss, so their gradient goes through its moments."""
        matrices = [weight for weight in self.model.parameters() if weight.ndim > 1]
        others = [weight for weight in self.model.parameters() if weight.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": 2 * self.settings.l2}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.Adam(
            [group for group in groups if group["params"]], lr=self.settings.learning_rate, fused=True
        )

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        if self.settings.schedule == "plateau":
            return self.plateau.learning_rate
        return self.settings.learning_rate * one_cycle(self.global_step / max(1, self.n_steps))

    def on_train_epoch_start(self) -> None:
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.loss_steps = 0

    def training_step(self, labelled: Labelled, _: int) -> None:
        """One step of Adam on one batch."""
        settings = self.settings
        optimizer = self.optimizers()
        assert isinstance(optimizer, lightning.pytorch.core.optimizer.LightningOptimizer)
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate
        optimizer.zero_grad()
        loss = self._own_share(labelled) if self.trainer.world_size > 1 else settings.loss
        with self._autocast():
            parts = accumulate_gradients(
                self.model, labelled, loss, method=settings.method, displacement=settings.displacement
            )
        if self.trainer.world_size > 1:
            _sum_gradients(self.model)
        if settings.gradient_clip > 0:
            nn.utils.clip_grad_norm_(self.model.parameters(), settings.gradient_clip)
        optimizer.step()
        if self.ema:
            decay = min(settings.ema_decay, (1 + self.global_step) / (10 + self.global_step))
            with torch.no_grad():
                torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)
        self.loss_sum += parts.total.double()
        self.loss_steps += 1

    def on_train_epoch_end(self) -> None:
        """Raises FloatingPointError where a loss of this epoch was not finite."""
        if not math.isfinite(self.train_loss()):
            raise FloatingPointError(f"the training loss is not finite in epoch {self.current_epoch}: {CURE}")

    def train_loss(self) -> float:
        """Mean over the steps of this epoch; devices hold shares of it."""
        total = self.loss_sum.clone()
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(total)
        return float(total) / max(1, self.loss_steps)

    def on_validation_epoch_start(self) -> None:
        self.sums = torch.zeros(10, dtype=torch.float64, device=self.device)

    def validation_step(self, labelled: Labelled, _: int) -> None:
        """Adds up errors of these configurations."""
        loss = replace(self.settings.loss, hierarchicality=0.0)
        with self._autocast():
            prediction = evaluate(self.average if self.ema else self.model, labelled.graph, labelled.vectors_H3)
        parts = loss.parts(labelled, prediction.terms_NT, prediction.forces_N3, prediction.stress_M33)
        counts = _label_counts(labelled)
        graph = labelled.graph
        energy_M = graph.sum_over_atoms(prediction.terms_NT.double().sum(dim=1))
        energy_error = ((energy_M - labelled.energy_M.double()) / graph.n_atoms_M)[~torch.isnan(labelled.energy_M)]
        force_error = (prediction.forces_N3 - labelled.forces_N3).double()[~torch.isnan(labelled.forces_N3)]
        self.sums[:3] += counts[:3]
        self.sums[3:6] += counts[:3] * torch.stack([parts.energy, parts.forces, parts.stress])
        self.sums[6] += energy_error.abs().sum()
        self.sums[7] += energy_error.square().sum()
        self.sums[8] += force_error.abs().sum()
        self.sums[9] += force_error.square().sum()

    def on_validation_epoch_end(self) -> None:
        """Objective and errors over the whole set; the schedule hears of it."""
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(self.sums)
        n_energy, n_forces, n_stress, *sums = self.sums.tolist()
        weights = self.settings.loss
        by_label = zip(
            (weights.energy, weights.forces, weights.stress), (n_energy, n_forces, n_stress), sums, strict=False
        )
        objective = sum(weight * total / n for weight, n, total in by_label if weight and n)
        self.log("objective", objective, rank_zero_only=False)
        curves = {
            "learning_rate": self.learning_rate,
            "batch_size": self.plateau.batch_size,
            "train_loss": self.train_loss(),
            "validation_loss": objective,
            "energy_mae_eV_atom": sums[3] / n_energy if n_energy else math.nan,
            "energy_rmse_eV_atom": math.sqrt(sums[4] / n_energy) if n_energy else math.nan,
            "force_mae_eV_A": sums[5] / n_forces if n_forces else math.nan,
            "force_rmse_eV_A": math.sqrt(sums[6] / n_forces) if n_forces else math.nan,
        }
        self.log_dict({name: value for name, value in curves.items() if math.isfinite(value)}, rank_zero_only=False)
        self.history.append({"epoch": self.current_epoch, "step": self.global_step, **curves})
        self.plateau.observe(objective, self.current_epoch)

    def on_fit_end(self) -> None:
        """The history goes into a file, for the process that called `fit` may be another."""
        if self.trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / HISTORY).write_text(json.dumps(self.history))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["plateau"], checkpoint["history"] = self.plateau.state(), list(self.history)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.plateau, self.history = Plateau(**checkpoint["plateau"]), list(checkpoint["history"])

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.settings.autocast)

    def _own_share(self, labelled: Labelled) -> PotentialLoss:
        """The loss with weights such that its sum over the devices is the loss of the whole batch."""
        counts = _label_counts(labelled)
        total = counts.clone()
        torch.distributed.all_reduce(total)
        share = (counts / total.clamp(min=1)).tolist()
        loss = self.settings.loss
        names = ("energy", "forces", "stress", "hierarchicality")
        return replace(loss, **{name: getattr(loss, name) * part for name, part in zip(names, share, strict=True)})


CURE = "lower the learning rate, or look for wrong labels"


class PotentialData(lightning.LightningDataModule):
    """Batches made where the model is; the batch size is the schedule's."""

    def __init__(self, train: ConfigurationSet, validation: ConfigurationSet, module: PotentialModule) -> None:
        super().__init__()
        self.train, self.validation, self.module = train, validation, module

    def setup(self, stage: str) -> None:
        """Runs in every process."""
        assert self.trainer is not None
        device = self.trainer.strategy.root_device
        if self.train.n_bytes + self.validation.n_bytes <= KEPT_BYTES_ON_GPU:
            self.train, self.validation = self.train.to(device), self.validation.to(device)

    def train_dataloader(self) -> DataLoader[Labelled]:
        batches = EpochBatches(len(self.train), self.module.plateau.batch_size, seed=self.module.seed)
        return DataLoader(Batches(self.train), sampler=batches, batch_size=None)

    def val_dataloader(self) -> DataLoader[Labelled]:
        assert self.trainer is not None
        mine = range(self.trainer.global_rank, len(self.validation), self.trainer.world_size)
        size = self.module.settings.validation_batch
        chunks = [list(mine[start : start + size]) for start in range(0, len(mine), size)]
        return DataLoader(Batches(self.validation), sampler=chunks, batch_size=None)


class Batches(Dataset[Labelled]):
    """One item is a whole batch."""

    def __init__(self, configurations: ConfigurationSet) -> None:
        self.configurations = configurations

    def __len__(self) -> int:
        return len(self.configurations)

    def __getitem__(self, rows: list[int]) -> Labelled:
        return self.configurations.batch(rows)

    def __iter__(self) -> Iterator[Labelled]:
        raise TypeError("rows come from a sampler")


def _new(network: Callable[[Any], PotentialNetwork], config: Any, settings: PotentialSettings) -> PotentialNetwork:  # noqa: ANN401
    """Never cast down to float32: that would round the reference energies too."""
    model = network(config)
    return model.double() if settings.dtype == "float64" else model


def _label_counts(labelled: Labelled) -> Tensor:
    """Labels that are there: energies, force components, stress components; and atoms. Float64 (4,)."""
    known = [(~torch.isnan(t)).sum() for t in (labelled.energy_M, labelled.forces_N3, labelled.stress_M33)]
    atoms = torch.tensor(labelled.graph.n_atoms, device=labelled.energy_M.device)
    return torch.stack([*known, atoms]).double()


def _sum_gradients(model: nn.Module) -> None:
    """Over all devices, as one message."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    for weight, gradient in zip(weights, torch.split(flat, [w.numel() for w in weights]), strict=True):
        weight.grad = gradient.view_as(weight).clone()


def _check(settings: PotentialSettings, train: ConfigurationSet, validation: ConfigurationSet, devices: int) -> None:
    problems = []
    for name, part in (("training", train), ("validation", validation)):
        labels = {"energy": part.energy_M, "forces": part.forces_A3, "stress": part.stress_M33}
        problems += [
            f"{name} set: found no {label}, expected some (their weight in the loss is {getattr(settings.loss, label)})"
            for label, values in labels.items()
            if getattr(settings.loss, label) > 0 and bool(torch.isnan(values).all())
        ]
        if part.energy_M.dtype != settings.torch_dtype:
            problems.append(f"{name} set: found {part.energy_M.dtype}, expected {settings.torch_dtype}")
        if len(part) < devices:
            problems.append(
                f"{name} set: found {len(part)} configurations, expected at least one per device ({devices})"
            )
    if settings.batch_size < devices:
        problems.append(f"batch_size: found {settings.batch_size}, expected at least one per device ({devices})")
    if problems:
        raise ValueError("; ".join(problems))
