"""Stage `mott`: the quasiparticle weight Z(U) as a formula, beside what theory has for it.

    reads   params.yaml: mott; data/hubbard.zarr
    writes  reports/metrics/mott.json    laws with R2 on unseen rows, the U at which Z falls to 0, the control
            reports/details/mott.csv     interaction, weight, and each law at the same U

Rows are metals at half filling and the lowest temperature of the data set, in the order of U: those of the largest are
kept from all fits and choices, those below them choose the formula, and of the rest a part is the test set. A general
engine gets U and Z, and U and log Z, and no form. Of all formulas of both the simplest is taken whose error of Z on the
rows that choose is within SLACK of the least: it has to reach beyond the rows it was fitted to. Beside it stand

    Brinkman-Rice     Z = 1 - (U / U_BR)^2, U_BR = 8 |e_0| = 32 / (3 pi) D: none fitted (Phys. Rev. B 2, 4302, 1970)
    the same form     with U_BR fitted
    a straight line   Z = a (1 - U / U_c), fitted to the rows below a weight: what the linearized theory expects near
                      the transition (Bulla, Potthoff, Eur. Phys. J. B 13, 257, 2000; U_c = 3 D)

These are fitted to the rows for fitting and to those that choose. The control is the same search on the weights of
other U. Where both starts converged at one point, two solutions are told apart by their double occupancies.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import PositiveFloat

from models.laws.canonical import Equation
from models.laws.discovery import Problem, discover, score, split_rows
from models.laws.intervals import interval_of, r_squared
from models.laws.symbolic_engine import SymbolicEngine
from models.settings import Fraction, settings
from pipeline.discover.records import Formula
from pipeline.discover.search import SearchSettings, finding_record
from pipeline.hubbard.records import Coexistence, MottMetrics, WeightLaw
from pipeline.runtime.params import load_params
from pipeline.runtime.stage import run_stage
from stores.atomic import write_text
from stores.hubbard import HUBBARD
from stores.outcome import OK
from stores.zarr_store import open_store

__all__ = ["MottParams", "coexistence", "main", "metals", "weight_laws"]

STORE, TABLE = Path("data/hubbard.zarr"), Path("reports/details/mott.csv")
BRINKMAN_RICE = 32 / (3 * np.pi)  # [D] 8 |e_0|, e_0 = -4 / (3 pi) D per spin and site of the half-filled semicircle
Floats = NDArray[np.float64]
Law = Callable[[Floats], Floats]
HIGHEST = 6.0  # [D] up to which a law is followed to its zero
N_STEPS = 2000
SLACK = 1.5
TARGETS: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {  # of Z, and back
    "Z": (np.asarray, np.asarray),
    "log Z": (np.log, np.exp),
}


@settings
class MottParams:
    """Section `mott`.

    validation_fraction: of the rows, below those of search.extrapolation_fraction; linear_below: Z of the rows of the
    straight line; different_solutions: in <n_up n_dn>.
    """

    validation_fraction: Fraction
    linear_below: Fraction
    different_solutions: PositiveFloat
    search: SearchSettings


@dataclass(frozen=True, kw_only=True)
class Rows:
    """U [D] and Z, (n_rows,), and the numbers of the rows of each part, U of later ones above all of the first two."""

    interaction: Floats
    weight: Floats
    train: NDArray[np.intp]
    test: NDArray[np.intp]
    validation: NDArray[np.intp]
    extrapolation: NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class WeightFormula:
    """A formula for `target`, and Z as a function of U by it."""

    target: str
    equation: Equation
    weight: Law
    problem: Problem

    @property
    def text(self) -> str:
        return self.equation.text if self.target == "Z" else f"exp({self.equation.text})"


def main() -> None:
    params = load_params(MottParams, "mott")
    store = open_store(STORE, HUBBARD).load()
    rows = split(*metals(store), params)
    choice = params.search.choose_engine()
    selected = search_formula(rows, choice.engine, params)
    others = np.random.default_rng(params.search.seed).permutation(len(rows.weight))
    control = search_formula(replace(rows, weight=rows.weight[others]), choice.engine, params)
    laws, curves = weight_laws(rows, selected, params)
    record = finding_record(
        selected.problem, choice.ran, score(selected.equation, selected.problem, params.search.rules), selected=True
    )
    MottMetrics(
        engine=choice.ran,
        n_train=rows.train.size,
        n_test=rows.test.size,
        n_validation=rows.validation.size,
        n_extrapolation=rows.extrapolation.size,
        trained_up_to=float(rows.interaction[rows.train].max()),
        chosen_up_to=float(rows.interaction[rows.validation].max()),
        laws=laws,
        control_r2_test=finite(r2(rows, control.weight, rows.test)),
        formula=Formula(**record),
        coexistence=coexistence(store, params.different_solutions),
    ).write()
    columns = [rows.interaction, rows.weight, *(law(rows.interaction) for law in curves.values())]
    lines = [",".join(f"{value:.8g}" for value in row) for row in zip(*columns, strict=True)]
    write_text(TABLE, "\n".join([",".join(["interaction", "weight", *curves]), *lines]) + "\n")
    for law in laws:
        print(f"mott: {law.name}: Z = {law.equation}, R2 {law.r2_test} and beyond {law.r2_extrapolation}", flush=True)


def split(interaction: Floats, weight: Floats, params: MottParams) -> Rows:
    search = params.search
    lower, _, box = split_rows(interaction, 0.0, search.extrapolation_fraction, interaction.size, search.seed)
    share = 1 - search.extrapolation_fraction
    train, test, validation = (
        lower[part]
        for part in split_rows(
            interaction[lower], search.test_fraction / share, params.validation_fraction / share, search.max_rows,
            search.seed,
        )
    )  # fmt: skip
    return Rows(
        interaction=interaction, weight=weight, train=train, test=test, validation=validation, extrapolation=box
    )


def search_formula(rows: Rows, engine: SymbolicEngine, params: MottParams) -> WeightFormula:
    """The formula that the rows above those of the fits choose."""
    candidates: list[tuple[float, WeightFormula]] = []
    for target, (forth, back) in TARGETS.items():
        problem = problem_of(rows, target, forth(rows.weight))
        for equation in discover(problem, engine, params.search.rules).front:
            law = weight_by(equation, back)
            with np.errstate(all="ignore"):
                error = np.mean((law(rows.interaction[rows.validation]) - rows.weight[rows.validation]) ** 2)
            formula = WeightFormula(target=target, equation=equation, weight=law, problem=problem)
            candidates.append((float(error) if np.isfinite(error) else np.inf, formula))
    least = min(error for error, _ in candidates)
    good = [formula for error, formula in candidates if error <= SLACK**2 * least]
    return min(good, key=lambda formula: formula.equation.complexity)


def weight_by(equation: Equation, back: Callable[[Floats], Floats]) -> Law:
    return lambda interaction: np.asarray(back(equation.predict(interaction[:, None])))


def r2(rows: Rows, law: Law, part: NDArray[np.intp]) -> float:
    with np.errstate(all="ignore"):
        return r_squared(rows.weight[part], law(rows.interaction[part]))


def metals(store: xr.Dataset) -> tuple[Floats, Floats]:
    """U [D] and Z of the converged metals at half filling and the lowest temperature. Raises ValueError below 20."""
    temperature = store["temperature"].values
    good = (store["status"].values == OK) & (store["filling"].values == 1) & (temperature == temperature.min())
    good &= (store["start"].values == "metal") & np.isfinite(store["quasiparticle_weight"].values)
    if good.sum() < 20:
        raise ValueError(
            f"{STORE}: found {int(good.sum())} metals at half filling and T = {temperature.min():g} D, expected at "
            "least 20; raise hubbard.n_points, half_filled_fraction or lowest_temperature_fraction"
        )
    order = np.argsort(store["interaction"].values[good])
    return store["interaction"].values[good][order], store["quasiparticle_weight"].values[good][order]


def problem_of(rows: Rows, target: str, values: Floats) -> Problem:
    return Problem(
        target=target,
        encoding="raw",
        names=("U",),
        inputs=rows.interaction[:, None],
        units=(0,),
        values=values,
        train=rows.train,
        test=rows.test,
        extrapolation=rows.extrapolation,
        laws={},
        exponent=None,
    )


def weight_laws(rows: Rows, formula: WeightFormula, params: MottParams) -> tuple[list[WeightLaw], dict[str, Law]]:
    """The found formula and the three of theory, scored; and as functions of U."""
    u, z = rows.interaction, rows.weight
    train = np.concatenate([rows.train, rows.validation])
    rng = np.random.default_rng(params.search.seed)
    resamples = [train, *(rng.choice(train, train.size) for _ in range(params.search.n_bootstrap))]
    parabola = np.array([1 / np.sqrt(np.sum((1 - z[i]) * u[i] ** 2) / np.sum(u[i] ** 4)) for i in resamples])
    lines = [straight_line(u[i], z[i], params.linear_below) for i in resamples]
    slope, zero = (np.array(column) for column in zip(*lines, strict=True))
    curves: dict[str, Law] = {
        "found": formula.weight,
        "brinkman_rice": lambda x: 1 - (x / BRINKMAN_RICE) ** 2,
        "parabola": lambda x: 1 - (x / parabola[0]) ** 2,
        "straight_line": lambda x: slope[0] * (1 - x / zero[0]),
    }
    described = {
        "found": (formula.text, 1 + len(formula.equation.terms), None),
        "brinkman_rice": (f"1 - (U / {BRINKMAN_RICE:.4g})^2", 0, None),
        "parabola": (f"1 - (U / {parabola[0]:.4g})^2", 1, parabola),
        "straight_line": (f"{slope[0]:.4g} (1 - U / {zero[0]:.4g})", 2, zero),
    }
    laws = []
    for name, (text, n_fitted, samples) in described.items():
        interval = None
        if samples is not None and np.isfinite(samples[0]):  # a resample may have too few small weights for a line
            interval = interval_of(samples[np.isfinite(samples)], params.search.confidence)
        laws.append(
            WeightLaw(
                name=name,
                equation=text,
                n_fitted=n_fitted,
                r2_test=finite(r2(rows, curves[name], rows.test)),
                r2_extrapolation=finite(r2(rows, curves[name], rows.extrapolation)),
                critical_interaction=zero_of(curves[name], float(u[train].max())),
                low=None if interval is None else interval.low,
                high=None if interval is None else interval.high,
            )
        )
    return laws, curves


def straight_line(u: Floats, z: Floats, below: float) -> tuple[float, float]:
    """Height at U = 0 and zero of the line through the rows below a weight; NaN where there are fewer than three."""
    near = z < below
    if np.unique(u[near]).size < 3:
        return float("nan"), float("nan")
    slope, level = np.polyfit(u[near], z[near], 1)
    return float(level), float(-level / slope)


def zero_of(law: Law, from_: float) -> float | None:
    """The first U [D] above `from_` at which a law falls to 0."""
    u = np.linspace(from_, HIGHEST, N_STEPS)
    with np.errstate(all="ignore"):
        z = law(u)
    crossed = np.flatnonzero((z[:-1] > 0) & (z[1:] <= 0))
    if not crossed.size:
        return None
    k = int(crossed[0])
    return float(u[k] + (u[k + 1] - u[k]) * z[k] / (z[k] - z[k + 1]))


def finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def coexistence(store: xr.Dataset, different: float) -> Coexistence:
    """Over the points of half filling that were solved from both starts."""
    good = (store["status"].values == OK) & (store["filling"].values == 1)
    point, start = store["point"].values, store["start"].values
    pairs = store["double_occupancy"].values
    by_start = {
        name: dict(zip(point[good & (start == name)], pairs[good & (start == name)], strict=True))
        for name in ("metal", "insulator")
    }
    both = sorted(by_start["metal"].keys() & by_start["insulator"].keys())
    two = [one for one in both if abs(by_start["metal"][one] - by_start["insulator"][one]) > different]
    interaction = dict(zip(point, store["interaction"].values, strict=True))
    values = [float(interaction[one]) for one in two]
    return Coexistence(
        n_points=len(both),
        n_two_solutions=len(two),
        lowest_interaction=min(values, default=None),
        highest_interaction=max(values, default=None),
    )


if __name__ == "__main__":
    run_stage("mott", main)
