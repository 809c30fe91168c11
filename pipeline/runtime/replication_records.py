"""The file that `latentlaw replicate` writes: every claim with its interval, and all values that it is made of."""

from typing import ClassVar

from pipeline.runtime.records import Record, StageRecord

__all__ = ["Claim", "MeasuredValue", "Measurement", "ReplicationMetrics"]

Number = float | None  # None: there is none


class MeasuredValue(Record):
    """One number of one data seed and, where one is involved, one training."""

    claim: str
    rows: str
    kind: str
    value: float
    training_seed: int | None
    baseline: str
    baseline_value: Number


class Measurement(Record):
    """What one data seed gave."""

    lane: str
    box: str
    data_seed: int
    measured: list[MeasuredValue]


class Claim(Record):
    """Mean over data seeds of the means over trainings, with its 95 % interval over data seeds."""

    claim: str
    box: str
    rows: str
    n_data_seeds: int
    n_trainings: int
    value: float
    low: Number
    high: Number
    lowest: float  # of all trainings of all seeds
    baseline: str
    baseline_value: Number
    ahead: Number  # of the baseline, paired
    ahead_low: Number
    ahead_high: Number


class ReplicationMetrics(StageRecord):
    """Written by `latentlaw replicate`."""

    path: ClassVar[str] = "reports/metrics/replication.json"
    stage: ClassVar[str] = "replicate"
    sort_keys: ClassVar[bool] = False

    data_seeds: list[int]
    training_seeds: list[int]
    claims: list[Claim]
    measurements: list[Measurement]
