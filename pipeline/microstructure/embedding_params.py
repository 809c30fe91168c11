"""Section `embedding` of params.yaml."""

from dataclasses import dataclass
from typing import Literal

from models.laws.discovery import Rules
from models.laws.recovery import RecoveryRules
from pipeline.discover.search_params import LibraryParams, OperonParams, PySRParams
from pipeline.runtime.params import setting

__all__ = ["EmbeddingParams", "MapName"]

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


@dataclass(frozen=True, kw_only=True)
class EmbeddingParams:
    """Landmarks are used where a generator has more images than `n_landmarks`."""

    methods: tuple[MapName, ...]
    n_axes: int = setting(low=2)
    n_landmarks: int = setting(low=10)
    landmark_seed: int = setting(low=0)
    n_neighbours: int = setting(low=2)
    max_dimension: int = setting(low=2)
    minimum_gain: float = setting(above=0, below=1)
    seeds: tuple[int, ...] = setting(low=0)
    n_folds: int = setting(low=2)
    n_regression_neighbours: int = setting(low=1)
    n_bootstrap: int = setting(low=2)
    max_rows: int = setting(low=20)
    max_rows_pairs: int = setting(low=20)
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
