"""From the fronts of engines to one selected equation, and PySR's result files.

All candidates are brought to canonical form, and the Pareto front of those (complexity up, loss down) is searched by
PySR's rule `best`: among equations with loss <= 1.5 min(loss), the highest score = -d log(loss) / d complexity.
"""

import csv
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.laws.canonical import Equation, canonicalise
from models.laws.symbolic_engine import Candidate, FloatArray, FrontResult

__all__ = ["best_index", "canonical_front", "pareto_front", "read_hall_of_fame", "result_table", "write_hall_of_fame"]

LOSS_WINDOW = 1.5


def canonical_front(fronts: Sequence[FrontResult], inputs: FloatArray, target: FloatArray) -> list[Equation]:
    """Pareto front (complexity up, loss down) of the canonical forms of all candidates of one or several fits."""
    by_terms: dict[tuple[str, ...], Equation] = {}
    for front in fronts:
        for candidate in front.candidates:
            equation = canonicalise(candidate.equation, inputs, target, front.names)
            if equation is not None:
                by_terms.setdefault(tuple(equation.terms), equation)
    return pareto_front(list(by_terms.values()))


def pareto_front(equations: list[Equation]) -> list[Equation]:
    """Equations that no other beats in both complexity and loss, by rising complexity."""
    front: list[Equation] = []
    for equation in sorted(equations, key=lambda e: (e.complexity, e.loss, e.text)):
        if not front or equation.loss < front[-1].loss:
            front.append(equation)
    return front


def scores_of(front: Sequence[Equation]) -> list[float]:
    """PySR's score of every member: fall of log loss per added node, 0 for the first."""
    pairs = pairwise(front)
    return [0.0, *(float(np.log(a.loss / b.loss)) / (b.complexity - a.complexity) for a, b in pairs)] if front else []


def best_index(front: Sequence[Equation]) -> int:
    """Index chosen by PySR's rule `best`; ValueError for an empty front."""
    if not front:
        raise ValueError("selection: found an empty front, expected at least one equation with finite loss")
    limit = LOSS_WINDOW * min(e.loss for e in front)
    scores = scores_of(front)
    return max((i for i in range(len(front)) if front[i].loss <= limit), key=lambda i: (scores[i], -i))


def result_table(front: Sequence[Equation]) -> pd.DataFrame:
    """PySR's table: complexity, loss, score, equation, sympy_format, lambda_format."""
    rows: list[dict[str, Any]] = [
        {
            "complexity": e.complexity,
            "loss": e.loss,
            "score": score,
            "equation": e.text,
            "sympy_format": e.expression,
            "lambda_format": e.predict,
        }
        for e, score in zip(front, scores_of(front), strict=True)
    ]
    return pd.DataFrame(rows, columns=["complexity", "loss", "score", "equation", "sympy_format", "lambda_format"])


def write_hall_of_fame(path: Path, front: Sequence[Equation]) -> None:
    """PySR's file: header Complexity,Loss,Equation, one row per member of the front."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["Complexity", "Loss", "Equation"])
        writer.writerows([e.complexity, f"{e.loss:.8g}", e.text] for e in front)


def read_hall_of_fame(path: Path) -> tuple[Candidate, ...]:
    """Rows of a hall_of_fame.csv as PySR writes it; its `.bak` twin, newer when a run was killed, comes first."""
    backup = path.with_name(path.name + ".bak")
    source = backup if backup.exists() else path
    with source.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"Complexity", "Loss", "Equation"} <= set(rows[0]):
        raise ValueError(
            f"{source}: found columns {list(rows[0]) if rows else []}, expected Complexity,Loss,Equation and rows"
        )
    try:
        return tuple(
            Candidate(equation=r["Equation"], complexity=int(r["Complexity"]), loss=float(r["Loss"])) for r in rows
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source}: cannot read a row ({error}), expected integer, number, formula") from error
