"""Stage `formula`: find formulas of the measured Kondo temperature and of the learned latent, and test them.

    reads   params.yaml: formula; data/kondo_temperatures.zarr, data/latents.zarr, data/spectra.zarr,
            reports/metrics/latents.json
    writes  reports/formula/<target>_<engine>_<encoding>/hall_of_fame.csv, reports/formula/laws.csv,
            reports/formula/fronts.csv, reports/metrics/formula.json (the numbers that `dvc metrics show` lists),
            reports/details/formula.json (coefficient test, controls, rules)

Both reference laws, the tolerance and the selection rule stand before the search begins; the engines never see a law.
The engine `library` is a sparse fit of named terms, which span both laws: a baseline, no symbolic regression. What the
chosen engine finds for T_K/D from energies and their units alone is `general` (models.laws.general_law).
Bootstrap intervals in `results` are of scatter only; `coefficient_test` adds what variants of the fit say
(models.laws.kondo_law).
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from models.laws.controls import ControlResult, dummy_control, rival_control, shuffled_control
from models.laws.discovery import Discovery, Finding, Problem, Rules, discover
from models.laws.engines.library import LibraryEngine
from models.laws.general_law import GeneralLaw, find_kondo_law
from models.laws.kondo_law import LAWS, CoefficientTest, law_log_ratio, law_terms_test
from models.laws.monotone_link import LinkedFinding, discover_linked
from models.laws.selection import write_hall_of_fame
from models.laws.staged_search import StagedRules
from models.laws.symbolic_engine import EngineChoice, EngineError, SymbolicEngine
from models.settings import Some, settings
from pipeline.discover.search import SearchSettings, linked_record, search_records
from pipeline.impurity.records import FormulaDetails, FormulaMetrics
from pipeline.impurity.targets import (
    Impurities,
    TooFewRows,
    problem_of,
    read_kondo_table,
    read_latent_target,
    read_nrg_target,
)
from pipeline.runtime.execution import load_execution, run_tasks
from pipeline.runtime.params import load_params
from pipeline.runtime.progress import progress_bar
from pipeline.runtime.stage import run_stage

__all__ = ["FormulaParams", "main"]

FOLDER = Path("reports/formula")


@settings
class GeneralSettings:
    """Section `formula.general`: the law of T_K/D by the chosen engine, in stages (models.laws.general_law)."""

    moment_depth: PositiveFloat  # rows kept: -eps_d and eps_d + U at least this many Gamma
    seed: NonNegativeInt
    n_seeds: PositiveInt  # runs of the engine in each stage
    n_rounds: PositiveInt  # searches in what the skeleton leaves
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)]
    extrapolation_fraction: Annotated[float, Field(gt=0, lt=0.5)]
    n_bootstrap: Annotated[int, Field(ge=20)]

    @property
    def staged(self) -> StagedRules:
        return StagedRules(
            n_seeds=self.n_seeds,
            n_rounds=self.n_rounds,
            test_fraction=self.test_fraction,
            extrapolation_fraction=self.extrapolation_fraction,
            seed=self.seed,
        )


@settings
class FormulaParams(SearchSettings):
    """Section `formula` of params.yaml. The library is a baseline of every search, so it is always among `engines`."""

    encodings: Some[Literal["dimensionless", "raw"]]
    tolerance: Annotated[float, Field(gt=0, lt=1)]  # of coefficient ratios in the affine test
    n_spline: Annotated[int, Field(ge=5)]  # basis functions of the latent's monotone link
    moment_depth: PositiveFloat  # rows kept: -eps_d and eps_d + U at least this many Gamma
    general: GeneralSettings

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.encodings)) < len(self.encodings):
            raise ValueError(f"encodings: found {list(self.encodings)}, expected each of them once")
        if "library" not in self.engines:
            raise ValueError("engines: found no library, expected it among them: it is the baseline of every search")

    @property
    def rules(self) -> Rules:
        return replace(super().rules, tolerance=self.tolerance)

    @property
    def library(self) -> LibraryEngine:
        library: LibraryEngine = self.engines["library"]
        return library


def main() -> None:
    params = load_params(FormulaParams, "formula")
    library, choice = params.library, params.choose_engine()
    print(f"formula: engine {choice.ran} (asked for: {choice.requested}; {choice.why})", flush=True)
    targets, left_out = read_targets(params)
    searches, linked = run_searches(list_searches(params, choice, library, targets))
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
    general = run_general(params, choice)
    write_fronts(FOLDER / "fronts.csv", searches)
    write_laws(FOLDER / "laws.csv", nrg, headline(searches, choice))
    record = metrics_record(params, choice, targets, left_out, searches, linked, test, controls, general)
    for kind in (FormulaDetails, FormulaMetrics):
        kind.of({key: record[key] for key in kind.model_fields}).write()
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


@dataclass(frozen=True, kw_only=True)
class Search:
    """One search, independent of all others; `n_spline` set: with a free monotone link, by the library."""

    problem: Problem
    engine: SymbolicEngine
    rules: Rules
    folder: Path
    n_spline: int | None = None

    @property
    def cost(self) -> int:
        """Genetic programming takes the time, and most of it on raw inputs."""
        return (self.engine.name != "library") * (2 if self.problem.encoding == "raw" else 1)


def list_searches(
    params: FormulaParams, choice: EngineChoice, library: LibraryEngine, targets: dict[str, Impurities]
) -> list[Search]:
    """Every target and encoding by the chosen engine and the library; the latent also with a free link."""
    searches = []
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
                engines.insert(0, choice.engine.for_raw_inputs() if encoding == "raw" else choice.engine)
            for engine in engines:
                folder = FOLDER / f"{name}_{engine.name}_{encoding}"
                searches.append(Search(problem=problem, engine=engine, rules=params.rules, folder=folder))
            if name == "latent":
                folder = FOLDER / f"{name}_{library.name}_linked_{encoding}"
                linked = Search(
                    problem=problem,
                    engine=library,
                    rules=params.rules,
                    folder=folder,
                    n_spline=params.n_spline,
                )
                searches.append(linked)
    return searches


def run_search(search: Search) -> Discovery | LinkedFinding:
    if search.n_spline is not None and isinstance(search.engine, LibraryEngine):
        return discover_linked(search.problem, search.engine, search.rules, n_spline=search.n_spline)
    return discover(search.problem, search.engine, search.rules)


def run_searches(
    searches: list[Search],
) -> tuple[list[tuple[Problem, Discovery]], list[tuple[Problem, LinkedFinding]]]:
    """What was found, in the order of `searches`, by as many processes as there are; the longest begin first."""
    order = sorted(range(len(searches)), key=lambda index: -searches[index].cost)
    results: dict[int, Discovery | LinkedFinding] = {}
    with progress_bar("formula", len(searches), "searches") as progress:
        for position, result in run_tasks(run_search, [searches[index] for index in order], load_execution()):
            if isinstance(result, Exception):
                raise result
            results[order[position]] = result
            progress.update()
    plain, linked = [], []
    for index, search in enumerate(searches):
        result, problem = results[index], search.problem
        write_hall_of_fame(search.folder / "hall_of_fame.csv", result.front)
        where = f"formula: {problem.target}, {problem.encoding}"
        if isinstance(result, Discovery):
            plain.append((problem, result))
            print(f"{where}, {search.engine.name}: {result.selected.equation.text}", flush=True)
        else:
            linked.append((problem, result))
            print(f"{where}, up to a monotone map: {result.finding.equation.text}", flush=True)
    return plain, linked


def run_controls(
    params: FormulaParams,
    choice: EngineChoice,
    library: LibraryEngine,
    nrg: Impurities,
    searches: list[tuple[Problem, Discovery]],
) -> list[ControlResult]:
    """Controls on the first encoding of the NRG target, with the scatter that the library's equation leaves."""
    problem, discovery = next((p, d) for p, d in searches if p.target == "nrg" and d.engine == "library")
    scatter = float(np.sqrt(discovery.selected.equation.loss))
    rivals = {law: law_log_ratio(law, nrg.interaction, nrg.level, nrg.hybridization) for law in LAWS}
    rivals["power_law"] = -2.0 * np.log(nrg.interaction / nrg.hybridization)
    results = [*rival_control(problem, library, params.rules, rivals, scatter)]
    for engine in [library] if choice.ran == "library" else [library, choice.engine]:
        results += [
            shuffled_control(problem, engine, params.rules),
            dummy_control(problem, engine, params.rules),
        ]
    return results


def run_general(params: FormulaParams, choice: EngineChoice) -> list[GeneralLaw]:
    """The law of T_K/D by the chosen engine, once for every encoding."""
    table = read_kondo_table(Path("data/kondo_temperatures.zarr")).local_moments(params.general.moment_depth)
    searches = [
        partial(
            find_kondo_law,
            table,
            choice.engine,
            params.general.staged,
            encoding=encoding,
            n_bootstrap=params.general.n_bootstrap,
            confidence=params.confidence,
        )
        for encoding in params.encodings
    ]
    laws: dict[int, GeneralLaw] = {}
    with progress_bar("formula, staged", len(searches), "searches") as progress:
        for position, result in run_tasks(call, searches, load_execution()):
            if isinstance(result, Exception):
                raise result
            laws[position] = result
            progress.update()
    return [laws[position] for position in sorted(laws)]


def call(search: Callable[[], GeneralLaw]) -> GeneralLaw:
    return search()


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
    general: list[GeneralLaw],
) -> dict[str, Any]:
    results = [record for problem, discovery in searches for record in search_records(problem, discovery)]
    results += [linked_record(problem, free) for problem, free in linked]
    correction = {key: value for key, value in test["correction"].record().items() if key != "variants"}
    return {
        "results": results,
        "correction_resolved": correction,
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
            "library": "a sparse fit of named terms that span both reference laws: a baseline, no symbolic regression",
        },
        "targets": {name: {"origin": rows.origin, "n_rows": len(rows.value)} for name, rows in targets.items()},
        "left_out": left_out,
        "general": [general_summary(law) for law in general],
        "general_laws": [law.record() for law in general],
    }


def general_summary(general: GeneralLaw) -> dict[str, Any]:
    """The verdicts; all false where the engine gave nothing."""
    names = ("exponent", "prefactor", "constant_agrees", "correction_resolved", "correction_agrees")
    return {
        "engine": general.engine,
        "encoding": general.encoding,
        "equation": None if general.law is None else general.law.equation.text,
        "link": None if general.law is None else general.law.link,
        "n_rows": general.n_rows,
        "r2_report": general.r2_report,
        **{name: general.asymptotics is not None and getattr(general.asymptotics, name) for name in names},
        "problem": general.problem or (None if general.asymptotics is None else general.asymptotics.problem),
    }


def write_fronts(path: Path, searches: list[tuple[Problem, Discovery]]) -> None:
    rows = [
        (p.target, d.engine, p.encoding, e.complexity, f"{e.loss:.8g}", e.text, int(e is d.selected.equation))
        for p, d in searches
        for e in d.front
    ]
    write_table(path, ["target", "engine", "encoding", "complexity", "loss", "equation", "selected"], rows)


def write_laws(path: Path, nrg: Impurities, selected: tuple[Problem, Finding]) -> None:
    """Rows of the NRG target; `split` is train, test, extrapolation or unused."""
    problem, finding = selected
    split = np.full(len(nrg.value), "unused", dtype=object)
    for name in ("train", "test", "extrapolation"):
        split[getattr(problem, name)] = name
    log_gamma = np.log(nrg.hybridization)
    logs = [nrg.value, finding.equation.predict(problem.inputs)]
    logs += [law_log_ratio(law, nrg.interaction, nrg.level, nrg.hybridization) for law in LAWS]
    columns = [nrg.interaction, nrg.level, nrg.hybridization, *(log + log_gamma for log in logs)]
    rows = [
        (*(f"{v:.10g}" for v in values[:3]), name, *(f"{v:.10g}" for v in values[3:]))
        for *values, name in zip(*columns, split, strict=True)
    ]
    names = ["interaction", "level", "hybridization", "split", "measured", "found", *LAWS]
    write_table(path, names, rows)


def write_table(path: Path, names: list[str], rows: Sequence[tuple[object, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)


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
    for g in record["general"]:
        said = [name for name in ("exponent", "prefactor", "correction_agrees") if g[name]]
        print(f"formula: T_K/D, {g['engine']}, {g['encoding']}, in stages: {g['equation']}; holds: {said or 'nothing'}")
    print(f"formula: {record['controls_passed']} of {record['controls_run']} controls passed", flush=True)


if __name__ == "__main__":
    run_stage("formula", main, also_explained=(EngineError,))
