"""What do learned coordinates know of the quantities that made the data? One report for latents and for embeddings.

    associations       coordinate -> quantity -> four measures with intervals   (models.laws.correlation)
    linear_direction   |Spearman| between a quantity and the best direction of all coordinates (least squares on ranks)
    nonlinear_r2       R2 of a quantity predicted from all coordinates by nearest neighbours

The last two are out of fold: directions and neighbours come from other groups than the rows that they are scored on.

`describe_coordinate` puts it in words: a coordinate is said to be the quantity with which its |Spearman| is largest;
how firmly is a matter of fixed thresholds, so that the same numbers always give the same words.
Suffixes: N rows, L coordinates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsRegressor

from models.laws.correlation import MEASURES, Association, Interval, associations, spearman
from models.laws.groups import group_folds

__all__ = ["AssociationReport", "Explained", "association_report", "describe_coordinate", "explained", "nearest"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AssociationReport:
    table: Mapping[str, Mapping[str, Association]]
    together: Mapping[str, Mapping[str, float]]

    @property
    def associations(self) -> dict[str, dict[str, dict[str, list[float]]]]:
        """The table as lists [value, low, high]."""
        return {
            coordinate: {quantity: _as_json(association) for quantity, association in line.items()}
            for coordinate, line in self.table.items()
        }


def association_report(
    z_NL: Array,
    names: Sequence[str],
    known: Mapping[str, Array],
    groups_N: NDArray[np.int64],
    *,
    n_bootstrap: int,
    n_folds: int,
    n_neighbours: int,
    seed: int,
) -> AssociationReport:
    """`names` of the columns of `z_NL`; `known` maps quantities to (N,). Raises ValueError as the measures do."""
    y_NV = np.column_stack(list(known.values()))
    table = associations(z_NL, y_NV, groups_N, n_bootstrap=n_bootstrap, seed=seed)
    together = {}
    for quantity, values in known.items():
        whole = explained(z_NL, values, groups_N, n_folds=n_folds, n_neighbours=n_neighbours, seed=seed)
        together[quantity] = {"linear_direction": whole.linear_direction, "nonlinear_r2": whole.nonlinear_r2}
    return AssociationReport(
        table={name: dict(zip(known, line, strict=True)) for name, line in zip(names, table, strict=True)},
        together=together,
    )


def nearest(line: Mapping[str, Any]) -> str:
    """The quantity of largest |Spearman| in one line of `AssociationReport.associations`."""
    return max(line, key=lambda quantity: abs(line[quantity]["spearman"][0]))


def _as_json(association: Association) -> dict[str, list[float]]:
    return {measure: [float(number) for number in getattr(association, measure)] for measure in MEASURES}


class Explained(NamedTuple):
    """What all active latents say about one quantity."""

    linear_direction: float
    nonlinear_r2: float
    direction_L: Array  # unit vector in units of each latent's standard deviation


def explained(
    z_NL: Array, y_N: Array, groups_N: NDArray[np.int64], *, n_folds: int, n_neighbours: int, seed: int
) -> Explained:
    """Best linear direction and nonlinear R2 of `y_N` from the latents, cross-validated over groups."""
    fold_N = group_folds(groups_N, n_folds, seed)
    z_NL = (z_NL - z_NL.mean(0)) / np.maximum(z_NL.std(0), 1e-12)
    rank_N = (np.argsort(np.argsort(y_N)) / len(y_N)).astype(np.float64)
    linear_N, nearest_N = np.empty(len(y_N)), np.empty(len(y_N))
    for fold in range(n_folds):
        held = fold_N == fold
        linear_N[held] = _with_one(z_NL[held]) @ _least_squares(z_NL[~held], rank_N[~held])
        neighbours = KNeighborsRegressor(min(n_neighbours, int((~held).sum())), weights="distance")
        nearest_N[held] = neighbours.fit(z_NL[~held], y_N[~held]).predict(z_NL[held])
    direction_L = _least_squares(z_NL, rank_N)[:-1]
    return Explained(
        linear_direction=abs(spearman(linear_N, y_N)),
        nonlinear_r2=float(1 - np.mean((nearest_N - y_N) ** 2) / np.var(y_N)),
        direction_L=direction_L / max(float(np.linalg.norm(direction_L)), 1e-12),
    )


def _with_one(z_NL: Array) -> Array:
    return np.column_stack([z_NL, np.ones(len(z_NL))])


def _least_squares(z_NL: Array, y_N: Array) -> Array:
    return np.asarray(np.linalg.lstsq(_with_one(z_NL), y_N, rcond=None)[0], dtype=np.float64)


# lowest |Spearman| -> what may be said; the first that fits is taken
VERDICTS = (
    (0.95, "is {quantity}, up to a monotone scale"),
    (0.90, "follows {quantity} closely"),
    (0.75, "follows {quantity} loosely"),
    (0.50, "is partly set by {quantity}"),
)
NEAR = 0.05  # a second quantity within this of the first is named beside it


def describe_coordinate(
    name: str,
    spearman: Mapping[str, Interval],
    *,
    words: Mapping[str, str],
    remarks: Sequence[str] = (),
) -> str:
    """One or two sentences from rank correlations, then `remarks`; `words` says quantity names in full."""
    ranked = sorted(spearman.items(), key=lambda item: -abs(item[1].value))
    quantity, strongest = ranked[0]
    verdict = next((text for low, text in VERDICTS if abs(strongest.value) >= low), None)
    if verdict is None:
        said = f"{name} is no single quantity of the list: the nearest is {words.get(quantity, quantity)}"
    else:
        said = f"{name} {verdict.format(quantity=words.get(quantity, quantity))}"
    said += f" (Spearman {_signed(strongest)})"
    near = [(q, i) for q, i in ranked[1:] if abs(strongest.value) - abs(i.value) < NEAR and verdict is not None]
    if near:
        said += ", and so nearly as well " + ", ".join(f"{words.get(q, q)} ({_signed(i)})" for q, i in near)
    elif len(ranked) > 1:
        said += f"; next comes {words.get(ranked[1][0], ranked[1][0])} ({ranked[1][1].value:+.2f})"
    return " ".join([f"{said}.", *remarks])


def _signed(interval: Interval) -> str:
    return f"{interval.value:+.3f}, 95 % interval {interval.low:+.3f} .. {interval.high:+.3f}"
