"""Progress of a training, reported after each tenth of it or five minutes, but at most every ten seconds.

A training of seconds stays silent, one of days does not. The callback only observes: it changes no number.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightning

__all__ = ["ProgressCallback", "TrainingProgress"]

LEAST_S, MOST_S, SHARE = 10.0, 300.0, 0.1


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """Epochs may end early, so the time left is the most that it takes. `objective`: of the last validation, or NaN."""

    epoch: int
    n_epochs: int
    step: int
    objective: float
    seconds_left: float


class ProgressCallback(lightning.Callback):
    """Hands a TrainingProgress to `report`; with several devices the first one does."""

    def __init__(
        self, report: Callable[[TrainingProgress], None], n_epochs: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.report, self.n_epochs, self.clock = report, n_epochs, clock
        self.first_at = self.reported_at = 0.0
        self.first_done = self.reported_done = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """The time left is judged by what this run has done, not by what an earlier one left."""
        self.first_at = self.reported_at = self.clock()
        self.first_done = self.reported_done = trainer.current_epoch / self.n_epochs

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,  # noqa: ANN401 - as Lightning has it
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Called after every step, so it is quick where nothing is to be reported."""
        now = self.clock()
        if now - self.reported_at < LEAST_S or not trainer.is_global_zero:
            return
        done = (trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches) / self.n_epochs
        if done - self.reported_done < SHARE and now - self.reported_at < MOST_S:
            return
        self.reported_at, self.reported_done = now, done
        self.report(
            TrainingProgress(
                epoch=trainer.current_epoch + 1,
                n_epochs=self.n_epochs,
                step=trainer.global_step,
                objective=float(trainer.callback_metrics.get("objective", math.nan)),
                seconds_left=(now - self.first_at) * (1 - done) / max(done - self.first_done, 1e-12),
            )
        )
