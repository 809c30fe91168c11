"""params.yaml: force_training."""

from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from models.networks.potentials.potential import POTENTIALS
from models.registry import Chosen
from models.settings import Some, settings
from pipeline.atoms.potential_data import SplitParams

__all__ = ["EqualTimeParams", "ForceTrainingParams", "SystemParams"]


@settings
class SystemParams:
    """One kind of batch and the networks that are timed on it."""

    n_configurations: PositiveInt
    rattle_A: NonNegativeFloat
    networks: Annotated[dict[str, Any], POTENTIALS.by_name]


@settings
class EqualTimeParams:
    """Trainings of one network on the molecules store, all for the same time."""

    network: Annotated[Chosen, POTENTIALS]
    split: SplitParams
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
