"""Which of many frames to label next: the contract of a choice, and the thresholds of what counts as uncertain.

thresholds    fixed, or factor x quantile of the spreads on a calibration set (the frames already labelled), so that
              ensembles whose absolute spread differs need no tuning
choice        by an acquisition of the registry, `rounds.acquisition: {name: diverse, ...}` in params; a new one is
              one file in acquisitions/
"""

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import Field, PositiveFloat

from models.frames import FloatArray, Frames
from models.networks.potentials.batched_dynamics import Thresholds
from models.networks.potentials.ensemble import SPREADS
from models.registry import Registry
from models.settings import settings

__all__ = ["ACQUISITIONS", "Acquisition", "Selection", "ThresholdRule", "calibrate"]


@settings
class ThresholdRule:
    """`fixed` takes the three values; `quantile` takes factor x that quantile of the spreads on known frames."""

    kind: Literal["quantile", "fixed"]
    quantile: Annotated[float, Field(gt=0, le=1)]
    factor: PositiveFloat
    energy_eV_atom: PositiveFloat
    force_mean_eV_A: PositiveFloat
    force_max_eV_A: PositiveFloat


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


def calibrate(rule: ThresholdRule, known: FloatArray) -> Thresholds:
    """Thresholds for an ensemble with these spreads (M, 3) on frames that are labelled.

    Raises ValueError for no frames and for members that agree everywhere, whose quantile would be no threshold.
    """
    if rule.kind == "fixed":
        return Thresholds(**{name: getattr(rule, name) for name in SPREADS})
    if not len(known):
        raise ValueError("thresholds: found no labelled frames to calibrate them on, expected some")
    bounds = [rule.factor * float(np.quantile(column, rule.quantile)) for column in known.T]
    return Thresholds(**dict(zip(SPREADS, bounds, strict=True)))
