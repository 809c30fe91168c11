"""Tables of the formula stage for plots: all Pareto fronts, and laws against the measured Kondo temperature.

fronts.csv  target, engine, encoding, complexity, loss, equation, selected
laws.csv    interaction, level, hybridization, split, and log(T_K/D): measured, found, haldane, haldane_corrected
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.laws.discovery import Discovery, Finding, Problem
from models.laws.kondo_law import LAWS, law_log_ratio
from pipeline.impurity.formula_targets import Impurities

__all__ = ["write_fronts", "write_laws"]


def write_fronts(path: Path, searches: list[tuple[Problem, Discovery]]) -> None:
    rows = [
        (p.target, d.engine, p.encoding, e.complexity, f"{e.loss:.8g}", e.text, int(e is d.selected.equation))
        for p, d in searches
        for e in d.front
    ]
    write_table(path, ["target", "engine", "encoding", "complexity", "loss", "equation", "selected"], rows)


def write_laws(path: Path, nrg: Impurities, found: tuple[Problem, Finding]) -> None:
    """Rows of the NRG target; `split` is train, test, extrapolation or unused."""
    problem, finding = found
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
