"""Section `embedding` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from models.laws.discovery import Rules
from models.laws.recovery import RecoveryRules
from models.settings import Some, settings
from pipeline.discover.search_params import LibraryParams, OperonParams, PySRParams

__all__ = ["EmbeddingParams", "MapName"]

MapName = Literal["isomap", "mds", "umap"]


@settings
class SearchParams:
    """Formula of each coordinate; the rows are parameter points, realisations averaged."""

    descriptor: str
    method: MapName
    engine: Literal["auto", "pysr", "operon", "library"]
    seed: NonNegativeInt
    n_seeds: PositiveInt
    max_rows: Annotated[int, Field(ge=20)]
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)]
    extrapolation_fraction: Annotated[float, Field(gt=0, lt=0.5)]
    confidence: Annotated[float, Field(ge=0.5, lt=1)]
    n_bootstrap: Annotated[int, Field(ge=20)]
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


@settings
class EmbeddingParams:
    """Landmarks are used where a generator has more images than `n_landmarks`."""

    methods: Some[MapName]
    n_axes: Annotated[int, Field(ge=2)]
    n_landmarks: Annotated[int, Field(ge=10)]
    landmark_seed: NonNegativeInt
    n_neighbours: Annotated[int, Field(ge=2)]
    max_dimension: Annotated[int, Field(ge=2)]
    minimum_gain: Annotated[float, Field(gt=0, lt=1)]
    seeds: Some[NonNegativeInt]
    n_folds: Annotated[int, Field(ge=2)]
    n_regression_neighbours: PositiveInt
    n_bootstrap: Annotated[int, Field(ge=2)]
    max_rows: Annotated[int, Field(ge=20)]
    max_rows_pairs: Annotated[int, Field(ge=20)]
    search: SearchParams

    def __post_init__(self) -> None:
        problems = []
        if len(set(self.seeds)) < len(self.seeds) or len(self.seeds) < 3:
            problems.append(f"seeds: found {list(self.seeds)}, expected at least 3 different ones")
        if len(set(self.methods)) < len(self.methods):
            problems.append(f"methods: found {list(self.methods)}, expected each of them once")
        if self.search.method not in self.methods:
            problems.append(
                f"search.method: found {self.search.method!r}, expected one of methods {list(self.methods)}"
            )
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def recovery(self) -> RecoveryRules:
        return RecoveryRules(
            seeds=self.seeds,
            n_folds=self.n_folds,
            n_neighbours=self.n_regression_neighbours,
            n_bootstrap=self.n_bootstrap,
            max_rows_pairs=self.max_rows_pairs,
        )
