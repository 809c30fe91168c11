"""Which of many frames to label next: the contract of a choice.

The candidates are uncertain, with a spread above its threshold (models.active_learning.threshold_rule); which of them
are labelled says an acquisition of the registry, `rounds.acquisition: {name: diverse, ...}` in params. A new one is one
file in acquisitions/.
"""

from dataclasses import dataclass
from typing import Protocol

from models.frames import FloatArray, Frames
from models.registry import Registry

__all__ = ["ACQUISITIONS", "Acquisition", "Selection"]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Row numbers among the candidates: what to label, and what was too near to something labelled or chosen."""

    chosen: list[int]
    duplicates: list[int]


class Acquisition(Protocol):
    """Chooses frames; its settings are those that params state."""

    def choose(self, candidates: Frames, ratios: FloatArray, labelled: Frames, quota: int) -> Selection:
        """At most `quota` of the candidates, whose spread / threshold are `ratios` (M,)."""


ACQUISITIONS: Registry[Acquisition] = Registry("acquisition", package="models.active_learning.acquisitions")
