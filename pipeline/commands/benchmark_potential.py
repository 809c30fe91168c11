"""Measure the properties of any ASE calculator and set them beside an oracle, the literature and experiment.

    latentlaw benchmark-potential --calculator module:factory --out FILE.json [--oracle module:factory]

A property that cannot be measured is recorded with the reason. The settings file has the fields of
models.physics.atoms.properties.suite.BenchmarkSettings.
"""

import difflib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from models.physics.atoms.properties.suite import FAMILIES, BenchmarkSettings, benchmark, chosen_families
from pipeline.atoms.property_measurement import CalculatorChoice, calculator_problems, spread_over, table
from pipeline.commands.options.potentials import BenchmarkOptions
from pipeline.runtime.execution import load_execution
from pipeline.runtime.outputs import writing
from pipeline.runtime.params import ParamsError, build
from pipeline.runtime.records import write_json

__all__ = ["families_of", "main"]


def main(options: BenchmarkOptions) -> None:
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
    family_of = {name: family for family, measured in FAMILIES.items() for name in measured.properties(settings)}
    unknown = [name for name in names if name not in FAMILIES and name not in family_of]
    if unknown:
        raise ValueError(
            f"--properties: found unknown {unknown}, expected some of {list(FAMILIES)} or single properties of these, "
            f"such as {', '.join(difflib.get_close_matches(unknown[0], family_of, n=3, cutoff=0.0))}"
        )
    return chosen_families([family_of.get(name, name) for name in names], long=long)


def _settings(options: BenchmarkOptions) -> tuple[BenchmarkSettings | None, list[str]]:
    given: Any = {}
    try:
        if options.settings is not None:
            given = YAML(typ="safe", pure=True).load(options.settings) or {}
        source = "command line" if options.settings is None else str(options.settings)
        settings = build(BenchmarkSettings, {**given, "element": options.element}, "settings", source)
        if options.properties or options.long or not settings.families:
            settings = replace(settings, families=families_of(options.properties, settings, long=options.long))
    except FileNotFoundError:
        return None, [f"--settings: found no file {options.settings}"]
    except YAMLError as error:
        return None, [f"--settings: {options.settings} cannot be read as YAML: {error}"]
    except (ParamsError, ValueError) as error:
        return None, [str(error)]
    return settings, []
