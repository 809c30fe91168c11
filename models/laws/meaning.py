"""Which learned coordinate is what, in words drawn from the numbers.

A coordinate (a latent, an axis of an embedding) is said to be the quantity with which its |Spearman| is largest; how
firmly is a matter of fixed thresholds, so that the same numbers always give the same words.
"""

from collections.abc import Mapping, Sequence

from models.laws.correlation import Interval

__all__ = ["describe_coordinate"]

# lowest |Spearman| -> what may be said; the first that fits is taken
VERDICTS = (
    (0.95, "is {quantity}, up to a monotone scale"),
    (0.90, "follows {quantity} closely"),
    (0.75, "follows {quantity} loosely"),
    (0.50, "is partly set by {quantity}"),
)
NEAR = 0.05  # a second quantity within this of the first is named beside it


def describe_coordinate(
    name: str,
    spearman: Mapping[str, Interval],
    *,
    words: Mapping[str, str],
    remarks: Sequence[str] = (),
) -> str:
    """One or two sentences from rank correlations, then `remarks`; `words` says quantity names in full."""
    ranked = sorted(spearman.items(), key=lambda item: -abs(item[1].value))
    quantity, strongest = ranked[0]
    verdict = next((text for low, text in VERDICTS if abs(strongest.value) >= low), None)
    if verdict is None:
        said = f"{name} is no single quantity of the list: the nearest is {words.get(quantity, quantity)}"
    else:
        said = f"{name} {verdict.format(quantity=words.get(quantity, quantity))}"
    said += f" (Spearman {_signed(strongest)})"
    near = [(q, i) for q, i in ranked[1:] if abs(strongest.value) - abs(i.value) < NEAR and verdict is not None]
    if near:
        said += ", and so nearly as well " + ", ".join(f"{words.get(q, q)} ({_signed(i)})" for q, i in near)
    elif len(ranked) > 1:
        said += f"; next comes {words.get(ranked[1][0], ranked[1][0])} ({ranked[1][1].value:+.2f})"
    return " ".join([f"{said}.", *remarks])


def _signed(interval: Interval) -> str:
    return f"{interval.value:+.3f}, 95 % interval {interval.low:+.3f} .. {interval.high:+.3f}"
