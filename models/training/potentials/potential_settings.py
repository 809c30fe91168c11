"""How a potential is trained; what it is stands in its network's Config."""

from dataclasses import field
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from models.settings import settings
from models.training.potentials.forces import DISPLACEMENT, Method
from models.training.potentials.potential_loss import PotentialLoss

__all__ = ["PotentialSettings", "epochs_of_steps", "whole_validations"]


@settings
class PotentialSettings:
    """`schedule` one_cycle runs all of `max_epochs`, for a fixed budget; plateau ends by `termination_patience`.

    Epochs are counted in epochs, sizes in configurations. `l2` weighs the sum of squared weights (not of biases).
    `ema_decay` > 0 validates and keeps a moving average of the weights. `compile` needs a method without a graph of
    second derivatives.
    """

    loss: PotentialLoss = field(default_factory=PotentialLoss)
    method: Method = "double_backward"
    displacement: Annotated[float, Field(gt=0, le=1)] = DISPLACEMENT
    schedule: Literal["one_cycle", "plateau"] = "one_cycle"
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-3
    batch_size: PositiveInt = 16
    max_batch_size: PositiveInt = 128  # of plateau
    max_epochs: PositiveInt = 200
    patience: NonNegativeInt = 25  # of plateau
    termination_patience: PositiveInt = 10**9
    validate_every: PositiveInt = 1
    validation_batch: PositiveInt = 64
    l2: NonNegativeFloat = 0.0
    gradient_clip: NonNegativeFloat = 10.0  # of the norm over all weights; 0: none
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    dtype: Literal["float32", "float64"] = "float32"
    autocast: bool = False  # matrix products in bfloat16
    tf32: bool = False  # matrix products of float32 in TF32, on GPUs that have it
    compile: bool = False

    def __post_init__(self) -> None:
        problems = []
        if self.validate_every > self.max_epochs:
            problems.append(f"validate_every: found {self.validate_every}, expected <= {self.max_epochs} (max_epochs)")
        if self.compile and self.loss.needs_gradient and self.method != "finite_difference":
            problems.append(
                f"compile: found method {self.method!r}, expected finite_difference (or a loss of energies alone), "
                "because compiled networks have no second derivatives"
            )
        if problems:
            raise ValueError("; ".join(problems))

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
