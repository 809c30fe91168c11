"""params.yaml: force_training."""

from typing import Annotated

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from models.networks.potentials.ani import ANIParams
from models.networks.potentials.hipnn import HIPNNParams
from models.settings import Some, settings

__all__ = ["EqualTimeParams", "ForceTrainingParams", "SystemParams"]


@settings
class SystemParams:
    """One kind of batch and the networks that are timed on it."""

    n_configurations: PositiveInt
    rattle_A: NonNegativeFloat
    hipnn: HIPNNParams
    ani: ANIParams


@settings
class EqualTimeParams:
    """Trainings of HIP-NN on the molecules store, all for the same time."""

    seconds: NonNegativeFloat  # of the CPU, each; 0: none
    batch_size: PositiveInt
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    energy_weight: PositiveFloat
    force_weight: PositiveFloat


@settings
class ForceTrainingParams:
    """params.yaml: force_training."""

    seed: NonNegativeInt
    n_repeats: PositiveInt
    displacements: Some[PositiveFloat]
    n_configurations_error: PositiveInt
    organic_molecules: SystemParams
    aluminium_108: SystemParams
    equal_time: EqualTimeParams
