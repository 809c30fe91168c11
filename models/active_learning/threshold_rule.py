"""The contract of a threshold rule: from what is known of an ensemble, the spreads above which a frame is uncertain.

What is known after a training is two tables in the order of SPREADS (models.networks.potentials.ensemble): energy per
atom [eV], mean and largest of the force components [eV/A].

    spreads           of the ensemble on all labelled frames. Most members have trained on each of them, so these lie
                      far below the spreads on frames that no member has seen
    held_out_errors   of each member, against the labels, on the frames that it left out of its training

A rule is a settings class with `thresholds`; a new one is one file in threshold_rules/.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.frames import FloatArray
from models.networks.potentials.batched_dynamics import Thresholds
from models.networks.potentials.ensemble import SPREADS
from models.registry import Registry

__all__ = ["THRESHOLD_RULES", "Calibration", "ThresholdRule", "quantile_thresholds"]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What thresholds may be taken from; absolute values, in the order of SPREADS."""

    spreads: FloatArray  # (n_labelled, 3)
    held_out_errors: FloatArray  # (n_left_out, 3) one row for each member and frame that it left out


class ThresholdRule(Protocol):
    """Settings are its fields."""

    def thresholds(self, calibration: Calibration) -> Thresholds:
        """Thresholds of an ensemble. Raises ValueError where the calibration gives none above zero."""
        ...


THRESHOLD_RULES = Registry[ThresholdRule]("threshold rule", package="models.active_learning.threshold_rules")


def quantile_thresholds(values: FloatArray, quantile: float, factor: float) -> Thresholds:
    """factor x quantile of each column of `values` (n, 3).

    Raises ValueError for no rows, and for a quantile of zero: that of members that agree everywhere.
    """
    if not len(values):
        raise ValueError("thresholds: found no labelled frames to calibrate them on, expected some")
    bounds = (factor * np.quantile(values, quantile, axis=0)).tolist()
    return Thresholds(**dict(zip(SPREADS, bounds, strict=True)))
