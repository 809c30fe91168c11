"""What is wrong with settings of samplers, in words; each sampler raises all of its own in one message."""

import math

__all__ = ["number_problems", "range_problems", "refuse_if"]


def range_problems(name: str, given: tuple[float, float], *, above: float = 0.0) -> list[str]:
    low, high = given
    if math.isfinite(low) and math.isfinite(high) and above < low <= high:
        return []
    return [f"{name} = {list(given)}: expected [low, high] with {above:g} < low <= high"]


def number_problems(low: float = 0.0, **given: float) -> list[str]:
    """Numbers that are not finite or below `low`."""
    return [f"{k} = {v!r}: expected >= {low:g}" for k, v in given.items() if not (math.isfinite(v) and v >= low)]


def refuse_if(problems: list[str]) -> None:
    if problems:
        raise ValueError("; ".join(problems))
