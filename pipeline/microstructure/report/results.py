"""Rows of the README's table of results: cells of equal two-point statistics, and lamellae, raw beside centred."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.microstructure.embedding_goals import NETWORK
from pipeline.microstructure.records import EmbeddingMetrics
from pipeline.microstructure.report.inputs import best_of
from pipeline.microstructure.targets import HIDDEN
from pipeline.report.page import ResultRow, number, value_with_interval
from pipeline.report.registry import result_rows
from pipeline.report.replication_table import fresh_claims

__all__ = ["rows"]

GREY_LEVELS = "benchmarks/grey_levels.md"
BASELINES = {  # of second order
    "two_point": "raw two-point correlation",
    "two_point_centred": "centred",
    "log_power_spectrum": "log power spectrum",
}


@result_rows("microstructures", order=20)
def rows(root: Path) -> list[ResultRow]:
    results = EmbeddingMetrics.read(root).results
    cells = {r.descriptor: number(r.linear_r2[HIDDEN]) for r in best_of(results, HIDDEN, HIDDEN)}
    lamellae = {
        r.descriptor: value_with_interval(r.linear_r2["mean"], r.low, r.high)
        for r in best_of(results, "lamellae", "mean")
    }
    return [
        (
            "micrographs of equal two-point statistics",
            f"hidden order by a pretrained CNN: R2 {cells[NETWORK]}, out of fold{_fresh(root)}",
            f"{_baselines(cells)}. {_grey_levels(root)}",
        ),
        (
            "lamellae: angle, noise, scale",
            f"mean R2 {lamellae[NETWORK]} by the same CNN, out of fold",
            _baselines(lamellae),
        ),
    ]


def _fresh(root: Path) -> str:
    """The claim about equal grey levels, as it was measured on fresh seeds."""
    one = fresh_claims(root).get("matched_order_cnn")
    if one is None:
        return ""
    return (
        f"; where the histogram is equal too, {value_with_interval(one.value, one.low, one.high)} over "
        f"{one.n_data_seeds} fresh seeds, ahead of the best other statistic on each by "
        f"{value_with_interval(one.ahead, one.ahead_low, one.ahead_high, 2)}"
    )


def _grey_levels(root: Path) -> str:
    """What is of neither second order nor of a network, as its benchmark last measured it."""
    lines = (root / GREY_LEVELS).read_text(encoding="utf-8").splitlines()
    cells = [line.split("|")[2].strip() for line in lines if line.startswith("| skewness and kurtosis |")]
    if len(cells) != 1:
        raise ValueError(
            f"{GREY_LEVELS}: found {len(cells)} rows `skewness and kurtosis`, expected one; run its script"
        )
    return f"Skewness and kurtosis of the grey levels alone {cells[0]} (`{GREY_LEVELS}`)"


def _baselines(values: Mapping[str, str]) -> str:
    return ", ".join(f"{words} {values[name]}" for name, words in BASELINES.items() if name in values)
