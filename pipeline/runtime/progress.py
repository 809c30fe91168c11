"""How far a stage is: what, how many of how many, rate, time left, by tqdm.

On a terminal one line that renews itself; elsewhere (DVC, logs, CI) plain lines, at most one every few seconds.
"""

import math
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:  # Lightning is slow to import, and this process may train nothing
    from models.training.progress import TrainingProgress

__all__ = ["note", "print_training_progress", "progress_bar"]

LINE_EVERY_S = 5.0
RENEW_EVERY_S = 0.2
LINE = "{desc}: {n_fmt} of {total_fmt}{unit}, {rate_fmt}, {remaining} left"


class Lines:
    """A log that gets the states of one renewed line as lines."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.last = stream, ""

    def write(self, text: str) -> None:
        if (line := text.strip()) and line != self.last:
            self.stream.write(f"{line}\n")
            self.last = line

    def flush(self) -> None:
        self.stream.flush()


def progress_bar(what: str, total: int, unit: str, *, done_before: int = 0, stream: TextIO | None = None) -> Any:  # noqa: ANN401 - tqdm has no types
    """`with progress_bar("spectra", 400, "Hamiltonians") as progress: ... progress.update(16)`; silent without `what`.

    `done_before` counts what an earlier run left; it is shown but kept out of the rate.
    """
    from tqdm import tqdm  # here, for workers import this file too, and show nothing

    tqdm.monitor_interval = 0  # no thread that watches over bars
    out = sys.stdout if stream is None else stream
    terminal = out.isatty()
    return tqdm(
        desc=what,
        total=total,
        unit=f" {unit}",
        initial=done_before,
        disable=not what,
        file=out if terminal else Lines(out),
        mininterval=RENEW_EVERY_S if terminal else LINE_EVERY_S,
        miniters=1,
        smoothing=0,
        dynamic_ncols=terminal,
        bar_format=None if terminal else LINE,
    )


def note(text: str) -> None:
    """A line beside the progress, on stderr: on a terminal it takes the place of the line that renews itself."""
    print(f"\r\x1b[K{text}" if sys.stderr.isatty() else text, file=sys.stderr, flush=True)


def print_training_progress(name: str, far: "TrainingProgress", *, stream: TextIO | None = None) -> None:
    """How far a training is, as a line of its own, also where another process keeps renewing one on the same terminal.

    It comes from where the training runs: local workers write to the terminal or log of the stage, others to their own.
    """
    from tqdm import tqdm

    out = sys.stdout if stream is None else stream
    loss = "" if math.isnan(far.objective) else f", validation loss {far.objective:.4g}"
    left = tqdm.format_interval(far.seconds_left)
    text = f"{name}: epoch {far.epoch} of {far.n_epochs}, step {far.step}{loss}, {left} left"
    out.write(f"\r\x1b[K{text}\n" if out.isatty() else f"{text}\n")
    out.flush()
