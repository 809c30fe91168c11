"""Budgets of the symbolic regression engines in params.yaml, and the engines made of them: the same for every lane."""

from dataclasses import asdict
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from models.laws.library_engine import LibraryEngine
from models.laws.operon_engine import OperonEngine
from models.laws.pysr_engine import PySREngine
from models.settings import settings

__all__ = ["LibraryParams", "OperonParams", "PySRParams", "library_engine", "operon_engine", "pysr_engine"]


@settings
class OperonParams:
    """Budget of Operon per seed; raw inputs need more generations than dimensionless ones."""

    population: Annotated[int, Field(ge=10)]
    generations: PositiveInt
    raw_generations: PositiveInt
    max_length: Annotated[int, Field(ge=5)]


@settings
class LibraryParams:
    max_power: Annotated[int, Field(ge=1, le=4)]
    max_total: PositiveInt
    max_terms: Annotated[int, Field(ge=1, le=10)]
    beam: PositiveInt


@settings
class PySRParams:
    iterations: PositiveInt
    max_size: Annotated[int, Field(ge=7)]
    timeout_s: PositiveFloat


def library_engine(budget: LibraryParams) -> LibraryEngine:
    return LibraryEngine(**asdict(budget))


def operon_engine(budget: OperonParams, *, raw: bool = False) -> OperonEngine:
    generations = budget.raw_generations if raw else budget.generations
    return OperonEngine(population=budget.population, generations=generations, max_length=budget.max_length)


def pysr_engine(budget: PySRParams) -> PySREngine:
    return PySREngine(iterations=budget.iterations, max_size=budget.max_size, timeout_s=budget.timeout_s)
