"""Which single coordinate follows a quantity, on rows that nothing was chosen on?

Several sets of coordinates compete: latents of a network, principal components, summaries without learning. Each set
sends one coordinate, the one with the largest |Spearman| on the rows `choose` (validation); it is scored on the rows
`score` (test). So neither the training nor the choice of the coordinate has seen the rows that are reported.

Intervals are percentiles of a bootstrap over groups of rows (all rows of one Hamiltonian are drawn together). The same
resamples serve all sets, so the interval of a difference of two sets is a paired one.
Suffixes: N rows, L coordinates, R resamples.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.laws.correlation import Interval, spearman, spearman_resampled
from models.laws.groups import cluster_counts

__all__ = ["Coordinates", "HeldOut", "TooFewGroups", "held_out_associations"]

Array = NDArray[np.float64]
LEAST_SCORED = 10  # groups; below, the percentiles of a bootstrap over them mean nothing
LEAST_CHOSEN_ON = 2


class TooFewGroups(ValueError):
    """Too few independent rows for an interval."""


@dataclass(frozen=True, kw_only=True)
class Coordinates:
    """One set of coordinates of all rows: values (N, L) and the names of its columns."""

    z_NL: Array
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """|Spearman| on the scored rows; `ahead` is its difference from the set that is compared with, paired."""

    coordinate: str
    spearman: Interval
    ahead: Interval
    n_rows: int
    n_groups: int


def held_out_associations(
    sets: Mapping[str, Coordinates],
    y_N: Array,
    groups_N: NDArray[np.int64],
    *,
    choose_N: NDArray[np.bool_],
    score_N: NDArray[np.bool_],
    against: str,
    n_bootstrap: int,
    seed: int,
) -> dict[str, HeldOut]:
    """The best coordinate of every set; a set without coordinates is left out.

    `against` names the set whose value is subtracted in `ahead`. Raises TooFewGroups, saying how many are needed, and
    ValueError where a group has rows on both sides or the quantity is constant.
    """
    _check(y_N, groups_N, choose_N, score_N)
    rng = np.random.default_rng(seed)
    weights_RN = np.vstack([np.ones(int(score_N.sum())), cluster_counts(groups_N[score_N], n_bootstrap, rng)])
    chosen: dict[str, str] = {}
    sampled: dict[str, Array] = {}
    for name, coordinates in sets.items():
        if not coordinates.names:
            continue
        strength = [abs(spearman(z_N[choose_N], y_N[choose_N])) for z_N in coordinates.z_NL.T]
        best = int(np.argmax(strength))
        chosen[name] = coordinates.names[best]
        z_N = coordinates.z_NL[score_N, best]
        sampled[name] = np.abs(spearman_resampled(z_N, y_N[score_N], weights_RN))
    n_groups = len(np.unique(groups_N[score_N]))
    return {
        name: HeldOut(
            coordinate=chosen[name],
            spearman=_interval(values_R),
            ahead=_interval(values_R - sampled[against]),
            n_rows=int(score_N.sum()),
            n_groups=n_groups,
        )
        for name, values_R in sampled.items()
    }


def _interval(values_R: Array) -> Interval:
    low, high = np.quantile(values_R[1:], [0.025, 0.975])
    return Interval(float(values_R[0]), float(low), float(high))


def _check(y_N: Array, groups_N: NDArray[np.int64], choose_N: NDArray[np.bool_], score_N: NDArray[np.bool_]) -> None:
    for what, rows_N, least in (("to choose on", choose_N, LEAST_CHOSEN_ON), ("to score on", score_N, LEAST_SCORED)):
        n_groups = len(np.unique(groups_N[rows_N]))
        if n_groups < least:
            raise TooFewGroups(f"held-out associations: found {n_groups} groups {what}, expected at least {least}")
        if np.ptp(y_N[rows_N]) == 0:
            raise ValueError(f"held-out associations: the quantity is constant on the rows {what}")
    if shared := np.intersect1d(groups_N[choose_N], groups_N[score_N]).size:
        raise ValueError(f"held-out associations: {shared} groups are both chosen and scored on, expected none")
