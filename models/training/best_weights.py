"""The best weights of a training, as a copy, and when to stop.

They are handed over in a file, because with several devices `fit` may run in other processes than its caller.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import lightning
from safetensors.torch import load_file, save_file
from torch import Tensor

__all__ = ["Best", "BestWeights", "read_best"]

WEIGHTS, RECORD = "best.safetensors", "best.json"


class Best(NamedTuple):
    """Weights of the lowest validation objective, and after how many epochs the training ended."""

    weights: dict[str, Tensor]
    objective: float
    epoch: int
    n_epochs: int


def read_best(folder: Path) -> Best:
    """What `BestWeights` left when the fit ended."""
    return Best(weights=load_file(folder / WEIGHTS), **json.loads((folder / RECORD).read_text()))


class BestWeights(lightning.Callback):
    """Copies the weights when the validation objective is lowest; stops after `patience` epochs without a new low."""

    def __init__(self, *, patience: int, first_epoch: int, folder: Path, module: str = "model") -> None:
        """`module` is the submodule whose weights are kept: the network, or its moving average."""
        self.folder = folder
        self.module = module
        self.patience = patience
        self.first_epoch = first_epoch
        self.objective = math.inf
        self.epoch = -1
        self.weights: dict[str, Tensor] = {}

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Called after the metrics of a validation are known."""
        if trainer.sanity_checking or trainer.current_epoch < self.first_epoch:
            return
        objective = self.validation_objective(trainer)
        if not math.isfinite(objective):
            raise FloatingPointError(
                f"validation objective is {objective} in epoch {trainer.current_epoch}: lower the learning rate"
            )
        if objective < self.objective:
            self._keep(objective, trainer.current_epoch, pl_module)
        elif trainer.current_epoch - self.epoch >= self.patience:
            trainer.should_stop = True

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Leaves the best weights in `folder`, where the process that called `fit` finds them: ranks may be others."""
        if not self.weights:  # a run so short that no validation came after the ramp
            self._keep(math.inf, trainer.current_epoch - 1, pl_module)
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file(self.weights, self.folder / WEIGHTS)
            record = {"objective": self.objective, "epoch": self.epoch, "n_epochs": trainer.current_epoch}
            (self.folder / RECORD).write_text(json.dumps(record))

    def validation_objective(self, trainer: lightning.Trainer) -> float:
        """What is to be as low as possible."""
        return float(trainer.callback_metrics["objective"])

    def _keep(self, objective: float, epoch: int, pl_module: lightning.LightningModule) -> None:
        self.objective, self.epoch = objective, epoch
        weights = pl_module.get_submodule(self.module).state_dict()
        self.weights = {name: value.detach().cpu().clone() for name, value in weights.items()}

    def state_dict(self) -> dict[str, Any]:
        """Goes into the checkpoint, so that a resumed run remembers an earlier best."""
        return {"objective": self.objective, "epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Counterpart of `state_dict`."""
        self.objective, self.epoch, self.weights = (state_dict[key] for key in ("objective", "epoch", "weights"))
