"""Stage `aluminium_benchmark`: properties of the final potential beside the QM engine, published DFT and experiment.

    reads   params.yaml: aluminium_benchmark, runs/aluminium
    writes  reports/metrics/aluminium_properties.json    per property: value, oracle, literature, deviations, failure
            reports/details/aluminium_benchmark.json     curves: E(V), dispersion, g(r) with a snapshot of the melt, ...

The oracle is what the potential was trained to be: `recorded` takes the values of GPAW that stand in
models.physics.atoms.properties.gpaw_values, `gpaw` measures them anew (some 20 minutes of CPU time), module:factory
any ASE calculator, `none` nothing.
"""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import PositiveFloat, PositiveInt

from models.networks.potentials.calculator import PotentialCalculator
from models.physics.atoms.properties.engine_calculator import gpaw
from models.physics.atoms.properties.gpaw_values import beside_recorded
from models.physics.atoms.properties.suite import BenchmarkSettings, CalculatorFactory, benchmark
from models.settings import settings
from pipeline.atoms.property_measurement import CalculatorChoice, calculator_problems, spread_over, table
from pipeline.atoms.records import AluminiumCurves, AluminiumProperties
from pipeline.runtime.execution import load_execution
from pipeline.runtime.params import load_params
from pipeline.runtime.stage import run_stage

__all__ = ["AluminiumBenchmarkParams", "GPAWOracle", "main", "measure"]

POTENTIAL = Path("runs/aluminium")
CURVES = ("curve", "oracle_curve")
NOT_REPEATED = (*CURVES, "seconds", "oracle_seconds")


@settings
class GPAWOracle:
    """Of `oracle: gpaw`; the mesh is fixed, so that energies of strained cells form a smooth curve."""

    cutoff_eV: PositiveFloat
    k_mesh: tuple[PositiveInt, PositiveInt, PositiveInt]
    smearing_eV: PositiveFloat


@settings
class AluminiumBenchmarkParams:
    """Section `aluminium_benchmark` of params.yaml."""

    oracle: str
    gpaw: GPAWOracle
    properties: BenchmarkSettings

    def __post_init__(self) -> None:
        if self.oracle not in ("none", "recorded", "gpaw") and ":" not in self.oracle:
            raise ValueError(f"oracle: found {self.oracle!r}, expected none, recorded, gpaw or module:factory")


def main() -> None:
    params = load_params(AluminiumBenchmarkParams, "aluminium_benchmark")
    PotentialCalculator(POTENTIAL)  # refused here, not in a worker
    records = measure(partial(PotentialCalculator, POTENTIAL.resolve(), n_threads=1), params)
    AluminiumProperties.of({name: _without(record, NOT_REPEATED) for name, record in records.items()}).write()
    AluminiumCurves.of({name: _curves(record) for name, record in records.items() if record.get("curve")}).write()
    print(table(records))
    seconds = {record["family"]: record["seconds"] for record in records.values() if "seconds" in record}
    print("CPU seconds: " + ", ".join(f"{family} {value:.1f}" for family, value in seconds.items()))


def measure(potential: CalculatorFactory, params: AluminiumBenchmarkParams) -> dict[str, dict[str, Any]]:
    """Records of models.physics.atoms.properties.suite.benchmark. Raises ValueError for an oracle that cannot run."""
    records = benchmark(potential, params.properties, _oracle(params), spread_over(load_execution()))
    return beside_recorded(records) if params.oracle == "recorded" else records


def _oracle(params: AluminiumBenchmarkParams) -> CalculatorFactory | None:
    if params.oracle in ("none", "recorded"):
        return None
    if params.oracle == "gpaw":
        return partial(gpaw, **asdict(params.gpaw))
    choice = CalculatorChoice(target=params.oracle)
    if problems := calculator_problems(choice, params.properties.element, "aluminium_benchmark.oracle"):
        raise ValueError("; ".join(problems))
    return choice


def _without(record: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in names}


def _curves(record: Mapping[str, Any]) -> dict[str, Any]:
    return {"family": record["family"]} | {key: record[key] for key in CURVES}


if __name__ == "__main__":
    run_stage("aluminium_benchmark", main)
