"""What the maps set out to show, and whether the records show it.

lamellae      mean linear R2 of the pretrained network, and its ratio to that of the raw two-point correlation: for both
              the better of the maps is taken
phase_order   linear R2 of the hidden parameter for the pretrained network, in its better map, and for every statistic
              of pairs in every map

The thresholds and their source: pipeline.discover.goals.MAPS. Benchmarks and report show the centred two-point
function, a stronger baseline, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.discover.goals import MAPS
from pipeline.microstructure.targets import HIDDEN

__all__ = ["NETWORK", "PAIR_STATISTICS", "best", "goals"]

NETWORK = "efficientnet"
RAW = "two_point"
PAIR_STATISTICS = ("two_point", "two_point_centred", "two_point_radial", "power_spectrum", "log_power_spectrum")
Record = Mapping[str, Any]


def goals(results: Sequence[Record]) -> list[dict[str, Any]]:
    """One record {goal, found, wanted, reached} each; those without maps are left out."""
    records = []
    network, raw = best(results, "lamellae", NETWORK, "mean"), best(results, "lamellae", RAW, "mean")
    if network is not None:
        records.append(
            _at_least("mean linear R2 of the network on lamellae", network["linear_r2"]["mean"], MAPS.lamellae_r2)
        )
    if network is not None and raw is not None:
        ratio = network["linear_r2"]["mean"] / max(raw["linear_r2"]["mean"], 0.01)  # of nothing: 100 at most
        records.append(_at_least("the same over that of the raw two-point correlation", ratio, MAPS.over_raw_two_point))
    hidden = best(results, "phase_order", NETWORK, HIDDEN)
    if hidden is not None:
        records.append(
            _at_least("R2 of the hidden parameter by the network", hidden["linear_r2"][HIDDEN], MAPS.hidden_r2)
        )
    drawn = [r for r in results if r["generator"] == "phase_order"]
    pairs = [r["linear_r2"][HIDDEN] for r in drawn if r["descriptor"] in PAIR_STATISTICS]
    if pairs:
        worst = max(pairs)
        goal = "largest R2 of the hidden parameter by any two-point statistic"
        limit = MAPS.pair_statistics_r2
        records.append({"goal": goal, "found": worst, "wanted": f"<= {limit:g}", "reached": worst <= limit})
    return records


def best(results: Iterable[Record], generator: str, descriptor: str, parameter: str) -> Record | None:
    """The map of a descriptor with the largest linear R2 of a parameter."""
    maps = [r for r in results if (r["generator"], r["descriptor"]) == (generator, descriptor)]
    return max(maps, key=lambda r: r["linear_r2"][parameter], default=None)


def _at_least(goal: str, value: float, wanted: float) -> dict[str, Any]:
    return {"goal": goal, "found": value, "wanted": f">= {wanted:g}", "reached": value >= wanted}
