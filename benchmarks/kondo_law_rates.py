"""How often does a general engine find the law of T_K? Fresh data for every seed, nothing of any law given.

    python benchmarks/kondo_law_rates.py --seeds 101 102 103 [--rows 60] [--raw] [--folder .kondo_law_rates]

Labels and search are those of params.yaml (sections kondo_temperatures and formula), with the seed and the number of
rows changed. Seeds 1 to 5 were used in development. Each seed writes its labels and its result into the folder, and
what is there is not done again, so a killed run goes on where it was. The table counts every seed asked for.
"""

import argparse
import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from models.laws.general_law import KondoTable, find_kondo_law
from models.physics.impurity.kondo_label import labelled_kondo_temperature
from pipeline.impurity.formula import FormulaParams
from pipeline.impurity.kondo_temperatures import KondoTemperaturesParams, draw_impurity, measure_shard
from pipeline.runtime.params import load_params

ROWS_PER_FILE = 20
NAMES = ("interaction", "level", "hybridization", "kondo_temperature", "kondo_temperature_error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--raw", action="store_true", help="U, eps_d, Gamma as inputs, without dimensional analysis")
    parser.add_argument("--folder", type=Path, default=Path(".kondo_law_rates"))
    parser.add_argument("--table", action="store_true", help="only the table of what is there")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    encoding: Literal["dimensionless", "raw"] = "raw" if arguments.raw else "dimensionless"
    results = {}
    for seed in arguments.seeds:
        path = arguments.folder / f"law_{encoding}_{seed}.json"
        if not path.exists() and not arguments.table:
            write(path, searched(labels(seed, arguments.rows, arguments.folder), encoding))
            print(f"seed {seed}: {json.loads(path.read_text())['equation']}", flush=True)
        if path.exists():
            results[seed] = json.loads(path.read_text())
    print_table(arguments.seeds, results)


def labels(seed: int, n_rows: int, folder: Path) -> KondoTable:
    params = replace(load_params(KondoTemperaturesParams, "kondo_temperatures"), seed=seed)
    label = partial(labelled_kondo_temperature, settings=params.label, lowest_temperature=params.label_temperature)
    parts = []
    for first in range(0, n_rows, ROWS_PER_FILE):
        path = folder / f"rows_{seed}_{first}.json"
        if not path.exists():
            numbers = range(first, min(first + ROWS_PER_FILE, n_rows))
            start = time.process_time()
            shard = measure_shard([draw_impurity(params, i) for i in numbers], labeller=label)
            columns = {name: column.tolist() for name, column in shard.items()}
            write(path, columns | {"cpu_s": time.process_time() - start})
        parts.append(json.loads(path.read_text()))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in NAMES}
    return KondoTable(error=columns.pop("kondo_temperature_error"), **columns)


def searched(table: KondoTable, encoding: Literal["dimensionless", "raw"]) -> dict[str, Any]:
    params = load_params(FormulaParams, "formula")
    start = time.process_time()
    found = find_kondo_law(
        table.local_moments(params.general.moment_depth),
        params.choose_engine().engine,
        params.general.staged,
        encoding=encoding,
        n_bootstrap=params.general.n_bootstrap,
        confidence=params.confidence,
    )
    return {"equation": None} | found.record() | {"cpu_s": time.process_time() - start}


def write(path: Path, record: dict[str, Any]) -> None:
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(record))
    beside.replace(path)


def print_table(seeds: list[int], results: dict[int, dict[str, Any]]) -> None:
    print("| seed | rows | link | exponent / theory | power of U | power of Gamma | constant | c_1 | verdict |")
    print("|---|---|---|---|---|---|---|---|---|")
    for seed, result in results.items():
        judged = result["asymptotics"]
        if judged is None:
            print(f"| {seed} | {result['n_rows']} | nothing: {result['problem']} | | | | | | |")
            continue
        names = ("exponent_ratio", "power_of_interaction", "power_of_hybridization", "constant", "inverse")
        cells = [interval(judged[name].get("+0.0")) for name in names]
        said = [name for name in VERDICTS if judged[name]]
        print(f"| {seed} | {result['n_rows']} | {result['link']} | {' | '.join(cells)} | {', '.join(said) or 'none'} |")
    print(f"\nof {len(results)} seeds run ({len(seeds)} asked for):")
    for name in VERDICTS:
        count = sum(bool(r["asymptotics"] and r["asymptotics"][name]) for r in results.values())
        print(f"  {name}: {count}")


VERDICTS = ("exponent", "prefactor", "constant_agrees", "correction_resolved", "correction_agrees")


def interval(value: dict[str, float] | None) -> str:
    return "none" if value is None else f"{value['coefficient']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"


if __name__ == "__main__":
    main()
