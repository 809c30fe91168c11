"""The contract of symbolic regression engines, and the table which they hand back.

An engine searches for y = f(x_1, ..., x_m) and returns a Pareto front of equations, simple to accurate. What an
engine says of its own equations (complexity, choice) is not comparable between engines: `models.laws.selection`
rewrites, recounts and selects. Equations are strings in the input names with + - * / ** log exp sqrt, readable by
sympy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = [
    "Candidate",
    "EngineFailed",
    "EngineUnavailable",
    "FloatArray",
    "FrontResult",
    "SymbolicEngine",
    "check_problem",
]

FloatArray = npt.NDArray[np.float64]


class EngineUnavailable(RuntimeError):
    """The engine cannot run on this machine: what is missing and how to get it."""

    def __init__(self, name: str, reason: str, cure: str) -> None:
        super().__init__(f"symbolic regression engine {name!r} is unavailable: {reason}. To do: {cure}")
        self.name, self.reason, self.cure = name, reason, cure


class EngineFailed(RuntimeError):
    """The engine started but gave no usable front: crash, time limit or unreadable answer."""

    def __init__(self, name: str, reason: str, cure: str) -> None:
        super().__init__(f"symbolic regression engine {name!r} failed: {reason}. To do: {cure}")
        self.name, self.reason, self.cure = name, reason, cure


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


class SymbolicEngine(Protocol):
    """Same inputs and seed, same front. Raises EngineUnavailable or EngineFailed; ValueError for unusable data."""

    @property
    def name(self) -> str: ...

    def fit(
        self,
        inputs: FloatArray,  # (n_samples, n_inputs)
        target: FloatArray,  # (n_samples,)
        names: Sequence[str],
        *,
        seed: int,
        units: Sequence[int] | None = None,  # energy exponent of every input; the target is dimensionless
    ) -> FrontResult: ...


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
