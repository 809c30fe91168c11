"""params.yaml: force_training."""

from dataclasses import dataclass

from pipeline.atoms.potential_networks import ANIParams, HIPNNParams
from pipeline.runtime.params import setting

__all__ = ["EqualTimeParams", "ForceTrainingParams", "SystemParams"]


@dataclass(frozen=True, kw_only=True)
class SystemParams:
    """One kind of batch and the networks that are timed on it."""

    n_configurations: int = setting(low=1)
    rattle_A: float = setting(low=0)
    hipnn: HIPNNParams
    ani: ANIParams


@dataclass(frozen=True, kw_only=True)
class EqualTimeParams:
    """Trainings of HIP-NN on the molecules store, all for the same time."""

    seconds: float = setting(low=0)  # of the CPU, each; 0: none
    batch_size: int = setting(low=1)
    learning_rate: float = setting(above=0, below=1)
    energy_weight: float = setting(above=0)
    force_weight: float = setting(above=0)


@dataclass(frozen=True, kw_only=True)
class ForceTrainingParams:
    """params.yaml: force_training."""

    seed: int = setting(low=0)
    n_repeats: int = setting(low=1)
    displacements: tuple[float, ...] = setting(above=0)
    n_configurations_error: int = setting(low=1)
    organic_molecules: SystemParams
    aluminium_108: SystemParams
    equal_time: EqualTimeParams
