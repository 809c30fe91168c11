"""Measure the properties of any ASE calculator and set them beside an oracle, the literature and experiment.

    python -m pipeline.commands.benchmark_potential --calculator module:factory [--calculator-args JSON] --out FILE.json
        [--oracle module:factory] [--oracle-args JSON] [--properties NAME ...] [--long] [--element Al]
        [--settings FILE.yaml] [--overwrite]

    --calculator ase.calculators.emt:EMT
    --calculator models.networks.potentials.calculator:PotentialCalculator \
        --calculator-args '{"potential": "runs/aluminium"}'
    --oracle models.physics.atoms.properties.engine_calculator:gpaw --oracle-args '{"k_mesh": [12, 12, 12]}'

Properties are measured side by side (pipeline.runtime.execution). One that cannot be measured is recorded with the
reason. The settings file has the fields of models.physics.atoms.properties.suite.BenchmarkSettings.
"""

import argparse
import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from models.physics.atoms.properties.suite import (
    FAMILIES,
    BenchmarkSettings,
    FamilyResult,
    Task,
    benchmark,
    chosen_families,
)
from pipeline.commands.calculator_choice import CalculatorChoice, calculator_problems
from pipeline.runtime.command_line import CommandParser
from pipeline.runtime.execution import Execution, load_execution, run_tasks
from pipeline.runtime.outputs import OutputFile, writing
from pipeline.runtime.params import ParamsError, build
from pipeline.runtime.records import write_json
from pipeline.runtime.stage import run_stage

__all__ = ["families_of", "main", "spread_over", "table"]

COLUMNS = ("value", "oracle", "literature_dft", "experiment")


def main(arguments: list[str] | None = None) -> None:
    options = _parser().read(arguments)
    settings, problems = _settings(options)
    choices = {}
    for option in ("calculator", "oracle"):
        target = getattr(options, option)
        if target is None:
            continue
        try:
            keywords = json.loads(getattr(options, f"{option}_args"))
            if not isinstance(keywords, dict):
                raise ValueError("it is not an object")
        except ValueError as error:
            problems.append(f"--{option}-args: expected a JSON object such as '{{\"name\": 1}}' ({error})")
            continue
        choices[option] = CalculatorChoice(target=target, arguments=keywords)
        if settings is not None:
            problems += calculator_problems(choices[option], settings.element, f"--{option}")
    if problems or settings is None:
        raise ValueError("\n  ".join(dict.fromkeys(problems)))
    records = benchmark(choices["calculator"], settings, choices.get("oracle"), spread_over(load_execution()))
    with writing(options.out, overwrite=options.overwrite) as path:
        write_json(path, records)
    print(table(records))
    print(
        f"{options.out}: {len(records)} properties, {sum(bool(r['failure']) for r in records.values())} of them failed"
    )


def families_of(names: Sequence[str], settings: BenchmarkSettings, *, long: bool = False) -> tuple[str, ...]:
    """Families with these names or with properties of these names. Raises ValueError that lists those unknown."""
    owner = {name: family for family, what in FAMILIES.items() for name in what.properties(settings)}
    unknown = [name for name in names if name not in FAMILIES and name not in owner]
    if unknown:
        raise ValueError(
            f"--properties: found unknown {unknown}, expected some of {list(FAMILIES)} or single properties of these, "
            f"such as {', '.join(difflib.get_close_matches(unknown[0], owner, n=3, cutoff=0.0))}"
        )
    return chosen_families([owner.get(name, name) for name in names], long=long)


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


def _settings(options: argparse.Namespace) -> tuple[BenchmarkSettings | None, list[str]]:
    given: Any = {}
    try:
        if options.settings is not None:
            given = YAML(typ="safe", pure=True).load(options.settings) or {}
        source = "command line" if options.settings is None else str(options.settings)
        own = build(BenchmarkSettings, {**given, "element": options.element}, "settings", source)
        if options.properties or options.long or not own.families:
            own = replace(own, families=families_of(options.properties, own, long=options.long))
    except FileNotFoundError:
        return None, [f"--settings: found no file {options.settings}"]
    except YAMLError as error:
        return None, [f"--settings: {options.settings} cannot be read as YAML: {error}"]
    except (ParamsError, ValueError) as error:
        return None, [str(error)]
    return own, []


def _parser() -> CommandParser:
    parser = CommandParser(description="Properties of any ASE calculator.", inputs=("settings",))
    parser.add_argument("--calculator", required=True, metavar="MODULE:FACTORY", help="what is measured")
    parser.add_argument("--calculator-args", default="{}", metavar="JSON", help="keyword arguments of its factory")
    parser.add_argument("--oracle", metavar="MODULE:FACTORY", help="what it is compared with (default: none)")
    parser.add_argument("--oracle-args", default="{}", metavar="JSON", help="keyword arguments of its factory")
    parser.add_output("--out", OutputFile(suffixes=(".json",)), "the file to write", metavar="FILE.json")
    parser.add_argument(
        "--properties",
        nargs="+",
        default=[],
        metavar="NAME",
        help="families or properties (default: those of the settings, all but long ones)",
    )
    parser.add_argument("--long", action="store_true", help="also those that take long")
    parser.add_argument("--element", default="Al", metavar="SYMBOL", help="an fcc element")
    parser.add_argument(
        "--settings", type=Path, metavar="FILE.yaml", help="settings of the measurements (default: none)"
    )
    return parser


if __name__ == "__main__":
    run_stage("benchmark_potential", main)
