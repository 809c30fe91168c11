"""params.yaml: potential, and how its values become trainings."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from models.networks.potentials.ani import ANIParams
from models.networks.potentials.hipnn import HIPNNParams
from models.settings import Ascending, Some, settings
from models.training.potentials.forces import Method
from models.training.potentials.potential_loss import PotentialLoss
from models.training.potentials.potential_settings import PotentialSettings, epochs_of_steps, whole_validations
from pipeline.atoms.potential_data import SplitParams

__all__ = ["MODELS", "STORES", "PotentialParams", "TrainingParams"]

STORES = ("molecules", "aluminium")
MODELS = ("hipnn", "ani")


@settings
class LossParams:
    """Weights of errors: energy per atom [eV], force components [eV/A], virial per atom [eV]; and hierarchicality."""

    energy: NonNegativeFloat
    forces: NonNegativeFloat
    stress: NonNegativeFloat
    hierarchicality: NonNegativeFloat
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


@settings
class StepParams:
    """Of one network on one store; `steps` is the budget at all its training configurations."""

    steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: Annotated[float, Field(gt=0, le=1)]


@settings
class StoreParams:
    """One store: the loss, and both networks."""

    n_members: PositiveInt
    held_out: str | None  # a source that no set sees: out of distribution
    loss: LossParams
    hipnn: HIPNNParams
    hipnn_steps: StepParams
    ani: ANIParams
    ani_steps: StepParams

    def network(self, model: str) -> HIPNNParams | ANIParams:
        network: HIPNNParams | ANIParams = getattr(self, model)
        return network

    def steps(self, model: str) -> StepParams:
        steps: StepParams = getattr(self, f"{model}_steps")
        return steps


@settings
class TrainingParams:
    """What all trainings share; see models.training.potentials.potential_settings."""

    method: Method
    dtype: Literal["float32", "float64"]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    gradient_clip: NonNegativeFloat
    l2: NonNegativeFloat
    n_validations: PositiveInt


@settings
class CurveParams:
    """Learning curve: one network of each size, the whole training set being the first member of the ensemble."""

    store: Literal["molecules", "aluminium"]
    model: Literal["hipnn", "ani"]
    fractions: Annotated[Some[Annotated[float, Field(gt=0, lt=1)]], Ascending]


@settings
class PotentialParams:
    """params.yaml: potential."""

    seed: NonNegativeInt
    max_points: PositiveInt
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
