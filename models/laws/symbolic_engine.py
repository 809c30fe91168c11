"""The contract of symbolic regression engines, the table which they hand back, and which of them runs.

An engine searches for y = f(x_1, ..., x_m) and returns a Pareto front of equations, simple to accurate. What an
engine says of its own equations (complexity, choice) is not comparable between engines: `models.laws.selection`
rewrites, recounts and selects. Equations are strings in the input names with + - * / ** log exp sqrt, readable by
sympy. A new engine is one file in models/laws/engines: a settings class that derives from `SymbolicEngine`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from models.registry import Registry

__all__ = [
    "SYMBOLIC_ENGINES",
    "Candidate",
    "EngineChoice",
    "EngineError",
    "EngineFailed",
    "EngineUnavailable",
    "FloatArray",
    "FrontResult",
    "SymbolicEngine",
    "check_problem",
    "choose_engine",
]

FloatArray = npt.NDArray[np.float64]


class EngineError(RuntimeError):
    """An engine gave nothing: why, and what to do."""

    verb: ClassVar[str]

    def __init__(self, name: str, reason: str, cure: str) -> None:
        super().__init__(name, reason, cure)  # all three, or it would not survive the way back from a worker process
        self.name, self.reason, self.cure = name, reason, cure

    def __str__(self) -> str:
        return f"symbolic regression engine {self.name!r} {self.verb}: {self.reason}. To do: {self.cure}"


class EngineUnavailable(EngineError):
    """The engine cannot run on this machine: what is missing and how to get it."""

    verb = "is unavailable"


class EngineFailed(EngineError):
    """The engine started but gave no usable front: crash, time limit or unreadable answer."""

    verb = "failed"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One equation as the engine wrote it; loss is the mean squared error on the training rows."""

    equation: str
    complexity: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class FrontResult:
    """All candidates of one fit, by rising complexity; `pick` is the engine's own choice where it has one."""

    engine: str
    names: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    pick: int | None = None


class SymbolicEngine(ABC):
    """Same inputs and seed, same front. Raises EngineUnavailable or EngineFailed; ValueError for unusable data."""

    name: ClassVar[str]
    deterministic: ClassVar[bool] = False  # whether the seed changes nothing

    def check_available(self) -> None:
        """Raise EngineUnavailable or EngineFailed where the engine cannot run; most need nothing more."""
        return

    def for_raw_inputs(self) -> Self:
        """The engine with the budget for inputs that carry units."""
        return self

    def with_exponential(self) -> Self:
        """The engine with exp among its functions; one that cannot have it stays as it is."""
        return self

    @abstractmethod
    def fit(
        self,
        inputs: FloatArray,  # (n_samples, n_inputs)
        target: FloatArray,  # (n_samples,)
        names: Sequence[str],
        *,
        seed: int,
        units: Sequence[int] | None = None,  # energy exponent of every input; the target is dimensionless
    ) -> FrontResult: ...


SYMBOLIC_ENGINES: Registry[SymbolicEngine] = Registry("symbolic engine", package="models.laws.engines")


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    requested: str
    why: str
    engine: SymbolicEngine

    @property
    def ran(self) -> str:
        return self.engine.name


def choose_engine(requested: str, engines: Sequence[SymbolicEngine]) -> EngineChoice:
    """The engine called `requested`, which is never replaced, or with `auto` the first of `engines` that is ready.

    Raises EngineUnavailable or EngineFailed where it cannot run, ValueError for a name that is not among them.
    """
    named = {engine.name: engine for engine in engines}
    if requested in named:
        named[requested].check_available()
        return EngineChoice(requested=requested, why="chosen in params", engine=named[requested])
    if requested != "auto":
        raise ValueError(f"engine: found {requested!r}, expected one of {', '.join(['auto', *named])}")
    passed_over: list[str] = []
    for name, engine in named.items():
        try:
            engine.check_available()
        except EngineError as error:
            passed_over.append(f"{name} is not ready ({error.reason})")
            continue
        why = "; ".join([*passed_over, f"{name} is the first ready engine"])
        return EngineChoice(requested=requested, why=why, engine=engine)
    raise EngineUnavailable("auto", "; ".join(passed_over), "name an engine that needs nothing, such as library")


def check_problem(inputs: FloatArray, target: FloatArray, names: Sequence[str]) -> None:
    """Raise ValueError that lists everything which makes (inputs, target, names) unusable for any engine."""
    problems = []
    if inputs.ndim != 2 or target.shape != inputs.shape[:1]:
        problems.append(
            f"found shapes {inputs.shape} and {target.shape}, expected (n_samples, n_inputs) and (n_samples,)"
        )
    elif inputs.shape[1] != len(names):
        problems.append(f"found {len(names)} names for {inputs.shape[1]} inputs")
    elif len(target) < 10:
        problems.append(f"found {len(target)} samples, expected at least 10")
    if not (np.isfinite(inputs).all() and np.isfinite(target).all()):
        problems.append("found NaN or infinite values, drop those rows before the fit")
    bad_names = [name for name in names if not name.isidentifier()]
    if bad_names or len(set(names)) != len(names):
        problems.append(f"found names {list(names)}, expected distinct identifiers")
    if problems:
        raise ValueError("symbolic regression data: " + "; ".join(problems))
