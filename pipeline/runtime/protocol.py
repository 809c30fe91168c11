"""Data on which things are chosen and data on which claims are measured, told apart by their seeds.

A claim measured on the data that settings were chosen on is worth little. So a range of seeds is kept for evaluation:
`latentlaw replicate` accepts no others, and a stage that chooses among settings refuses a store that was drawn with one
of them. A seed whose results were looked at to choose something is retired, in profiles/replication/protocol.yaml.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import xarray as xr
from pydantic import Field, NonNegativeInt

from models.settings import Range, Some, settings
from pipeline.runtime.params import build, read_yaml

__all__ = ["Protocol", "ProtocolError", "read_protocol", "require_development"]

PROTOCOL = Path(__file__).parents[2] / "profiles/replication/protocol.yaml"
SOURCE = "profiles/replication/protocol.yaml"


class ProtocolError(ValueError):
    """Development and evaluation would be mixed."""


@settings
class Protocol:
    """profiles/replication/protocol.yaml."""

    evaluation_seeds: Range[NonNegativeInt]
    retired_seeds: Annotated[tuple[NonNegativeInt, ...], Field(strict=False)]
    first_data_seed: NonNegativeInt
    training_seeds: Some[NonNegativeInt]
    boxes: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]

    def data_seeds(self, n: int) -> list[int]:
        """The first n that are not retired. Raises ProtocolError where the range has fewer."""
        low, high = self.evaluation_seeds
        seeds = [seed for seed in range(self.first_data_seed, high + 1) if seed not in self.retired_seeds][:n]
        if self.first_data_seed < low or len(seeds) < n:
            raise ProtocolError(
                f"{SOURCE}: found {len(seeds)} seeds from {self.first_data_seed} on within {low} .. {high}, expected "
                f"{n}; ask for fewer, or widen evaluation_seeds to seeds that were never used"
            )
        return seeds

    def require_evaluation(self, seeds: Mapping[str, int]) -> None:
        """`seeds`: what each is of. Raises ProtocolError that names all which are no evaluation seeds, or retired."""
        low, high = self.evaluation_seeds
        wrong = [
            f"{what}: found {seed}, expected {low} .. {high}" for what, seed in seeds.items() if not low <= seed <= high
        ]
        wrong += [
            f"{what}: found {seed}, which is retired, because something was chosen on its results"
            for what, seed in seeds.items()
            if seed in self.retired_seeds
        ]
        if wrong:
            raise ProtocolError("; ".join(wrong))


def read_protocol(path: Path = PROTOCOL) -> Protocol:
    return build(Protocol, read_yaml(path), "protocol", SOURCE)


def require_development(store: xr.Dataset, what: str) -> None:
    """Raises ProtocolError where `store` was drawn with an evaluation seed. `what` is chosen, such as "beta"."""
    low, high = read_protocol().evaluation_seeds
    if low <= (seed := int(store.attrs["seed"])) <= high:
        raise ProtocolError(
            f"{what} would be chosen on data drawn with seed {seed}, which is kept for evaluation ({low} .. {high}); "
            "choose on data with another seed, then state the choice in params"
        )
