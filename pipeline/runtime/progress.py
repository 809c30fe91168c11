"""How far a stage is: what, how many of how many, rate, time left.

On a terminal one line that renews itself; elsewhere (DVC, logs, CI) plain lines, at most one every few seconds.
"""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

__all__ = ["Progress", "clock_text", "note"]

LINE_EVERY_S = 5.0
RENEW_EVERY_S = 0.2


class Progress:
    """`with Progress("spectra", 400, "Hamiltonians") as progress: ... progress.advance(16)`.

    `done_before` counts what an earlier run left; it is shown but kept out of the rate.
    """

    def __init__(
        self,
        what: str,
        total: int,
        unit: str,
        *,
        done_before: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done, self.done_before = done_before, done_before
        self._stream = sys.stdout if stream is None else stream
        self._clock = clock
        self._is_terminal = self._stream.isatty()
        self._started = clock()
        self._shown_at = -float("inf")

    def __enter__(self) -> Self:
        self._show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_terminal:
            self._stream.write("\n")
            self._stream.flush()

    def advance(self, n: int = 1) -> None:
        self.done += n
        wait = RENEW_EVERY_S if self._is_terminal else LINE_EVERY_S
        if self.done >= self.total or self._clock() - self._shown_at >= wait:
            self._show()

    def line(self) -> str:
        elapsed = self._clock() - self._started
        fresh = self.done - self.done_before
        text = f"{self.what}: {self.done} of {self.total} {self.unit}"
        if fresh and elapsed > 0:
            rate = fresh / elapsed
            text += f", {rate:.3g} {self.unit}/s"
            text += f", {clock_text((self.total - self.done) / rate)} left" if self.done < self.total else ""
        elif self.done_before:
            text += " (from an earlier run)"
        return text

    def _show(self) -> None:
        self._shown_at = self._clock()
        self._stream.write(f"\r\x1b[K{self.line()}" if self._is_terminal else f"{self.line()}\n")
        self._stream.flush()


def note(text: str) -> None:
    """A line beside the progress, on stderr: on a terminal it takes the place of the line that renews itself."""
    print(f"\r\x1b[K{text}" if sys.stderr.isatty() else text, file=sys.stderr, flush=True)


def clock_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
