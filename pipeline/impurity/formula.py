"""Stage `formula`: find formulas of the measured Kondo temperature and of the learned latent, and judge them.

    reads   params.yaml: formula; data/kondo_temperatures.zarr, data/latents.zarr, data/spectra.zarr,
            reports/metrics/latents.json
    writes  reports/formula/<target>_<engine>_<encoding>/hall_of_fame.csv, reports/formula/laws.csv,
            reports/formula/fronts.csv, reports/metrics/formula.json (the numbers that `dvc metrics show` lists),
            reports/details/formula.json (coefficient test, controls, rules)

Both judge laws, the tolerance and the selection rule stand before the search begins; the engines never see a law.
Bootstrap intervals in `results` are of scatter only; `coefficient_test` adds what variants of the fit say
(models.laws.kondo_law).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.laws.controls import ControlResult, dummy_control, rival_control, shuffled_control
from models.laws.discovery import Discovery, Finding, Problem, Rules, discover
from models.laws.engine_choice import EngineChoice, choose_engine
from models.laws.kondo_law import LAWS, CoefficientTest, law_log_ratio, law_terms_test
from models.laws.library_engine import LibraryEngine
from models.laws.linked_discovery import LinkedFinding, discover_linked
from models.laws.selection import write_hall_of_fame
from models.laws.symbolic_engine import EngineFailed, EngineUnavailable, SymbolicEngine
from pipeline.discover.search_params import library_engine, operon_engine, pysr_engine
from pipeline.impurity.formula_params import FormulaParams
from pipeline.impurity.formula_records import METRIC_KEYS, metrics_record
from pipeline.impurity.formula_tables import write_fronts, write_laws
from pipeline.impurity.formula_targets import Impurities, TooFewRows, problem_of, read_latent_target, read_nrg_target
from pipeline.runtime.execution import load_execution, run_tasks
from pipeline.runtime.params import load_params
from pipeline.runtime.progress import progress_bar
from pipeline.runtime.stage import run_stage, write_json

__all__ = ["FormulaParams", "main"]

FOLDER = Path("reports/formula")
METRICS = Path("reports/metrics/formula.json")
DETAILS = Path("reports/details/formula.json")


def main() -> None:
    params = load_params(FormulaParams, "formula")
    library = library_engine(params.library)
    choice = choose_engine(
        params.engine, pysr=pysr_engine(params.pysr), operon=operon_engine(params.operon), library=library
    )
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
    write_fronts(FOLDER / "fronts.csv", searches)
    write_laws(FOLDER / "laws.csv", nrg, headline(searches, choice))
    record = metrics_record(params, choice, targets, left_out, searches, linked, test, controls)
    write_json(DETAILS, {key: value for key, value in record.items() if key not in METRIC_KEYS})
    write_json(METRICS, {key: record[key] for key in METRIC_KEYS})
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
                budget = operon_engine(params.operon, raw=encoding == "raw")
                engines.insert(0, budget if choice.ran == "operon" else choice.engine)
            for engine in engines:
                folder = FOLDER / f"{name}_{engine.name}_{encoding}"
                searches.append(Search(problem=problem, engine=engine, rules=params.rules, folder=folder))
            if name == "latent":
                folder = FOLDER / f"{name}_{library.name}_linked_{encoding}"
                linked = Search(
                    problem=problem, engine=library, rules=params.rules, folder=folder, n_spline=params.n_spline
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
    found: dict[int, Discovery | LinkedFinding] = {}
    with progress_bar("formula", len(searches), "searches") as progress:
        for position, result in run_tasks(run_search, [searches[index] for index in order], load_execution()):
            if isinstance(result, Exception):
                raise result
            found[order[position]] = result
            progress.update()
    plain, linked = [], []
    for index, search in enumerate(searches):
        result, problem = found[index], search.problem
        write_hall_of_fame(search.folder / "hall_of_fame.csv", result.front)
        where = f"formula: {problem.target}, {problem.encoding}"
        if isinstance(result, Discovery):
            plain.append((problem, result))
            print(f"{where}, {search.engine.name}: {result.selected.equation.text}", flush=True)
        else:
            linked.append((problem, result))
            print(f"{where}, up to a monotone map: {result.equation.text}", flush=True)
    return plain, linked


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


if __name__ == "__main__":
    run_stage("formula", main, also_told=(EngineUnavailable, EngineFailed))
