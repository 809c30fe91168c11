"""When a training tells how far it is: in tenths, at most every ten seconds, at least every five minutes."""

from types import SimpleNamespace
from typing import Any

import pytest

from models.training.progress import ProgressCallback, TrainingProgress

N_BATCHES = 10


def trained(seconds_of_step: float, n_epochs: int, first_epoch: int = 0) -> list[TrainingProgress]:
    """What a training of so many epochs of ten steps tells."""
    now = [0.0]
    reported: list[TrainingProgress] = []
    teller = ProgressCallback(reported.append, n_epochs, clock=lambda: now[0])
    trainer: Any = SimpleNamespace(
        current_epoch=first_epoch,
        num_training_batches=N_BATCHES,
        global_step=N_BATCHES * first_epoch,
        is_global_zero=True,
        callback_metrics={"objective": 0.5},
    )
    module: Any = None
    teller.on_train_start(trainer, module)
    for epoch in range(first_epoch, n_epochs):
        trainer.current_epoch = epoch
        for batch in range(N_BATCHES):
            now[0] += seconds_of_step
            trainer.global_step += 1
            teller.on_train_batch_end(trainer, module, None, None, batch)
    return reported


@pytest.mark.parametrize(
    ("seconds_of_step", "n_epochs", "n_lines"),
    [(0.001, 100, 0), (0.02, 100, 1), (0.05, 100, 5), (1.0, 100, 10), (3600.0, 2, 20)],
)
def test_lines_are_few_whatever_the_training_takes(seconds_of_step: float, n_epochs: int, n_lines: int):
    assert abs(len(trained(seconds_of_step, n_epochs)) - n_lines) <= 1


def test_a_long_training_is_heard_of_every_five_minutes():
    assert len(trained(10.0, 1000)) == pytest.approx(10.0 * 1000 * N_BATCHES / 300, rel=0.1)


def test_the_time_left_is_judged_by_this_run_alone():
    for far in (*trained(1.0, 100), *trained(1.0, 100, first_epoch=60)):
        assert far.seconds_left == pytest.approx(100 * N_BATCHES - far.step)
