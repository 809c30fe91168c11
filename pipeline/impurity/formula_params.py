"""Section `formula` of params.yaml: everything that decides stands here, before a search begins."""

from dataclasses import dataclass
from typing import Literal

from models.laws.discovery import Rules
from pipeline.discover.search_params import LibraryParams, OperonParams, PySRParams

__all__ = ["FormulaParams"]


@dataclass(frozen=True, kw_only=True)
class FormulaParams:
    engine: Literal["auto", "pysr", "operon", "library"]
    encodings: tuple[Literal["dimensionless", "raw"], ...]
    seed: int
    n_seeds: int  # runs per search, for stability
    max_rows: int  # training rows that an engine sees
    test_fraction: float
    extrapolation_fraction: float  # rows of largest U/Gamma, kept from training
    tolerance: float  # of coefficient ratios in the affine test
    confidence: float
    n_bootstrap: int
    n_spline: int  # basis functions of the latent's monotone link
    moment_depth: float  # rows kept: -eps_d and eps_d + U at least this many Gamma
    operon: OperonParams
    library: LibraryParams
    pysr: PySRParams

    def __post_init__(self) -> None:
        checks = {
            "encodings": (self.encodings, len(set(self.encodings)) == len(self.encodings) > 0, "distinct encodings"),
            "seed": (self.seed, self.seed >= 0, ">= 0"),
            "n_seeds": (self.n_seeds, self.n_seeds >= 1, ">= 1 (5 for a claim of stability)"),
            "max_rows": (self.max_rows, self.max_rows >= 20, ">= 20"),
            "test_fraction": (self.test_fraction, 0 < self.test_fraction < 1, "between 0 and 1"),
            "extrapolation_fraction": (
                self.extrapolation_fraction,
                0 < self.extrapolation_fraction < 1,
                "between 0 and 1",
            ),
            "the two fractions": (
                self.test_fraction + self.extrapolation_fraction,
                self.test_fraction + self.extrapolation_fraction <= 0.7,
                "a sum of at most 0.7, so that rows to train on are left",
            ),
            "tolerance": (self.tolerance, 0 < self.tolerance < 1, "between 0 and 1"),
            "confidence": (self.confidence, 0.5 <= self.confidence < 1, "from 0.5 to below 1"),
            "n_bootstrap": (self.n_bootstrap, self.n_bootstrap >= 20, ">= 20"),
            "n_spline": (self.n_spline, self.n_spline >= 5, ">= 5"),
            "moment_depth": (self.moment_depth, self.moment_depth > 0, "> 0"),
        }
        problems = [f"{key}: found {found}, expected {want}" for key, (found, good, want) in checks.items() if not good]
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def rules(self) -> Rules:
        return Rules(
            tolerance=self.tolerance,
            confidence=self.confidence,
            n_bootstrap=self.n_bootstrap,
            n_seeds=self.n_seeds,
            max_rows=self.max_rows,
            seed=self.seed,
        )
