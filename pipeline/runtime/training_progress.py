"""How far a training is, as a line.

It comes from where the training runs: local workers write to the terminal or log of the stage, others to their own.
"""

import math
import sys
from typing import TYPE_CHECKING, TextIO

from pipeline.runtime.progress import clock_text

if TYPE_CHECKING:  # Lightning is slow to import, and this process may train nothing
    from models.training.telling import HowFar

__all__ = ["tell_training"]


def tell_training(name: str, far: "HowFar", *, stream: TextIO | None = None) -> None:
    """A line of its own, also where another process keeps renewing one on the same terminal."""
    out = sys.stdout if stream is None else stream
    loss = "" if math.isnan(far.objective) else f", validation loss {far.objective:.4g}"
    text = f"{name}: epoch {far.epoch} of {far.n_epochs}, step {far.step}{loss}, {clock_text(far.seconds_left)} left"
    out.write(f"\r\x1b[K{text}\n" if out.isatty() else f"{text}\n")
    out.flush()
