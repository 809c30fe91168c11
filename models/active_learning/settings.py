"""params.yaml: active_learning, and how its values become starts, trainings and the loops of the control."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from models.active_learning.acquisition import ACQUISITIONS
from models.active_learning.threshold_rule import THRESHOLD_RULES
from models.networks.potentials.batched_dynamics import Dynamics, Physical
from models.networks.potentials.potential import POTENTIALS, PotentialNetwork
from models.physics.atoms.engine import ENGINES
from models.physics.atoms.labelling import LabelLimits
from models.physics.atoms.sampling.crystals import Crystals
from models.physics.atoms.sampling.defects import Defects
from models.physics.atoms.sampling.disordered import RandomPacked
from models.physics.atoms.sampling.driving_paths import DrivingPaths
from models.registry import Chosen
from models.settings import Fraction, Range, settings
from models.training.potentials.forces import Method
from models.training.potentials.potential_loss import PotentialLoss
from models.training.potentials.potential_settings import PotentialSettings, epochs_of_steps, whole_validations

__all__ = [
    "ActiveLearningParams",
    "ControlParams",
    "DrivenParams",
    "OrderedParams",
    "RoundsParams",
    "TestParams",
    "TrainingParams",
]


@settings
class DrivenParams:
    """Frames of the test set that the driving engine moves from random-packed starts, each at its own temperature."""

    n_frames: NonNegativeInt
    temperature_K: Range[NonNegativeFloat]
    n_steps: PositiveInt
    time_step_fs: PositiveFloat
    friction_1_fs: NonNegativeFloat


@settings
class TestParams:
    """The frozen test set: random-packed cells as they are, and driven ones."""

    packed: NonNegativeInt
    driven: DrivenParams


@settings
class OrderedParams:
    """First labels beside the random-packed ones, for who does not insist on disorder alone."""

    crystals: Crystals
    defects: Defects  # of fcc


@settings
class RoundsParams:
    """Rounds go on until `n_rounds`, or until a smaller share of trajectories than `least_rate` is uncertain."""

    n_rounds: PositiveInt
    n_trajectories: PositiveInt  # of each round
    trajectories_per_batch: PositiveInt  # side by side in one task
    quota: PositiveInt  # labels of each round, at most
    least_rate: Fraction
    acquisition: Annotated[Chosen, ACQUISITIONS]


@settings
class TrainingParams:
    """One ensemble; members differ in seed and in which of `n_folds` they leave for validation."""

    network: Annotated[Chosen, POTENTIALS]
    n_members: Annotated[int, Field(ge=2)]
    n_folds: Annotated[int, Field(ge=2)]
    start: Literal["fresh", "warm"]
    warm_share: Annotated[float, Field(gt=0, le=1)]  # of the steps, where a member goes on from the last round
    steps: PositiveInt
    final_steps: NonNegativeInt  # of a long training on all labels, fresh, after the last round; 0: none
    batch_size: PositiveInt
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    energy: NonNegativeFloat  # weights of the loss
    forces: NonNegativeFloat
    stress: NonNegativeFloat
    kind: Literal["squared", "huber", "rmse_mae"]
    method: Method
    dtype: Literal["float32", "float64"]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    n_validations: PositiveInt

    @property
    def network_class(self) -> Callable[..., PotentialNetwork]:
        return POTENTIALS[self.network.name].make

    def settings(self, n_train: int, share: float = 1.0, *, final: bool = False) -> PotentialSettings:
        steps = self.final_steps if final else max(1, round(share * self.steps))
        epochs = epochs_of_steps(steps, n_train, self.batch_size)
        epochs, every = whole_validations(epochs, self.n_validations)
        return PotentialSettings(
            loss=PotentialLoss(energy=self.energy, forces=self.forces, stress=self.stress, kind=self.kind),
            method=self.method,
            learning_rate=self.learning_rate * (1.0 if share == 1 else 0.5),
            batch_size=self.batch_size,
            max_batch_size=self.batch_size,
            max_epochs=epochs,
            validate_every=every,
            ema_decay=self.ema_decay,
            dtype=self.dtype,
        )


@settings
class ControlParams:
    """Active selection against two controls with an engine that costs next to nothing, over seeds.

    Seeds are first_seed .. first_seed + n_seeds; 0: left out. Each has its own test set.
    """

    n_seeds: NonNegativeInt
    first_seed: NonNegativeInt
    engine: Annotated[Chosen, ENGINES]
    bootstrap: Annotated[int, Field(ge=2)]
    test_packed: NonNegativeInt
    test_driven: NonNegativeInt
    n_rounds: PositiveInt
    n_trajectories: PositiveInt
    quota: PositiveInt
    n_members: Annotated[int, Field(ge=2)]
    steps: PositiveInt
    frames_per_task: PositiveInt


@settings
class ActiveLearningParams:
    """Section `active_learning` of params.yaml."""

    seed: NonNegativeInt
    element: str
    frames_per_task: PositiveInt  # labels that share a process; shapes no content
    random_control: bool  # a second loop that spends the same labels on frames taken at random
    engine: Annotated[Chosen, ENGINES]
    driver: Annotated[Chosen, ENGINES]  # moves part of the test frames, labels nothing
    limits: LabelLimits
    packed: RandomPacked  # n_frames: the first labels; trajectories start from such cells
    ordered: OrderedParams
    crystals: Crystals  # n_frames of the trajectories of each round start from these instead
    test: TestParams
    paths: DrivingPaths
    dynamics: Dynamics
    physical: Physical
    thresholds: Annotated[Chosen, THRESHOLD_RULES]  # of the spread, above which a frame is uncertain
    rounds: RoundsParams
    training: TrainingParams
    control: ControlParams

    def __post_init__(self) -> None:
        from ase.data import atomic_numbers

        problems = []
        if self.element not in atomic_numbers:
            problems.append(f"element: found {self.element!r}, expected a chemical symbol such as Al")
        if self.packed.n_frames < self.training.n_folds:
            problems.append(
                f"packed.n_frames: found {self.packed.n_frames}, expected at least training.n_folds = "
                f"{self.training.n_folds}, or a member would have nothing to be validated on"
            )
        if self.control.n_seeds and self.control.bootstrap < self.training.n_folds:
            problems.append(
                f"control.bootstrap: found {self.control.bootstrap}, expected at least training.n_folds = "
                f"{self.training.n_folds}"
            )
        if self.test.packed + self.test.driven.n_frames == 0:
            problems.append("test: found no frames, expected some: errors are measured on them")
        if self.packed.minimum_distance_A < self.physical.minimum_distance_A:
            problems.append(
                f"packed.minimum_distance_A: found {self.packed.minimum_distance_A:g}, expected at least "
                f"physical.minimum_distance_A = {self.physical.minimum_distance_A:g}: starts would be discarded"
            )
        if self.crystals.n_frames > self.rounds.n_trajectories:
            problems.append(
                f"crystals.n_frames: found {self.crystals.n_frames}, expected at most rounds.n_trajectories = "
                f"{self.rounds.n_trajectories}"
            )
        if self.training.energy + self.training.forces == 0:
            problems.append("training: found no weight of energy nor of forces in the loss, expected some")
        problems += self.paths.density_problems(self.packed.volume_A3[0], self.physical.minimum_distance_A)
        if problems:
            raise ValueError("; ".join(problems))
        self.training.settings(n_train=10)

    @property
    def n_bootstrap(self) -> int:
        """Labels before the first round."""
        return self.packed.n_frames + self.ordered.crystals.n_frames + self.ordered.defects.n_frames

    @property
    def number(self) -> int:
        from ase.data import atomic_numbers

        return int(atomic_numbers[self.element])

    def for_control(self) -> "ActiveLearningParams":
        """The same loop, smaller and with the engine of the control, which also drives the test frames."""
        loop = self.control
        return replace(
            self,
            frames_per_task=loop.frames_per_task,
            engine=loop.engine,
            driver=loop.engine,
            packed=replace(self.packed, n_frames=loop.bootstrap),
            ordered=OrderedParams(
                crystals=replace(self.ordered.crystals, n_frames=0), defects=replace(self.ordered.defects, n_frames=0)
            ),
            crystals=replace(self.crystals, n_frames=0),
            test=replace(
                self.test, packed=loop.test_packed, driven=replace(self.test.driven, n_frames=loop.test_driven)
            ),
            rounds=replace(
                self.rounds,
                n_rounds=loop.n_rounds,
                n_trajectories=loop.n_trajectories,
                quota=loop.quota,
                least_rate=0.0,
            ),
            training=replace(self.training, n_members=loop.n_members, steps=loop.steps, final_steps=0),
        )
