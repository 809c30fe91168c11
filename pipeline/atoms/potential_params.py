"""params.yaml: potential, and how its values become trainings."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from models.networks.potentials.potential import POTENTIALS, ArchitectureSettings
from models.settings import Ascending, Some, settings
from models.training.potentials.forces import Method
from models.training.potentials.potential_loss import PotentialLoss
from models.training.potentials.potential_settings import PotentialSettings, epochs_of_steps, whole_validations
from pipeline.atoms.potential_data import SplitParams

__all__ = ["STORES", "PotentialParams", "TrainingParams"]

STORES = ("molecules", "aluminium")


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
    """One store: the loss, and the networks that are trained on it, by their names."""

    n_members: PositiveInt
    held_out: str | None  # a source that no set sees: out of distribution
    loss: LossParams
    networks: Annotated[dict[str, Any], POTENTIALS.by_name]
    steps: dict[str, StepParams]

    def __post_init__(self) -> None:
        if set(self.networks) != set(self.steps):
            raise ValueError(
                f"steps: found {sorted(self.steps)}, expected those of each of networks, {sorted(self.networks)}"
            )

    def network(self, model: str) -> ArchitectureSettings:
        network: ArchitectureSettings = self.networks[model]
        return network


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
    model: str  # of the networks of that store
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
        curve = self.learning_curve
        if curve.model not in (known := sorted(self.store(curve.store).networks)):
            raise ValueError(
                f"learning_curve.model: found {curve.model!r}, expected one of the networks of {curve.store}, {known}"
            )
        for store in STORES:
            for model in self.store(store).networks:
                self.settings(store, model, n_train=100)

    def store(self, name: str) -> StoreParams:
        return self.molecules if name == "molecules" else self.aluminium

    def settings(self, store: str, model: str, *, n_train: int, share: float = 1.0) -> PotentialSettings:
        """`share` of the steps; a part of the training set gets fewer of them."""
        budget, training = self.store(store).steps[model], self.training
        epochs = epochs_of_steps(max(1, round(share * budget.steps)), n_train, budget.batch_size)
        epochs, every = whole_validations(epochs, training.n_validations)
        return PotentialSettings(
            loss=self.store(store).loss.loss,
            method=training.method,
            learning_rate=budget.learning_rate,
            batch_size=budget.batch_size,
            max_batch_size=budget.batch_size,
            max_epochs=epochs,
            validate_every=every,
            l2=training.l2,
            gradient_clip=training.gradient_clip,
            ema_decay=training.ema_decay,
            dtype=training.dtype,
        )
