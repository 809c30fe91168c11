"""How a potential is trained; what it is stands in its network's Config."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch

from models.training.potentials.forces import DISPLACEMENT, Method
from models.training.potentials.potential_loss import PotentialLoss

__all__ = ["PotentialSettings", "epochs_of_steps", "whole_validations"]


@dataclass(frozen=True, kw_only=True)
class PotentialSettings:
    """`schedule` one_cycle runs all of `max_epochs`, for a fixed budget; plateau ends by `termination_patience`.

    Epochs are counted in epochs, sizes in configurations. `l2` weighs the sum of squared weights (not of biases).
    `ema_decay` > 0 validates and keeps a moving average of the weights. `compile` needs a method without a graph of
    second derivatives.
    """

    loss: PotentialLoss = field(default_factory=PotentialLoss)
    method: Method = "double_backward"
    displacement: float = DISPLACEMENT
    schedule: Literal["one_cycle", "plateau"] = "one_cycle"
    learning_rate: float = 5e-3
    batch_size: int = 16
    max_batch_size: int = 128  # of plateau
    max_epochs: int = 200
    patience: int = 25  # of plateau
    termination_patience: int = 10**9
    validate_every: int = 1
    validation_batch: int = 64
    l2: float = 0.0
    gradient_clip: float = 10.0  # of the norm over all weights; 0: none
    ema_decay: float = 0.99
    dtype: Literal["float32", "float64"] = "float32"
    autocast: bool = False  # matrix products in bfloat16
    tf32: bool = False  # matrix products of float32 in TF32, on GPUs that have it
    compile: bool = False

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "displacement": (1e-12, 1.0),
            "learning_rate": (1e-12, 1.0),
            "batch_size": (1, 10**9),
            "max_batch_size": (1, 10**9),
            "max_epochs": (1, 10**9),
            "patience": (0, 10**9),
            "termination_patience": (1, 10**9),
            "validate_every": (1, self.max_epochs),
            "validation_batch": (1, 10**9),
            "l2": (0.0, math.inf),
            "gradient_clip": (0.0, math.inf),
            "ema_decay": (0.0, 1.0 - 1e-9),
        }
        problems = [
            f"{name}: found {getattr(self, name)!r}, expected {low} .. {high}"
            for name, (low, high) in ranges.items()
            if not (math.isfinite(getattr(self, name)) and low <= getattr(self, name) <= high)
        ]
        choices = {"method": get_args(Method), "schedule": ("one_cycle", "plateau"), "dtype": ("float32", "float64")}
        problems += [
            f"{name}: found {getattr(self, name)!r}, expected one of {list(allowed)}"
            for name, allowed in choices.items()
            if getattr(self, name) not in allowed
        ]
        if self.compile and self.loss.needs_gradient and self.method != "finite_difference":
            problems.append(
                f"compile: found method {self.method!r}, expected finite_difference (or a loss of energies alone), "
                "because compiled networks have no second derivatives"
            )
        if problems:
            raise ValueError("training settings: " + "; ".join(problems))

    @property
    def torch_dtype(self) -> torch.dtype:
        return torch.float64 if self.dtype == "float64" else torch.float32


def epochs_of_steps(steps: int, n_train: int, batch_size: int) -> int:
    """As many epochs as hold at least `steps` batches."""
    per_epoch = max(1, n_train // min(batch_size, n_train))
    return -(-steps // per_epoch)


def whole_validations(epochs: int, n_validations: int) -> tuple[int, int]:
    """Epochs, rounded up such that the last one is validated, and how many lie between validations."""
    every = max(1, epochs // n_validations)
    return -(-epochs // every) * every, every
