"""All properties of one calculator beside those of an oracle, the literature and experiment.

A family measures some properties at once. `equation_of_state` comes first: its lattice is what the others are cut from,
each calculator its own. Families are independent, so `run` may spread them over workers. What a family cannot measure
is recorded with its reason; nothing stops the suite.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from models.physics.atoms.properties.compression import PHASES, CompressionSettings, compression
from models.physics.atoms.properties.crystals import (
    Calculator,
    Lattice,
    Quantity,
    reason_of,
    starting_lattice_constant_A,
)
from models.physics.atoms.properties.elastic import ElasticSettings, elastic_constants
from models.physics.atoms.properties.equation_of_state import EquationOfStateSettings, equation_of_state
from models.physics.atoms.properties.hugoniot import HugoniotSettings, hugoniot
from models.physics.atoms.properties.literature import Sourced, literature
from models.physics.atoms.properties.melt import MeltSettings, melt
from models.physics.atoms.properties.melting_point import MeltingPointSettings, melting_point
from models.physics.atoms.properties.phonons import PhononSettings, phonons
from models.physics.atoms.properties.stacking_fault import StackingFaultSettings, stacking_fault
from models.physics.atoms.properties.structures import StructureSettings, structure_energies
from models.physics.atoms.properties.surfaces import SurfaceSettings, surfaces
from models.physics.atoms.properties.thermal_expansion import ThermalExpansionSettings, thermal_expansion
from models.physics.atoms.properties.vacancy import VacancySettings, vacancy
from models.settings import settings

__all__ = [
    "FAMILIES",
    "LONG",
    "BenchmarkSettings",
    "CalculatorFactory",
    "Family",
    "FamilyResult",
    "Task",
    "benchmark",
    "chosen_families",
    "measure",
    "one_after_another",
]

CalculatorFactory = Callable[[], Calculator]
FIRST = "equation_of_state"


@settings
class BenchmarkSettings:
    """Settings of every family; `families` and `oracle_families` say which are measured."""

    element: str = "Al"
    families: tuple[str, ...] = ()  # none: all but the long ones
    oracle_families: tuple[str, ...] = ()  # none: those measured of the calculator
    equation_of_state: EquationOfStateSettings = field(default_factory=EquationOfStateSettings)
    structures: StructureSettings = field(default_factory=StructureSettings)
    elastic: ElasticSettings = field(default_factory=ElasticSettings)
    vacancy: VacancySettings = field(default_factory=VacancySettings)
    surfaces: SurfaceSettings = field(default_factory=SurfaceSettings)
    stacking_fault: StackingFaultSettings = field(default_factory=StackingFaultSettings)
    phonons: PhononSettings = field(default_factory=PhononSettings)
    compression: CompressionSettings = field(default_factory=CompressionSettings)
    melt: MeltSettings = field(default_factory=MeltSettings)
    thermal_expansion: ThermalExpansionSettings = field(default_factory=ThermalExpansionSettings)
    hugoniot: HugoniotSettings = field(default_factory=HugoniotSettings)
    melting_point: MeltingPointSettings = field(default_factory=MeltingPointSettings)

    def __post_init__(self) -> None:
        wrong = [name for name in (*self.families, *self.oracle_families) if name not in FAMILIES]
        if wrong:
            raise ValueError(f"properties: found unknown {wrong}, expected some of {list(FAMILIES)}")
        starting_lattice_constant_A(self.element)


@dataclass(frozen=True, kw_only=True)
class FamilyResult:
    """What one family gave; `failure` is why it gave nothing."""

    quantities: dict[str, Quantity]
    seconds: float
    curve: Mapping[str, Any] | None = None
    lattice: Lattice | None = None
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One family of one calculator; can be sent to a worker if the factory can."""

    family: str
    factory: CalculatorFactory
    settings: BenchmarkSettings
    lattice: Lattice | None = None


Run = Callable[[Callable[[Task], FamilyResult], Sequence[Task]], Iterator[tuple[int, FamilyResult | Exception]]]


@dataclass(frozen=True, kw_only=True)
class Family:
    """How it is measured, and its properties with their units."""

    measure: Callable[[Calculator, Any, BenchmarkSettings], Any]
    properties: Callable[[BenchmarkSettings], dict[str, str]]


def _units(unit: str, *names: str) -> Callable[[BenchmarkSettings], dict[str, str]]:
    return lambda settings: dict.fromkeys(names, unit)


def _structure_units(settings: BenchmarkSettings) -> dict[str, str]:
    units: dict[str, str] = {}
    for name in settings.structures.structures:
        units |= {f"{name}_minus_fcc": "eV/atom", f"{name}_volume": "A^3/atom"}
    return units | ({"hcp_c_over_a": "1"} if "hcp" in settings.structures.structures else {})


def _compression_units(settings: BenchmarkSettings) -> dict[str, str]:
    units: dict[str, str] = {}
    for ratio in settings.compression.ratios:
        for phase in PHASES:
            name = f"compressed_{phase}_{ratio:.2f}"
            units |= {f"{name}_energy": "eV/atom", f"{name}_pressure": "GPa"}
    return units


def _hugoniot_units(settings: BenchmarkSettings) -> dict[str, str]:
    units: dict[str, str] = {}
    for ratio in settings.hugoniot.ratios:
        units |= {f"hugoniot_{ratio:.2f}_pressure": "GPa", f"hugoniot_{ratio:.2f}_temperature": "K"}
    return units


FAMILIES: dict[str, Family] = {
    FIRST: Family(
        measure=lambda calc, _, s: equation_of_state(calc, s.element, s.equation_of_state),
        properties=lambda _: {
            "a0": "A",
            "bulk_modulus": "GPa",
            "bulk_modulus_derivative": "1",
            "local_bulk_modulus": "GPa",
        },
    ),
    "structures": Family(
        measure=lambda calc, lattice, s: structure_energies(calc, lattice, s.structures), properties=_structure_units
    ),
    "elastic": Family(
        measure=lambda calc, lattice, s: elastic_constants(calc, lattice, s.elastic),
        properties=_units("GPa", "c11", "c12", "c44"),
    ),
    "vacancy": Family(
        measure=lambda calc, lattice, s: vacancy(calc, lattice, s.vacancy),
        properties=_units("eV", "vacancy_formation", "vacancy_formation_unrelaxed", "vacancy_migration"),
    ),
    "surfaces": Family(
        measure=lambda calc, lattice, s: surfaces(calc, lattice, s.surfaces),
        properties=_units(
            "J/m^2", *(f"surface_{hkl}{end}" for hkl in ("111", "100", "110") for end in ("", "_unrelaxed"))
        ),
    ),
    "stacking_fault": Family(
        measure=lambda calc, lattice, s: stacking_fault(calc, lattice, s.stacking_fault),
        properties=_units("mJ/m^2", "intrinsic_stacking_fault", "intrinsic_stacking_fault_unrelaxed"),
    ),
    "phonons": Family(
        measure=lambda calc, lattice, s: phonons(calc, lattice, s.phonons),
        properties=_units(
            "THz",
            *(f"phonon_{point}_{mode}" for point in ("X", "L") for mode in ("longitudinal", "transverse")),
            "phonon_lowest",
        ),
    ),
    "compression": Family(
        measure=lambda calc, _, s: compression(calc, s.element, s.compression), properties=_compression_units
    ),
    "melt": Family(
        measure=lambda calc, lattice, s: melt(calc, lattice, s.melt),
        properties=lambda _: {
            "melt_rdf_first_peak": "A",
            "melt_rdf_first_peak_height": "1",
            "melt_coordination": "1",
            "melt_volume": "A^3/atom",
            "melt_diffusion": "A^2/ps",
            "melt_temperature": "K",
        },
    ),
    "thermal_expansion": Family(
        measure=lambda calc, lattice, s: thermal_expansion(calc, lattice, s.thermal_expansion),
        properties=_units("1e-6/K", "thermal_expansion"),
    ),
    "hugoniot": Family(
        measure=lambda calc, lattice, s: hugoniot(calc, lattice, s.hugoniot), properties=_hugoniot_units
    ),
    "melting_point": Family(
        measure=lambda calc, lattice, s: melting_point(calc, lattice, s.melting_point),
        properties=_units("K", "melting_point"),
    ),
}
LONG = ("thermal_expansion", "hugoniot", "melting_point")


def benchmark(
    calculator_factory: CalculatorFactory,
    settings: BenchmarkSettings,
    oracle_factory: CalculatorFactory | None = None,
    run: Run | None = None,
) -> dict[str, dict[str, Any]]:
    """Property -> {value, unit, family, settings, failure, oracle, literature_dft, experiment, relative_deviation}.

    `relative_deviation` is (value - other) / |other| for each of the three others that is there. The first property of
    a family with a curve (energy and volume, dispersion, g(r), ...) has it as `curve`, and the oracle's as
    `oracle_curve`; `seconds` is the CPU time of the family. `run` applies a function to tasks, like
    `one_after_another`; its order of results does not matter.
    """
    run = run or one_after_another
    factories = {"value": calculator_factory} | ({} if oracle_factory is None else {"oracle": oracle_factory})
    wanted = {
        who: chosen_families(settings.oracle_families or settings.families if who == "oracle" else settings.families)
        for who in factories
    }
    first = [Task(family=FIRST, factory=factory, settings=settings) for factory in factories.values()]
    results = dict(zip(((who, FIRST) for who in factories), map(measure, first), strict=True))
    keys, tasks = [], []
    for who, factory in factories.items():
        start = results[who, FIRST]
        for family in wanted[who]:
            if family == FIRST:
                continue
            if start.lattice is None and family != "compression":
                reason = f"there is no fcc crystal to measure it in: {start.failure}"
                results[who, family] = FamilyResult(quantities={}, seconds=0.0, failure=reason)
                continue
            keys.append((who, family))
            tasks.append(Task(family=family, factory=factory, settings=settings, lattice=start.lattice))
    results |= dict(zip(keys, _results(run, tasks), strict=True))
    records: dict[str, dict[str, Any]] = {}
    for family in [name for name in FAMILIES if ("value", name) in results]:
        records |= _records(family, settings, results["value", family], results.get(("oracle", family)))
    return records


def measure(task: Task) -> FamilyResult:
    """The family, or why it has no result; whatever the calculator raises is recorded."""
    started = time.process_time()
    try:
        result = FAMILIES[task.family].measure(task.factory(), task.lattice, task.settings)
        quantities = result.quantities()
    except Exception as error:
        return FamilyResult(quantities={}, seconds=time.process_time() - started, failure=reason_of(error))
    return FamilyResult(
        quantities=quantities,
        seconds=time.process_time() - started,
        curve=result.curve() if hasattr(result, "curve") else None,
        lattice=cast("Lattice | None", getattr(result, "lattice", None)),
    )


def one_after_another(
    function: Callable[[Task], FamilyResult], tasks: Sequence[Task]
) -> Iterator[tuple[int, FamilyResult | Exception]]:
    yield from ((index, function(task)) for index, task in enumerate(tasks))


def chosen_families(families: Sequence[str], *, long: bool = False) -> tuple[str, ...]:
    """In the order of FAMILIES, with the first one; all but the long ones where `families` is empty."""
    wanted = set(families) or {name for name in FAMILIES if long or name not in LONG}
    return tuple(name for name in FAMILIES if name in wanted | {FIRST})


def _results(run: Run, tasks: Sequence[Task]) -> list[FamilyResult]:
    results: dict[int, FamilyResult] = {}
    for index, result in run(measure, tasks):
        lost = FamilyResult(quantities={}, seconds=0.0, failure=f"the worker was lost: {result}")
        results[index] = lost if isinstance(result, Exception) else result
    return [results[index] for index in range(len(tasks))]


def _records(
    family: str, settings: BenchmarkSettings, mine: FamilyResult, oracle: FamilyResult | None
) -> dict[str, dict[str, Any]]:
    records = {}
    for position, (name, unit) in enumerate(FAMILIES[family].properties(settings).items()):
        entry = mine.quantities.get(name, Quantity(value=None, unit=unit, failure=mine.failure))
        other = oracle.quantities.get(name) if oracle else None
        published = literature(settings.element, name)
        others = {
            "oracle": other.value if other else None,
            "literature_dft": published.dft.value if published.dft else None,
            "experiment": published.experiment.value if published.experiment else None,
        }
        record: dict[str, Any] = {
            "value": entry.value,
            "unit": unit,
            "family": family,
            "settings": json.loads(json.dumps(asdict(getattr(settings, family)))),
            "failure": entry.failure,
            "oracle": others["oracle"],
            "oracle_failure": "" if oracle is None else other.failure if other else oracle.failure,
            "literature_dft": _sourced(published.dft),
            "experiment": _sourced(published.experiment),
            "relative_deviation": {who: _deviation(entry.value, value) for who, value in others.items()},
        }
        if position == 0:
            record["seconds"] = mine.seconds
            record["oracle_seconds"] = oracle.seconds if oracle else None
            record["curve"] = mine.curve
            record["oracle_curve"] = oracle.curve if oracle else None
        records[name] = record
    return records


def _sourced(number: Sourced | None) -> dict[str, Any] | None:
    return None if number is None else asdict(number)


def _deviation(value: float | None, other: float | None) -> float | None:
    return None if value is None or not other else (value - other) / abs(other)
