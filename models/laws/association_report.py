"""What do learned coordinates know of the quantities that made the data? One report for latents and for embeddings.

    associations   coordinate -> quantity -> four measures with intervals   (models.laws.correlation)
    together       quantity -> best linear direction, R2 from all           (models.laws.explained)

As plain numbers, ready for JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.laws.correlation import MEASURES, Association, associations
from models.laws.explained import explained

__all__ = ["AssociationReport", "association_report", "nearest"]

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
