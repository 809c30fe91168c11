"""What the project set out to reach, every number once: read by the stages that judge themselves and by the pages.

None of these is a published value. They are the project's own thresholds, written down before the first measurement of
their stage, and kept where they are not reached.
"""

from typing import NamedTuple

__all__ = ["FORCE_TRAINING", "LATENTS", "MAPS", "ForceTrainingGoals", "LatentGoals", "MapGoals"]


class LatentGoals(NamedTuple):
    """At least; None: no goal."""

    spearman: float | None = None  # |Spearman| of one latent
    linear_direction: float | None = None  # of the best linear combination
    nonlinear_r2: float | None = None  # of all latents


class MapGoals(NamedTuple):
    """Linear R2 on the maps of micrographs. Fixed before any map was drawn; the rule that chooses the number of
    coordinates and the choice of the raw (not centred) two-point function for `over_raw_two_point` were not."""

    lamellae_r2: float  # at least: mean over the parameters, pretrained network
    over_raw_two_point: float  # at least: the same over that of the raw two-point correlation
    hidden_r2: float  # at least: the phase order, pretrained network
    pair_statistics_r2: float  # at most: the phase order, by any statistic of pairs


class ForceTrainingGoals(NamedTuple):
    """Costs of one training step with forces, in steps that train energies alone; at most."""

    fastest_time: float  # of the fastest method
    directional_time: float  # of a method without second-order graphs, which must also keep the next two
    directional_memory: float
    gradient_error: float  # relative to double backward in float64


LATENTS = {
    "log_T_K": LatentGoals(spearman=0.95, linear_direction=0.95, nonlinear_r2=0.99),
    "asymmetry": LatentGoals(spearman=0.90, linear_direction=0.90),
}
MAPS = MapGoals(lamellae_r2=0.88, over_raw_two_point=2.0, hidden_r2=0.94, pair_statistics_r2=0.05)
FORCE_TRAINING = ForceTrainingGoals(fastest_time=2.5, directional_time=3.0, directional_memory=1.3, gradient_error=5e-4)
