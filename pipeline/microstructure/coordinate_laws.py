"""What the coordinates of one map are: the association report and the formula search of the latents of spectra.

Every coordinate is searched for as a formula of the generating parameters. Realisations of one parameter point are
averaged first, so a point lies either in training or in test. There is no law to compare with: a formula is scored by
its R2 on points that no engine saw, and on those with the largest values of one parameter, kept from training.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.laws.associations import association_report, describe_coordinate
from models.laws.discovery import Problem, discover, split_rows
from models.laws.groups import whole_groups
from models.laws.recovery import RecoveryRules
from models.laws.symbolic_engine import EngineChoice
from models.settings import settings
from pipeline.discover.search import SearchSettings, search_records
from pipeline.microstructure.targets import WORDS, Samples

__all__ = ["CoordinateSearch", "MapName", "law_record"]

Array = NDArray[np.float64]
KEPT_BACK = {  # its largest values are the extrapolation box
    "lamellae": "noise_strength",
    "phase_order": "phase_order",
    "matched_order": "phase_order",
    "matched_lamellae": "phase_order",
}
MIN_POINTS = 20
MapName = Literal["isomap", "mds", "umap"]


@settings
class CoordinateSearch(SearchSettings):
    """Formula of each coordinate of one map; the rows are parameter points, realisations averaged."""

    descriptor: str
    method: MapName


def law_record(
    coordinates_ND: Array,
    samples: Samples,
    search: CoordinateSearch,
    choice: EngineChoice,
    *,
    rules: RecoveryRules,
    max_rows: int,
) -> dict[str, Any]:
    """Associations, words and formulas of the coordinates of one map, as JSON; `rules` and `max_rows` of the map."""
    names = [f"coordinate {i + 1}" for i in range(coordinates_ND.shape[1])]
    rows = whole_groups(samples.groups_N, max_rows, rules.seeds[0])
    report = association_report(
        coordinates_ND[rows],
        names,
        {name: values[rows] for name, values in samples.known.items()},
        samples.groups_N[rows],
        n_bootstrap=rules.n_bootstrap,
        n_folds=rules.n_folds,
        n_neighbours=rules.n_neighbours,
        seed=rules.seeds[0],
    )
    meaning = [
        describe_coordinate(
            name, {quantity: association.spearman for quantity, association in line.items()}, words=WORDS
        )
        for name, line in report.table.items()
    ]
    return {
        "generator": samples.generator,
        "descriptor": search.descriptor,
        "method": search.method,
        "engine": choice.ran,
        "associations": report.associations,
        "together": report.together,
        "meaning": meaning,
        "formulas": formulas(coordinates_ND, names, samples, search, choice),
    }


def formulas(
    coordinates_ND: Array, names: list[str], samples: Samples, search: CoordinateSearch, choice: EngineChoice
) -> list[dict[str, Any]]:
    """The selected formula of every coordinate; none where there are fewer parameter points than a search needs."""
    _, first, cluster = np.unique(samples.groups_N, return_index=True, return_inverse=True)
    if len(first) < MIN_POINTS:
        return []
    sizes = np.bincount(cluster)
    inputs = {name: values[first] for name, values in samples.inputs.items()}
    split = split_rows(
        samples.parameters[KEPT_BACK[samples.generator]][first],
        search.test_fraction,
        search.extrapolation_fraction,
        search.max_rows,
        search.seed,
    )
    records = []
    for name, z_N in zip(names, coordinates_ND.T, strict=True):
        problem = Problem(
            target=name,
            encoding="parameters",
            names=tuple(inputs),
            inputs=np.column_stack(list(inputs.values())),
            units=(0,) * len(inputs),
            values=np.bincount(cluster, weights=z_N) / sizes,
            train=split[0],
            test=split[1],
            extrapolation=split[2],
            laws={},
            exponent=None,
        )
        records += search_records(problem, discover(problem, choice.engine, search.rules))
    return records
