"""How far a training is, told now and then: after a tenth of it or five minutes, but at most every ten seconds.

A training of seconds stays silent, one of days is heard of. It looks on only: no number changes, told or not.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightning

__all__ = ["HowFar", "Telling"]

LEAST_S, MOST_S, SHARE = 10.0, 300.0, 0.1


@dataclass(frozen=True, kw_only=True)
class HowFar:
    """Epochs may end early, so the time left is the most that it takes. `objective`: of the last validation, or NaN."""

    epoch: int
    n_epochs: int
    step: int
    objective: float
    seconds_left: float


class Telling(lightning.Callback):
    """Hands a HowFar to `tell`; with several devices the first one does."""

    def __init__(
        self, tell: Callable[[HowFar], None], n_epochs: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.tell, self.n_epochs, self.clock = tell, n_epochs, clock
        self.first_at = self.told_at = 0.0
        self.first_done = self.told_done = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """The time left is judged by what this run has done, not by what an earlier one left."""
        self.first_at = self.told_at = self.clock()
        self.first_done = self.told_done = trainer.current_epoch / self.n_epochs

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,  # noqa: ANN401 - as Lightning has it
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Called after every step, so it is quick where nothing is to be told."""
        now = self.clock()
        if now - self.told_at < LEAST_S or not trainer.is_global_zero:
            return
        done = (trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches) / self.n_epochs
        if done - self.told_done < SHARE and now - self.told_at < MOST_S:
            return
        self.told_at, self.told_done = now, done
        self.tell(
            HowFar(
                epoch=trainer.current_epoch + 1,
                n_epochs=self.n_epochs,
                step=trainer.global_step,
                objective=float(trainer.callback_metrics.get("objective", math.nan)),
                seconds_left=(now - self.first_at) * (1 - done) / max(done - self.first_done, 1e-12),
            )
        )
