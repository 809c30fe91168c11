"""Measuring an ASE calculator: named as "module:factory" with keyword arguments, on workers, printed as a table."""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.physics.atoms.properties.crystals import (
    Calculator,
    PropertyFailed,
    crystal,
    energy_per_atom,
    starting_lattice_constant_A,
)
from models.physics.atoms.properties.suite import FamilyResult, Task
from pipeline.runtime.execution import Execution, run_tasks

__all__ = ["CalculatorChoice", "calculator_problems", "spread_over", "table"]

COLUMNS = ("value", "oracle", "literature_dft", "experiment")


@dataclass(frozen=True, kw_only=True)
class CalculatorChoice:
    """Calling it makes a new calculator."""

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self) -> Calculator:
        """Raises ImportError, AttributeError, and whatever the factory raises."""
        module, _, name = self.target.partition(":")
        made: Calculator = getattr(importlib.import_module(module), name)(**self.arguments)
        return made


def calculator_problems(choice: CalculatorChoice, element: str, option: str) -> list[str]:
    """Why this choice cannot measure crystals of `element`; `option` is where the user made it.

    Computes one energy. The element is one of fcc crystals.
    """
    module, _, name = choice.target.partition(":")
    if not (module and name):
        return [f"{option}: found {choice.target!r}, expected module:factory, such as ase.calculators.emt:EMT"]
    try:
        imported = importlib.import_module(module)
    except ImportError as error:
        return [f"{option}: cannot import {module!r} ({error}); install its package or correct the name"]
    if not callable(getattr(imported, name, None)):
        return [f"{option}: {module!r} has no factory {name!r}; name a class or function that makes an ASE calculator"]
    try:
        calculator = choice()
    except Exception as error:
        return [
            f"{option}: {choice.target} with {dict(choice.arguments)} failed ({type(error).__name__}: {error}); "
            f"correct its arguments ({option}-args)"
        ]
    offered = getattr(calculator, "implemented_properties", ())
    if not {"energy", "forces"} <= set(offered):
        return [f"{option}: found a calculator of {sorted(offered)}, expected energy and forces at least"]
    try:
        energy_per_atom(crystal(element, "fcc", starting_lattice_constant_A(element)), calculator)
    except PropertyFailed as error:
        return [f"{option}: {choice.target} gives no energy of fcc {element}: {error}"]
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return [f"{option}: {choice.target} cannot compute fcc {element} ({reason}); choose an element that it knows"]
    return []


def spread_over(
    execution: Execution,
) -> Callable[[Callable[[Task], FamilyResult], Sequence[Task]], Iterator[tuple[int, FamilyResult | Exception]]]:
    """How `benchmark` runs its tasks on the workers of `execution`."""

    def run(
        function: Callable[[Task], FamilyResult], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, FamilyResult | Exception]]:
        return run_tasks(function, tasks, execution)

    return run


def table(records: Mapping[str, Mapping[str, Any]]) -> str:
    """One line per property; reasons of failures below."""
    lines = [f"{'property':36s}{'unit':10s}" + "".join(f"{name:>16s}" for name in COLUMNS)]
    for name, record in records.items():
        cells = [_number(record[column]) for column in COLUMNS]
        lines.append(f"{name:36s}{record['unit']:10s}" + "".join(f"{cell:>16s}" for cell in cells))
    lines += [f"{name}: {record['failure']}" for name, record in records.items() if record["failure"]]
    return "\n".join(lines)


def _number(value: Any) -> str:  # noqa: ANN401 - a number, a sourced number or nothing
    number = value["value"] if isinstance(value, Mapping) else value
    return "-" if number is None else f"{number:.5g}"
