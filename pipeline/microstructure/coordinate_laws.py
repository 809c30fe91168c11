"""What the coordinates of one map are: the association report and the formula search of the latents of spectra.

Every coordinate is searched for as a formula of the generating parameters. Realisations of one parameter point are
averaged first, so a point lies either in training or in test. There is no law to compare with: a formula is judged by
its R2 on points that no engine saw, and on those with the largest values of one parameter, kept from training.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.laws.association_report import association_report
from models.laws.discovery import Problem, Rules, discover, split_rows
from models.laws.engine_choice import EngineChoice, choose_engine
from models.laws.groups import whole_groups
from models.laws.meaning import describe_coordinate
from models.laws.recovery import RecoveryRules
from pipeline.discover.search_params import (
    LibraryParams,
    OperonParams,
    PySRParams,
    library_engine,
    operon_engine,
    pysr_engine,
)
from pipeline.discover.search_records import search_records
from pipeline.microstructure.targets import WORDS, Samples
from pipeline.runtime.params import setting

__all__ = ["MapName", "SearchParams", "law_record", "search_engine"]

Array = NDArray[np.float64]
KEPT_BACK = {"lamellae": "noise_strength", "phase_order": "phase_order"}  # its largest values are the extrapolation box
MIN_POINTS = 20
MapName = Literal["isomap", "mds", "umap"]


@dataclass(frozen=True, kw_only=True)
class SearchParams:
    """Formula of each coordinate; the rows are parameter points, realisations averaged."""

    descriptor: str
    method: MapName
    engine: Literal["auto", "pysr", "operon", "library"]
    seed: int = setting(low=0)
    n_seeds: int = setting(low=1)
    max_rows: int = setting(low=20)
    test_fraction: float = setting(above=0, below=0.5)
    extrapolation_fraction: float = setting(above=0, below=0.5)
    confidence: float = setting(low=0.5, below=1)
    n_bootstrap: int = setting(low=20)
    operon: OperonParams
    library: LibraryParams
    pysr: PySRParams

    @property
    def rules(self) -> Rules:
        """There are no judge laws, so the tolerance of coefficient ratios is never used."""
        return Rules(
            tolerance=0.0,
            confidence=self.confidence,
            n_bootstrap=self.n_bootstrap,
            n_seeds=self.n_seeds,
            max_rows=self.max_rows,
            seed=self.seed,
        )


def search_engine(search: SearchParams) -> EngineChoice:
    """Raises EngineUnavailable where a named engine cannot run."""
    return choose_engine(
        search.engine,
        pysr=pysr_engine(search.pysr),
        operon=operon_engine(search.operon),
        library=library_engine(search.library),
    )


def law_record(
    coordinates_ND: Array,
    samples: Samples,
    search: SearchParams,
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
    coordinates_ND: Array, names: list[str], samples: Samples, search: SearchParams, choice: EngineChoice
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
