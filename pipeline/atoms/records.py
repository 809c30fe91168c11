"""What the stages of the lane `atoms` write for the report and for scripts, typed. Units stand in the names."""

from typing import Any, ClassVar

from pydantic import Field, RootModel

from pipeline.discover.records import BestFeature, Measured, Measures, Number, Together
from pipeline.runtime.records import Record, StageFile, StageRecord

__all__ = [
    "ActiveLearningDetails",
    "ActiveLearningMetrics",
    "AluminiumCurves",
    "AluminiumProperties",
    "Control",
    "Curve",
    "EnsembleErrors",
    "EqualTime",
    "Errors",
    "Estimate",
    "EstimateCurves",
    "FeatureReport",
    "ForceTrainingDetails",
    "ForceTrainingMetrics",
    "Gain",
    "GradientErrors",
    "HierarchyDetails",
    "HierarchyMetrics",
    "LearningCurve",
    "LearningPoint",
    "Parity",
    "PotentialDetails",
    "PotentialMetrics",
    "Property",
    "RoundDetails",
    "RoundErrors",
    "StepCost",
    "Terms",
]


class Errors(Record):
    """Errors on one set, beside the size of its labels; None or absent where there are no such labels."""

    energy_mae_meV_atom: Number = None
    energy_rmse_meV_atom: Number = None
    energy_sd_meV_atom: Number = None
    force_mae_eV_A: Number = None
    force_rmse_eV_A: Number = None
    force_mean_abs_eV_A: Number = None
    force_rms_eV_A: Number = None
    stress_mae_GPa: Number = None
    stress_rmse_GPa: Number = None


class Member(Record):
    seed: int
    best_epoch: int
    epochs: int


class EnsembleErrors(Errors):
    """Errors of an ensemble's mean on its test frames; `held_out`: on sources that training never saw."""

    n_train: int
    n_validation: int
    n_test: int
    n_members: int
    n_weights: int
    members: list[Member]
    held_out: Errors | None = None


class PotentialMetrics(StageRecord):
    path: ClassVar[str] = "reports/metrics/potential.json"
    stage: ClassVar[str] = "potential"

    stores: dict[str, dict[str, EnsembleErrors]]  # store -> model


class Pairs(Record):
    label: list[float]
    predicted: list[Number]


class Parity(Record):
    energy_eV_atom: Pairs  # above the reference
    force_eV_A: Pairs  # components


class LearningPoint(Record):
    n_train: int
    n_members: int
    energy_mae_meV_atom: Number = None
    energy_rmse_meV_atom: Number = None
    force_mae_eV_A: Number = None
    force_rmse_eV_A: Number = None


class LearningCurve(Record):
    store: str
    model: str
    points: list[LearningPoint]


class PotentialDetails(StageRecord):
    path: ClassVar[str] = "reports/details/potential.json"
    stage: ClassVar[str] = "potential"
    sort_keys: ClassVar[bool] = False

    parity: dict[str, Parity]  # store_model
    history: dict[str, list[list[dict[str, Any]]]]  # store_model -> member -> epoch
    learning_curve: LearningCurve


class StepCost(Record):
    """One method of force training, against a step that trains energies alone."""

    model: str
    system: str
    method: str
    device: str
    dtype: str
    time_ratio: float
    memory_ratio: float
    gradient_error: float
    energy_step_ms: float
    step_ms: float
    energy_step_MiB: float
    n_atoms: int
    n_pairs: int
    n_weights: int


class ForceTrainingMetrics(StageRecord):
    path: ClassVar[str] = "reports/metrics/force_training.json"
    stage: ClassVar[str] = "force_training"

    results: list[StepCost]


class GradientError(Record):
    dtype: str
    method: str
    displacement: float | None  # None: a method without one
    error: float


class GradientErrors(Record):
    model: str
    system: str
    points: list[GradientError]


class EqualTime(Record):
    training: str
    cpu_seconds: float
    steps: int
    energy_rmse_meV_atom: float
    force_rmse_eV_A: float


class ForceTrainingDetails(StageRecord):
    path: ClassVar[str] = "reports/details/force_training.json"
    stage: ClassVar[str] = "force_training"
    sort_keys: ClassVar[bool] = False

    gradient_errors: list[GradientErrors]
    equal_time: list[EqualTime]


class Judged(Record):
    """An estimate of the error against the error, on one set."""

    spearman: Measured
    mean_error: float
    area: float  # under the risk-coverage curve
    oracle_area: float
    relative_excess: Number
    miscalibration: Number
    n: int


class Estimate(Record):
    """`auroc`: how well the estimate separates unseen sources from held-out frames; `told_apart` in the file."""

    scale: Number
    auroc: Number = Field(default=None, alias="told_apart")
    held_out: Judged | None = None
    out_of_distribution: Judged | None = None

    @property
    def sets(self) -> dict[str, Judged]:
        both = {"held_out": self.held_out, "out_of_distribution": self.out_of_distribution}
        return {name: judged for name, judged in both.items() if judged}


class SetSize(Record):
    n_configs: int
    n_atoms: int
    sources: list[str]


class HierarchyMetrics(StageRecord):
    path: ClassVar[str] = "reports/metrics/hierarchy.json"
    stage: ClassVar[str] = "hierarchy"

    energy: dict[str, Estimate] | None = None
    forces: dict[str, Estimate] | None = None
    sets: dict[str, SetSize]
    latents: dict[str, BestFeature] | None

    @property
    def quantities(self) -> dict[str, dict[str, Estimate]]:
        both = {"energy": self.energy, "forces": self.forces}
        return {name: estimates for name, estimates in both.items() if estimates}


class Curve(Record):
    coverage: list[float]
    risk: list[float]
    oracle_risk: list[float]
    expected: list[float]
    observed: list[float]
    estimate: list[float]
    error: list[float]


class EstimateCurves(Record):
    held_out: Curve | None = None
    out_of_distribution: Curve | None = None

    @property
    def sets(self) -> dict[str, Curve]:
        both = {"held_out": self.held_out, "out_of_distribution": self.out_of_distribution}
        return {name: curve for name, curve in both.items() if curve}


class Terms(Record):
    """Of the hierarchy of HIP-NN."""

    rms_eV: list[float]
    hierarchicality_mean: Number


class FeatureReport(Record):
    """Which feature of HIP-NN follows which quantity; empty where there are too few trajectories."""

    n_atoms: int = 0
    associations: dict[str, dict[str, Measures]] = Field(default_factory=dict)
    together: dict[str, Together] = Field(default_factory=dict)
    meaning: tuple[str, ...] = ()
    best: dict[str, BestFeature] = Field(default_factory=dict)


class HierarchyDetails(StageRecord):
    path: ClassVar[str] = "reports/details/hierarchy.json"
    stage: ClassVar[str] = "hierarchy"
    sort_keys: ClassVar[bool] = False

    energy: dict[str, EstimateCurves] | None = None
    forces: dict[str, EstimateCurves] | None = None
    terms: dict[str, Terms]
    latents: FeatureReport

    @property
    def quantities(self) -> dict[str, dict[str, EstimateCurves]]:
        both = {"energy": self.energy, "forces": self.forces}
        return {name: curves for name, curves in both.items() if curves}


class RoundErrors(Record):
    """Of the ensemble trained after the labels of the round."""

    n_labels: int
    force_rmse: Number  # eV/A
    energy_rmse: Number  # eV/atom
    selected: int
    tried: int
    n_failed: int


class Gain(Record):
    """Mean over seeds with Student's interval; None with one seed."""

    mean: Number
    low: Number
    high: Number


class ControlRound(Record):
    n_labels: float  # mean over seeds
    force_rmse: Gain
    energy_rmse: Gain


class Control(Record):
    """The loop over seeds with a cheap oracle. Empty: not run.

    Gains are 1 - active / random, or 1 - active / plain, paired by seed, of those seeds that have chosen anything.
    """

    level: str = ""
    n_seeds: int = 0
    first_seed: int = 0
    uncertain: tuple[float, ...] = ()  # share of the active trajectories of each round, over all seeds
    rounds: tuple[ControlRound, ...] = ()
    random: tuple[ControlRound, ...] = ()
    plain: tuple[ControlRound, ...] = ()
    force_gain: Gain | None = None
    force_gain_all_rounds: Gain | None = None
    energy_gain: Gain | None = None
    energy_gain_all_rounds: Gain | None = None
    force_gain_over_plain: Gain | None = None
    force_gain_over_plain_all_rounds: Gain | None = None
    energy_gain_over_plain: Gain | None = None
    energy_gain_over_plain_all_rounds: Gain | None = None


class FinalErrors(Record):
    force_rmse: Number
    energy_rmse: Number


class ActiveLearningMetrics(StageRecord):
    path: ClassVar[str] = "reports/metrics/active_learning.json"
    stage: ClassVar[str] = "active_learning"

    level: str
    units: dict[str, str]
    rounds: list[RoundErrors]
    random: list[RoundErrors]
    final: FinalErrors | None
    oracle_control: Control


class Spread(Record):
    """Of the ensemble, or its thresholds."""

    energy_eV_atom: Number
    force_mean_eV_A: Number
    force_max_eV_A: Number


class Trace(Record):
    """Spread along one trajectory."""

    reason: str
    step: list[int]
    force_mean: list[Number]


class Frame(Record):
    """A frame at which a trajectory stopped."""

    numbers: list[int]
    positions_A: list[list[float]]
    cell_A: list[list[float]]
    step: int
    temperature_K: float
    spread: Spread


class RoundDetails(Record):
    round: int
    n_labels: int | None = None
    force_rmse: Number = None
    energy_rmse: Number = None
    selected: int
    tried: int
    n_failed: int | None = None
    errors: dict[str, Number] | None
    ended: dict[str, int]
    discarded: dict[str, int]
    n_duplicates: int
    thresholds: Spread | None
    spreads: list[list[Number]]
    steps: list[int]
    traces: list[Trace]
    frames: list[Frame]
    atom_steps: int
    cpu_s: dict[str, float]


class SeedRound(RoundErrors):
    cpu_s: dict[str, float]


class SeedRun(Record):
    seed: int
    arm: str
    rounds: list[SeedRound]
    uncertain: tuple[int, ...] = ()  # trajectories of each round


class ActiveLearningDetails(StageRecord):
    path: ClassVar[str] = "reports/details/active_learning.json"
    stage: ClassVar[str] = "active_learning"
    sort_keys: ClassVar[bool] = False

    rounds: list[RoundDetails]
    random: tuple[RoundDetails, ...] = ()
    final_cpu_s: float
    oracle_control: dict[str, SeedRun]


class Published(Record):
    value: float
    unit: str
    conditions: str
    source: str


class Property(Record):
    """One property beside its QM engine, published calculations and experiment."""

    value: Number
    unit: str
    family: str
    failure: str
    oracle: Number
    oracle_failure: str
    oracle_level: str | None = None
    literature_dft: Published | None
    experiment: Published | None
    relative_deviation: dict[str, Number]
    settings: dict[str, Any] | None


class AluminiumProperties(RootModel[dict[str, Property]], StageFile):
    path: ClassVar[str] = "reports/metrics/aluminium_properties.json"
    stage: ClassVar[str] = "aluminium_benchmark"


class PropertyCurve(Record):
    """What a family of properties was read from; the keys are those of `curve()` of its result."""

    family: str
    curve: dict[str, Any]
    oracle_curve: dict[str, Any] | None


class AluminiumCurves(RootModel[dict[str, PropertyCurve]], StageFile):
    path: ClassVar[str] = "reports/details/aluminium_benchmark.json"
    stage: ClassVar[str] = "aluminium_benchmark"
    sort_keys: ClassVar[bool] = False
