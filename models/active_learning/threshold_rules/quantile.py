"""Thresholds from the spreads on the labelled frames: factor x quantile.

Members have trained on these frames and agree on them, the better the longer they were trained. So these thresholds
fall with the spreads on new frames, and most trajectories stay uncertain: 92 to 100 % in the rounds of the default
control. For loops that should spend all their rounds.
"""

from typing import Annotated

from pydantic import Field, PositiveFloat

from models.active_learning.threshold_rule import THRESHOLD_RULES, Calibration, quantile_thresholds
from models.networks.potentials.batched_dynamics import Thresholds
from models.settings import settings

__all__ = ["QuantileThresholds"]


@THRESHOLD_RULES.register("quantile")
@settings
class QuantileThresholds:
    """factor x that quantile of the spreads on labelled frames."""

    quantile: Annotated[float, Field(gt=0, le=1)]
    factor: PositiveFloat

    def thresholds(self, calibration: Calibration) -> Thresholds:
        """Raises ValueError for no frames and for members that agree everywhere."""
        return quantile_thresholds(calibration.spreads, self.quantile, self.factor)
