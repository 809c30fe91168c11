"""Learning rate and batch size in the course of a training.

    plateau    HIP-NN's: a number of epochs without a lower validation loss (`patience`) doubles the batch; once that is
               at its largest, it halves the learning rate instead
    one_cycle  a fixed number of steps: a short linear rise, then half a cosine down to a thousandth

A step is a function of what a checkpoint holds, so a resumed training goes on as if it had not stopped.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Plateau", "one_cycle"]

RISE, START, END = 0.05, 0.1, 1e-3


@dataclass(kw_only=True)
class Plateau:
    """State of the plateau schedule; `observe` is called after every validation."""

    learning_rate: float
    batch_size: int
    max_batch_size: int
    patience: int  # epochs
    best: float = math.inf
    since: int = -1  # epoch of the lowest loss, or of the last change

    def observe(self, objective: float, epoch: int) -> None:
        """Learn the validation loss of `epoch`; may raise the batch size or lower the learning rate."""
        if objective < self.best:
            self.best, self.since = objective, epoch
        elif epoch - self.since > self.patience:
            self.since = epoch
            if self.batch_size < self.max_batch_size:
                self.batch_size = min(2 * self.batch_size, self.max_batch_size)
            else:
                self.learning_rate /= 2

    def state(self) -> dict[str, Any]:
        return asdict(self)


def one_cycle(progress: float) -> float:
    """Learning rate relative to its peak when this share (0 .. 1) of all steps is done."""
    if progress < RISE:
        return START + (1 - START) * progress / RISE
    return END + (1 - END) * (1 + math.cos(math.pi * min(1.0, (progress - RISE) / (1 - RISE)))) / 2
