"""Stage `formula`: find formulas of the measured Kondo temperature and of the learned latent, and judge them.

    reads   params.yaml: formula; data/kondo_temperatures.zarr, data/latents.zarr, data/spectra.zarr,
            reports/metrics/latents.json
    writes  reports/formula/<target>_<engine>_<encoding>/hall_of_fame.csv, reports/formula/laws.csv,
            reports/formula/fronts.csv, reports/metrics/formula.json

Both judge laws, the tolerance and the selection rule stand before the search begins; the engines never see a law.
Bootstrap intervals in `results` are of scatter only; `coefficient_test` adds what variants of the fit say
(models.laws.kondo_law).
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from models.laws.controls import ControlResult, dummy_control, rival_control, shuffled_control
from models.laws.discovery import Discovery, Finding, Problem, Rules, discover
from models.laws.engine_choice import EngineChoice, choose_engine
from models.laws.intervals import Interval
from models.laws.kondo_law import LAWS, CoefficientTest, law_log_ratio, law_terms_test
from models.laws.library_engine import LibraryEngine
from models.laws.linked_discovery import LinkedFinding, discover_linked
from models.laws.operon_engine import OperonEngine
from models.laws.pysr_engine import PySREngine
from models.laws.selection import write_hall_of_fame
from models.laws.symbolic_engine import EngineFailed, EngineUnavailable, SymbolicEngine
from pipeline.formula_tables import write_fronts, write_laws
from pipeline.formula_targets import Impurities, TooFewRows, problem_of, read_latent_target, read_nrg_target
from pipeline.params import load_params
from stores.schema import SchemaError

__all__ = ["FormulaParams", "main"]

FOLDER = Path("reports/formula")
METRICS = Path("reports/metrics/formula.json")


@dataclass(frozen=True, kw_only=True)
class OperonParams:
    """Budget of Operon per seed; raw inputs need more generations than dimensionless ones."""

    population: int
    generations: int
    raw_generations: int
    max_length: int


@dataclass(frozen=True, kw_only=True)
class LibraryParams:
    max_power: int
    max_total: int
    max_terms: int
    beam: int


@dataclass(frozen=True, kw_only=True)
class PySRParams:
    iterations: int
    max_size: int
    timeout_s: float


@dataclass(frozen=True, kw_only=True)
class FormulaParams:
    engine: Literal["auto", "pysr", "operon", "library"]
    encodings: tuple[Literal["dimensionless", "raw"], ...]
    seed: int
    n_seeds: int  # runs per search, for stability
    max_rows: int  # training rows that an engine sees
    test_fraction: float
    extrapolation_fraction: float  # rows of largest U/Gamma, kept from training
    tolerance: float  # of coefficient ratios in the affine test
    confidence: float
    n_bootstrap: int
    n_spline: int  # basis functions of the latent's monotone link
    moment_depth: float  # rows kept: -eps_d and eps_d + U at least this many Gamma
    operon: OperonParams
    library: LibraryParams
    pysr: PySRParams

    def __post_init__(self) -> None:
        checks = {
            "encodings": (self.encodings, len(set(self.encodings)) == len(self.encodings) > 0, "distinct encodings"),
            "seed": (self.seed, self.seed >= 0, ">= 0"),
            "n_seeds": (self.n_seeds, self.n_seeds >= 1, ">= 1 (5 for a claim of stability)"),
            "max_rows": (self.max_rows, self.max_rows >= 20, ">= 20"),
            "test_fraction": (self.test_fraction, 0 < self.test_fraction < 1, "between 0 and 1"),
            "extrapolation_fraction": (
                self.extrapolation_fraction,
                0 < self.extrapolation_fraction < 1,
                "between 0 and 1",
            ),
            "the two fractions": (
                self.test_fraction + self.extrapolation_fraction,
                self.test_fraction + self.extrapolation_fraction <= 0.7,
                "a sum of at most 0.7, so that rows to train on are left",
            ),
            "tolerance": (self.tolerance, 0 < self.tolerance < 1, "between 0 and 1"),
            "confidence": (self.confidence, 0.5 <= self.confidence < 1, "from 0.5 to below 1"),
            "n_bootstrap": (self.n_bootstrap, self.n_bootstrap >= 20, ">= 20"),
            "n_spline": (self.n_spline, self.n_spline >= 5, ">= 5"),
            "moment_depth": (self.moment_depth, self.moment_depth > 0, "> 0"),
            "operon.population": (self.operon.population, self.operon.population >= 10, ">= 10"),
            "operon.generations": (self.operon.generations, self.operon.generations >= 1, ">= 1"),
            "operon.raw_generations": (self.operon.raw_generations, self.operon.raw_generations >= 1, ">= 1"),
            "operon.max_length": (self.operon.max_length, self.operon.max_length >= 5, ">= 5"),
            "library.max_power": (self.library.max_power, 1 <= self.library.max_power <= 4, "1 to 4"),
            "library.max_total": (self.library.max_total, self.library.max_total >= 1, ">= 1"),
            "library.max_terms": (self.library.max_terms, 1 <= self.library.max_terms <= 10, "1 to 10"),
            "library.beam": (self.library.beam, self.library.beam >= 1, ">= 1"),
            "pysr.iterations": (self.pysr.iterations, self.pysr.iterations >= 1, ">= 1"),
            "pysr.max_size": (self.pysr.max_size, self.pysr.max_size >= 7, ">= 7"),
            "pysr.timeout_s": (self.pysr.timeout_s, self.pysr.timeout_s > 0, "> 0"),
        }
        problems = [f"{key}: found {found}, expected {want}" for key, (found, good, want) in checks.items() if not good]
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def rules(self) -> Rules:
        return Rules(
            tolerance=self.tolerance,
            confidence=self.confidence,
            n_bootstrap=self.n_bootstrap,
            n_seeds=self.n_seeds,
            max_rows=self.max_rows,
            seed=self.seed,
        )


def main() -> None:
    params = load_params(FormulaParams, "formula")
    library = LibraryEngine(**asdict(params.library))
    choice = choose_engine(
        params.engine, pysr=pysr_engine(params), operon=operon_engine(params, "dimensionless"), library=library
    )
    print(f"formula: engine {choice.ran} (asked for: {choice.requested}; {choice.why})", flush=True)
    targets, left_out = read_targets(params)
    searches, linked = run_searches(params, choice, library, targets)
    nrg = targets["nrg"]
    test = law_terms_test(
        nrg.interaction,
        nrg.level,
        nrg.hybridization,
        nrg.value,
        n_bootstrap=params.n_bootstrap,
        confidence=params.confidence,
        seed=params.seed,
    )
    controls = run_controls(params, choice, library, nrg, searches)
    write_fronts(FOLDER / "fronts.csv", searches)
    write_laws(FOLDER / "laws.csv", nrg, headline(searches, choice))
    record = metrics_record(params, choice, targets, left_out, searches, linked, test, controls)
    METRICS.parent.mkdir(parents=True, exist_ok=True)
    partial = METRICS.with_name(METRICS.name + ".part")
    partial.write_text(json.dumps(plain(record), indent=2) + "\n")
    partial.replace(METRICS)
    report(record, test)


def read_targets(params: FormulaParams) -> tuple[dict[str, Impurities], dict[str, str]]:
    """Targets by name, and why one was left out; the NRG target is never left out."""
    targets = {"nrg": read_nrg_target(Path("data/kondo_temperatures.zarr"), depth=params.moment_depth)}
    try:
        targets["latent"] = read_latent_target(
            Path("data/latents.zarr"),
            Path("data/spectra.zarr"),
            Path("reports/metrics/latents.json"),
            depth=params.moment_depth,
            seed=params.seed,
        )
    except TooFewRows as error:
        print(f"formula: no search for the latent: {error}", flush=True)
        return targets, {"latent": str(error)}
    return targets, {}


def run_searches(
    params: FormulaParams, choice: EngineChoice, library: LibraryEngine, targets: dict[str, Impurities]
) -> tuple[list[tuple[Problem, Discovery]], list[tuple[Problem, LinkedFinding]]]:
    """Every target and encoding by the chosen engine and the library; the latent also with a free link."""
    searches, linked = [], []
    for name, rows in targets.items():
        for encoding in params.encodings:
            problem = problem_of(
                rows,
                encoding,
                test_fraction=params.test_fraction,
                extrapolation_fraction=params.extrapolation_fraction,
                max_rows=params.max_rows,
                seed=params.seed,
            )
            engines: list[SymbolicEngine] = [library]
            if choice.ran != "library":
                engines.insert(0, operon_engine(params, encoding) if choice.ran == "operon" else choice.engine)
            for engine in engines:
                found = discover(problem, engine, params.rules)
                searches.append((problem, found))
                write_hall_of_fame(FOLDER / f"{name}_{engine.name}_{encoding}" / "hall_of_fame.csv", found.front)
                print(f"formula: {name}, {encoding}, {engine.name}: {found.selected.equation.text}", flush=True)
            if name == "latent":
                free = discover_linked(problem, library, params.rules, n_spline=params.n_spline)
                linked.append((problem, free))
                folder = FOLDER / f"{name}_{library.name}_linked_{encoding}"
                write_hall_of_fame(folder / "hall_of_fame.csv", free.front)
                print(f"formula: {name} up to a monotone map, {encoding}: {free.equation.text}", flush=True)
    return searches, linked


def run_controls(
    params: FormulaParams,
    choice: EngineChoice,
    library: LibraryEngine,
    nrg: Impurities,
    searches: list[tuple[Problem, Discovery]],
) -> list[ControlResult]:
    """Controls on the first encoding of the NRG target, with the scatter that the library's equation leaves."""
    problem, found = next((p, d) for p, d in searches if p.target == "nrg" and d.engine == "library")
    scatter = float(np.sqrt(found.selected.equation.loss))
    rivals = {law: law_log_ratio(law, nrg.interaction, nrg.level, nrg.hybridization) for law in LAWS}
    rivals["power_law"] = -2.0 * np.log(nrg.interaction / nrg.hybridization)
    results = [*rival_control(problem, library, params.rules, rivals, scatter)]
    for engine in [library] if choice.ran == "library" else [library, choice.engine]:
        results += [shuffled_control(problem, engine, params.rules), dummy_control(problem, engine, params.rules)]
    return results


def headline(searches: list[tuple[Problem, Discovery]], choice: EngineChoice) -> tuple[Problem, Finding]:
    """The chosen engine's equation of the NRG target in the first encoding."""
    return next((p, d.selected) for p, d in searches if p.target == "nrg" and d.engine == choice.ran)


def metrics_record(
    params: FormulaParams,
    choice: EngineChoice,
    targets: dict[str, Impurities],
    left_out: dict[str, str],
    searches: list[tuple[Problem, Discovery]],
    linked: list[tuple[Problem, LinkedFinding]],
    test: dict[str, CoefficientTest],
    controls: list[ControlResult],
) -> dict[str, Any]:
    results = [record for problem, found in searches for record in search_records(problem, found)]
    results += [linked_record(problem, free) for problem, free in linked]
    return {
        "results": results,
        "correction_resolved": test["correction"].record(),
        "coefficient_test": {term: outcome.record() for term, outcome in test.items()},
        "controls": [asdict(control) for control in controls],
        "controls_passed": sum(control.passed for control in controls),
        "controls_run": len(controls),
        "engine_choice": {"requested": choice.requested, "ran": choice.ran, "why": choice.why},
        "rules": {
            "selection": "highest score = -d log(loss) / d complexity among equations with loss <= 1.5 min(loss)",
            "tolerance": params.tolerance,
            "confidence": params.confidence,
            "intervals": "bootstrap of rows, the terms being given; coefficient_test adds variants of the fit",
            "library": "a strong prior: its terms span both judge laws",
        },
        "targets": {name: {"origin": rows.origin, "n_rows": len(rows.value)} for name, rows in targets.items()},
        "left_out": left_out,
    }


def search_records(problem: Problem, found: Discovery) -> list[dict[str, Any]]:
    """The selected equation, then front members that have the terms of a judge law."""
    selected = finding_record(problem, found.engine, found.selected, selected=True)
    selected["seed_stability"] = found.seed_stability
    selected["stability_by"] = found.stability_by
    members = [finding_record(problem, found.engine, member, selected=False) for member in found.law_members]
    return [selected, *members]


def finding_record(problem: Problem, engine: str, finding: Finding, *, selected: bool) -> dict[str, Any]:
    return {
        "target": problem.target,
        "engine": engine,
        "encoding": problem.encoding,
        "link": "identity",
        "equation": finding.equation.text,
        "latex": finding.equation.latex,
        "complexity": finding.equation.complexity,
        "loss": finding.equation.loss,
        "r2_test": finding.r2_test,
        "r2_extrapolation": finding.r2_extrapolation,
        "equivalent_srbench": finding.equivalent_srbench,
        "matches": finding.matches,
        "has_exponent": finding.has_exponent,
        "ratios": {law: interval_records(match.ratios) for law, match in finding.affine.items() if match.same_terms},
        "coefficients": interval_records(finding.coefficients),
        "seed_stability": None,
        "selected": selected,
    }


def linked_record(problem: Problem, free: LinkedFinding) -> dict[str, Any]:
    return {
        "target": problem.target,
        "engine": "library",
        "encoding": problem.encoding,
        "link": "monotone",
        "equation": free.equation.text,
        "latex": free.equation.latex,
        "complexity": free.equation.complexity,
        "loss": free.equation.loss,
        "r2_test": free.r2_test,
        "r2_extrapolation": free.r2_extrapolation,
        "equivalent_srbench": False,
        "matches": free.matches,
        "ratios": {law: interval_records(match.ratios) for law, match in free.affine.items() if match.same_terms},
        "coefficients": interval_records(free.coefficients),
        "seed_stability": free.seed_stability,
        "stability_by": "bootstrap",
        "link_monotone": free.link_monotone,
        "selected": True,
    }


def interval_records(intervals: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    return {term: asdict(interval) for term, interval in intervals.items()}


def plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    """JSON without NaN or infinity, floats at ten digits, so that the same run writes the same bytes."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.10g}") if np.isfinite(value) else None
    return value


def report(record: dict[str, Any], test: dict[str, CoefficientTest]) -> None:
    """What came out, in a few lines."""
    for term, t in test.items():
        verdict = "holds" if t.contains_expected else "misses"
        resolved = "resolved" if t.resolved else "not resolved"
        print(
            f"formula: {term:<10} {t.coefficient:+.4f} [{t.low:+.4f}, {t.high:+.4f}] "
            f"{verdict} {t.expected:+.4f}; {resolved}"
        )
    for r in record["results"]:
        if r["selected"]:
            exponent = ", exponent found" if r.get("has_exponent") else ""
            where = f"{r['target']}, {r['engine']}, {r['encoding']}, link {r['link']}"
            print(f"formula: {where}: matches {r['matches']}{exponent}")
    print(f"formula: {record['controls_passed']} of {record['controls_run']} controls passed", flush=True)


def operon_engine(params: FormulaParams, encoding: str) -> OperonEngine:
    budget = params.operon
    generations = budget.raw_generations if encoding == "raw" else budget.generations
    return OperonEngine(population=budget.population, generations=generations, max_length=budget.max_length)


def pysr_engine(params: FormulaParams) -> PySREngine:
    return PySREngine(iterations=params.pysr.iterations, max_size=params.pysr.max_size, timeout_s=params.pysr.timeout_s)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, FileNotFoundError, SchemaError, EngineUnavailable, EngineFailed) as error:
        print(f"formula: {error}", file=sys.stderr)
        sys.exit(1)
