"""The claims measured again on fresh seeds, as a table: of the report, and of docs/protocol.md.

What `latentlaw replicate` wrote last, whatever it says. The weakest training stands beside every mean.
"""

from collections.abc import Sequence
from pathlib import Path

from pipeline.report.page import Section, Table, number, value_with_interval
from pipeline.runtime.replication import claims_of
from pipeline.runtime.replication_records import Claim, ReplicationMetrics

__all__ = ["COLUMNS", "claim_cells", "fresh_claims", "read_replication", "replication_sections"]

COLUMNS = ("claim", "box", "mean [95 %]", "smallest", "strongest baseline", "ahead of it", "seeds", "rows")


def read_replication(root: Path) -> ReplicationMetrics | None:
    """None where it has not been run."""
    return ReplicationMetrics.read(root) if (root / ReplicationMetrics.path).is_file() else None


def fresh_claims(root: Path) -> dict[str, Claim]:
    """The claims of the box `default` by name; none where it has not been run."""
    metrics = read_replication(root)
    return {} if metrics is None else {one.claim: one for one in metrics.claims if one.box == "default"}


def claim_cells(claims: Sequence[Claim]) -> list[list[str]]:
    return [
        [
            one.claim,
            one.box,
            value_with_interval(one.value, one.low, one.high),
            number(one.lowest),
            f"{one.baseline} {number(one.baseline_value)}" if one.baseline else "",
            value_with_interval(one.ahead, one.ahead_low, one.ahead_high) if one.ahead is not None else "",
            f"{one.n_data_seeds} of data, {one.n_trainings} values",
            one.rows,
        ]
        for one in claims
    ]


def replication_sections(root: Path, lane: str) -> list[Section]:
    """Of one lane; empty where nothing of it was measured again."""
    metrics = read_replication(root)
    if metrics is None:
        return []
    measurements = [one for one in metrics.measurements if one.lane == lane]
    claims = claims_of(measurements)
    if not claims:
        return []
    seeds = sorted({one.data_seed for one in measurements})
    trained = any(measured.training_seed is not None for one in measurements for measured in one.measured)
    trainings = f", training seeds {', '.join(map(str, metrics.training_seeds))}" if trained else ""
    return [
        Section(
            anchor=f"{lane}-replication",
            title="Measured again on fresh seeds",
            introduction="The claims of this page rest on one seed of data, on which settings were chosen. Here are "
            "some of them, and their controls, on data seeds that nothing was chosen on; docs/protocol.md says what "
            "each means. It is the table that is in the repository: params.yaml as committed, not your own changes.",
            blocks=[
                Table(
                    columns=COLUMNS,
                    rows=claim_cells(claims),
                    caption=f"Data seeds {', '.join(map(str, seeds))}{trainings}. Means over data seeds; “smallest” is "
                    "that of all values. The baseline is the strongest on the test rows of each data seed.",
                )
            ],
        )
    ]
