"""Budgets of the symbolic regression engines in params.yaml, and the engines made of them: the same for every lane."""

from dataclasses import asdict, dataclass

from models.laws.library_engine import LibraryEngine
from models.laws.operon_engine import OperonEngine
from models.laws.pysr_engine import PySREngine
from pipeline.runtime.params import setting

__all__ = ["LibraryParams", "OperonParams", "PySRParams", "library_engine", "operon_engine", "pysr_engine"]


@dataclass(frozen=True, kw_only=True)
class OperonParams:
    """Budget of Operon per seed; raw inputs need more generations than dimensionless ones."""

    population: int = setting(low=10)
    generations: int = setting(low=1)
    raw_generations: int = setting(low=1)
    max_length: int = setting(low=5)


@dataclass(frozen=True, kw_only=True)
class LibraryParams:
    max_power: int = setting(low=1, high=4)
    max_total: int = setting(low=1)
    max_terms: int = setting(low=1, high=10)
    beam: int = setting(low=1)


@dataclass(frozen=True, kw_only=True)
class PySRParams:
    iterations: int = setting(low=1)
    max_size: int = setting(low=7)
    timeout_s: float = setting(above=0)


def library_engine(budget: LibraryParams) -> LibraryEngine:
    return LibraryEngine(**asdict(budget))


def operon_engine(budget: OperonParams, *, raw: bool = False) -> OperonEngine:
    generations = budget.raw_generations if raw else budget.generations
    return OperonEngine(population=budget.population, generations=generations, max_length=budget.max_length)


def pysr_engine(budget: PySRParams) -> PySREngine:
    return PySREngine(iterations=budget.iterations, max_size=budget.max_size, timeout_s=budget.timeout_s)
