"""params.yaml: potential, and how its values become trainings."""

from dataclasses import dataclass
from typing import Literal

from models.training.potentials.forces import Method
from models.training.potentials.potential_loss import PotentialLoss
from models.training.potentials.potential_settings import PotentialSettings
from pipeline.atoms.potential_data import SplitParams
from pipeline.atoms.potential_networks import ANIParams, HIPNNParams, NetworkParams
from pipeline.runtime.params import setting

__all__ = ["MODELS", "STORES", "PotentialParams", "TrainingParams", "epochs_of_steps", "whole_validations"]

STORES = ("molecules", "aluminium")
MODELS = ("hipnn", "ani")


@dataclass(frozen=True, kw_only=True)
class LossParams:
    """Weights of errors: energy per atom [eV], force components [eV/A], virial per atom [eV]; and hierarchicality."""

    energy: float = setting(low=0)
    forces: float = setting(low=0)
    stress: float = setting(low=0)
    hierarchicality: float = setting(low=0)
    kind: Literal["squared", "huber", "rmse_mae"]

    @property
    def loss(self) -> PotentialLoss:
        return PotentialLoss(
            energy=self.energy,
            forces=self.forces,
            stress=self.stress,
            hierarchicality=self.hierarchicality,
            kind=self.kind,
        )


@dataclass(frozen=True, kw_only=True)
class StepParams:
    """Of one network on one store; `steps` is the budget at all its training configurations."""

    steps: int = setting(low=1)
    batch_size: int = setting(low=1)
    learning_rate: float = setting(above=0, high=1)


@dataclass(frozen=True, kw_only=True)
class StoreParams:
    """One store: the loss, and both networks."""

    n_members: int = setting(low=1)
    held_out: str | None  # a source that no set sees: out of distribution
    loss: LossParams
    hipnn: HIPNNParams
    hipnn_steps: StepParams
    ani: ANIParams
    ani_steps: StepParams

    def network(self, model: str) -> NetworkParams:
        return self.hipnn if model == "hipnn" else self.ani

    def steps(self, model: str) -> StepParams:
        return self.hipnn_steps if model == "hipnn" else self.ani_steps


@dataclass(frozen=True, kw_only=True)
class TrainingParams:
    """What all trainings share; see models.training.potentials.potential_settings."""

    method: Method
    dtype: Literal["float32", "float64"]
    ema_decay: float = setting(low=0, below=1)
    gradient_clip: float = setting(low=0)
    l2: float = setting(low=0)
    n_validations: int = setting(low=1)


@dataclass(frozen=True, kw_only=True)
class CurveParams:
    """Learning curve: one network of each size, the whole training set being the first member of the ensemble."""

    store: Literal["molecules", "aluminium"]
    model: Literal["hipnn", "ani"]
    fractions: tuple[float, ...] = setting(above=0, below=1, ascending=True)


@dataclass(frozen=True, kw_only=True)
class PotentialParams:
    """params.yaml: potential."""

    seed: int = setting(low=0)
    max_points: int = setting(low=1)
    split: SplitParams
    training: TrainingParams
    molecules: StoreParams
    aluminium: StoreParams
    learning_curve: CurveParams

    def __post_init__(self) -> None:
        for store in STORES:
            for model in MODELS:
                self.settings(store, model, n_train=100)

    def store(self, name: str) -> StoreParams:
        return self.molecules if name == "molecules" else self.aluminium

    def settings(self, store: str, model: str, *, n_train: int, share: float = 1.0) -> PotentialSettings:
        """`share` of the steps; a part of the training set gets fewer of them."""
        own, how = self.store(store).steps(model), self.training
        epochs = epochs_of_steps(max(1, round(share * own.steps)), n_train, own.batch_size)
        epochs, every = whole_validations(epochs, how.n_validations)
        return PotentialSettings(
            loss=self.store(store).loss.loss,
            method=how.method,
            learning_rate=own.learning_rate,
            batch_size=own.batch_size,
            max_batch_size=own.batch_size,
            max_epochs=epochs,
            validate_every=every,
            l2=how.l2,
            gradient_clip=how.gradient_clip,
            ema_decay=how.ema_decay,
            dtype=how.dtype,
        )


def epochs_of_steps(steps: int, n_train: int, batch_size: int) -> int:
    """As many epochs as hold at least `steps` batches."""
    per_epoch = max(1, n_train // min(batch_size, n_train))
    return -(-steps // per_epoch)


def whole_validations(epochs: int, n_validations: int) -> tuple[int, int]:
    """Epochs, rounded up such that the last one is validated, and how many lie between validations."""
    every = max(1, epochs // n_validations)
    return -(-epochs // every) * every, every
