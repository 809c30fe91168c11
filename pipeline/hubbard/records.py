"""What the stages of the lane `hubbard` write for the report and for scripts, typed."""

from typing import ClassVar

from pipeline.discover.records import Discovery, Formula, Number
from pipeline.runtime.records import Record, StageRecord

__all__ = ["Coexistence", "Deviation", "HubbardDiscovery", "HubbardMetrics", "MottMetrics", "WeightLaw"]


class Deviation(Record):
    """|found - expected| over the rows to which a rule applies."""

    n_rows: int
    median: Number
    worst: Number


class HubbardMetrics(StageRecord):
    path: ClassVar[str] = "reports/metrics/hubbard.json"
    stage: ClassVar[str] = "hubbard"

    n_rows: int
    n_points: int
    n_not_converged: int
    n_iterations: int
    pinning: Deviation  # of (pi/2) A(0) D from 1: Fermi liquids at half filling, T below a twentieth of Z D
    luttinger: Deviation  # of n from that of the lattice filled up to mu - Re Sigma(0): doped ones
    hash: str


class HubbardDiscovery(Discovery):
    path: ClassVar[str] = "reports/metrics/discover_hubbard.json"
    stage: ClassVar[str] = "discover@hubbard"


class WeightLaw(Record):
    """A formula for Z(U): how much of the variance it explains on rows that no fit saw."""

    name: str
    equation: str
    n_fitted: int  # numbers in it that were fitted to training rows
    r2_test: Number
    r2_extrapolation: Number  # on the rows of largest U
    critical_interaction: Number  # [D] the least U above all rows trained on at which Z falls to 0; None: not below 6 D
    low: Number = None  # of a bootstrap of the training rows
    high: Number = None


class Coexistence(Record):
    """Points of half filling solved from both starts where both converged."""

    n_points: int
    n_two_solutions: int  # their double occupancies differ by more than what convergence leaves open
    lowest_interaction: Number  # [D] of those with two
    highest_interaction: Number


class MottMetrics(StageRecord):
    path: ClassVar[str] = "reports/metrics/mott.json"
    stage: ClassVar[str] = "mott"

    engine: str
    n_train: int
    n_test: int
    n_validation: int  # rows that choose the formula, U above all it was fitted to
    n_extrapolation: int
    trained_up_to: float  # [D] of U
    chosen_up_to: float
    laws: list[WeightLaw]  # the found one first
    control_r2_test: Number  # of the same search on the weights of other U, scored on the true ones
    formula: Formula
    coexistence: Coexistence
