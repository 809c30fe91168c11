"""What all generators ask of their parameters, as sentences; a generator raises them together in one ValueError."""

import math
from collections.abc import Sequence

__all__ = ["SMALLEST_PX", "number_problems", "shape_problems"]

SMALLEST_PX = 8


def shape_problems(shape: Sequence[int]) -> list[str]:
    """Problems of an image shape (n_y, n_x) [px]."""
    whole = isinstance(shape, Sequence) and all(isinstance(n, int) and not isinstance(n, bool) for n in shape)
    if whole and len(shape) == 2 and min(shape) >= SMALLEST_PX:
        return []
    return [f"shape = {shape!r}: expected two whole numbers (n_y, n_x) >= {SMALLEST_PX} px"]


def number_problems(
    name: str,
    value: float,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    whole: bool = False,
) -> list[str]:
    """Problems of one number; `low` and `high` are allowed, `above` and `below` not."""
    kind = int if whole else (int, float)
    is_number = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
    if is_number and low <= value <= high and above < value < below:
        return []
    limits = [
        f"{sign} {limit:g}"
        for sign, limit in ((">=", low), (">", above), ("<=", high), ("<", below))
        if math.isfinite(limit)
    ]
    wanted = "a whole number" if whole else "a finite number"
    return [f"{name} = {value!r}: expected {' '.join([wanted, ' and '.join(limits)]).strip()}"]
