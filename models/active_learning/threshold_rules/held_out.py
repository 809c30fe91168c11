"""Thresholds from errors on frames that a member left out of its training: factor x quantile.

A spread on a new frame is compared with an error on a new frame, not with a spread on a frame that was learnt. With
members whose errors on new frames are independent and of standard deviation s, the spread of n members has the
expectation s sqrt((n - 1) / n) there: below the error of one of them. A trajectory is uncertain where the members
disagree by more than they were wrong on labels that they had not seen. So the share of uncertain trajectories falls as
the labels come to cover what trajectories visit, and the loop can end (`least_rate`).

The frames left out also chose the best step of a training, which makes the errors on them a little too small, and they
are among the more uncertain ones that earlier rounds have chosen, which makes them larger than on an average frame.
"""

from typing import Annotated

from pydantic import Field, PositiveFloat

from models.active_learning.threshold_rule import THRESHOLD_RULES, Calibration, quantile_thresholds
from models.networks.potentials.batched_dynamics import Thresholds
from models.settings import settings

__all__ = ["HeldOutThresholds"]


@THRESHOLD_RULES.register("held_out")
@settings
class HeldOutThresholds:
    """factor x that quantile of the errors of members on frames that they left out."""

    quantile: Annotated[float, Field(gt=0, le=1)]
    factor: PositiveFloat

    def thresholds(self, calibration: Calibration) -> Thresholds:
        """Raises ValueError for no frames left out and for members without any error."""
        return quantile_thresholds(calibration.held_out_errors, self.quantile, self.factor)
