"""Genetic programming by Operon (pyoperon, C++), the embedded default engine: no prior beyond the operator set.

Two objectives, R2 and tree length (NSGA-II), constants fitted by Levenberg-Marquardt. The budget is a number of
generations, never a time: with one thread and a seed the front is reproducible. Operon has no units, so `units` is
accepted and unused.
"""

import importlib
from collections.abc import Sequence
from dataclasses import field, replace
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, PositiveInt

from models.laws.symbolic_engine import (
    SYMBOLIC_ENGINES,
    Candidate,
    EngineUnavailable,
    FloatArray,
    FrontResult,
    SymbolicEngine,
    check_problem,
)
from models.settings import settings

__all__ = ["OperonEngine"]

SYMBOLS = ("add", "sub", "mul", "div", "log", "constant", "variable")
OPTIMIZER_ITERATIONS = 5


@SYMBOLIC_ENGINES.register("operon")
@settings
class OperonEngine(SymbolicEngine):
    """Also its settings: the budget per seed; raw inputs need more generations than dimensionless ones."""

    name = "operon"
    population: Annotated[int, Field(ge=10)]
    generations: PositiveInt
    raw_generations: PositiveInt
    max_length: Annotated[int, Field(ge=5)]
    functions: tuple[str, ...] = field(default=SYMBOLS, metadata={"shapes_content": False})  # by the search, not params

    def for_raw_inputs(self) -> Self:
        return replace(self, generations=self.raw_generations)

    def with_exponential(self) -> Self:
        return replace(self, functions=(*SYMBOLS, "exp"))

    def check_available(self) -> None:
        """Raise EngineUnavailable where pyoperon cannot be imported (no wheel for Windows and Linux aarch64)."""
        self._regressor_class()

    def fit(
        self,
        inputs: FloatArray,
        target: FloatArray,
        names: Sequence[str],
        *,
        seed: int,
        units: Sequence[int] | None = None,
    ) -> FrontResult:
        check_problem(inputs, target, names)
        scale = float(target.std()) or 1.0
        model = self._regressor_class()(
            allowed_symbols=",".join(self.functions),
            population_size=self.population,
            generations=self.generations,
            max_evaluations=10**9,
            max_length=self.max_length,
            optimizer_iterations=OPTIMIZER_ITERATIONS,
            objectives=["r2", "length"],
            uncertainty=[scale],
            n_threads=1,
            random_state=seed + 1,  # 0 would mean an unseeded generator
        )
        model.fit(np.ascontiguousarray(inputs), np.ascontiguousarray(target))
        front = sorted(model.pareto_front_, key=lambda member: (member["length"], member["mean_squared_error"]))
        candidates = [
            Candidate(
                equation=model.get_model_string(member["tree"], 9, list(names)),
                complexity=int(member["length"]),
                loss=float(member["mean_squared_error"]),
            )
            for member in front
            if np.isfinite(member["mean_squared_error"]) and member["variables"]
        ]
        return FrontResult(engine=self.name, names=tuple(names), candidates=tuple(candidates))

    def _regressor_class(self) -> Any:  # noqa: ANN401 - a class of an untyped package
        try:
            return importlib.import_module("pyoperon.sklearn").SymbolicRegressor
        except ImportError as error:
            raise EngineUnavailable(
                self.name, f"pyoperon cannot be imported ({error})", "pip install pyoperon, or choose `engine: library`"
            ) from error
