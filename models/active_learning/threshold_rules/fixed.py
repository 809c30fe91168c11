"""Thresholds that are stated, whatever the ensemble: J. S. Smith et al., Nat. Commun. 12, 1257 (2021)."""

from dataclasses import asdict

from pydantic import PositiveFloat

from models.active_learning.threshold_rule import THRESHOLD_RULES, Calibration
from models.networks.potentials.batched_dynamics import Thresholds
from models.settings import settings

__all__ = ["FixedThresholds"]


@THRESHOLD_RULES.register("fixed")
@settings
class FixedThresholds:
    """A loop with these ends when the spreads have fallen below them, whatever the errors are then."""

    energy_eV_atom: PositiveFloat
    force_mean_eV_A: PositiveFloat
    force_max_eV_A: PositiveFloat

    def thresholds(self, calibration: Calibration) -> Thresholds:
        return Thresholds(**asdict(self))
