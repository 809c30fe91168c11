"""Stage `pseudogap`: how the energy scale of an impurity in a pseudogap vanishes at its critical coupling, by NRG.

    reads   params.yaml: pseudogap
    writes  data/pseudogap.zarr              (stores.pseudogap.PSEUDOGAP)
            reports/metrics/pseudogap.json   (pipeline.impurity.records.PseudogapMetrics)

For each exponent r of the bath: the critical coupling, 1/nu from the growth of small differences, and T* on both sides
at distances that are matched to the period of the chain. A second chain of another Lambda measures 1/nu again, and the
difference is the error of it. A shard is one r.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import xarray as xr
from pydantic import Field, PositiveFloat

from models.physics.pseudogap.critical import (
    FEWEST,
    SIDES,
    CriticalPoint,
    critical_point,
    crossover_temperature,
    fitted_exponent,
    growth,
    matched_distances,
)
from models.physics.pseudogap.expansions import near_one_half, near_zero
from models.physics.pseudogap.flow import FlowSettings
from models.settings import Ascending, Some, settings
from pipeline.discover.records import Measured
from pipeline.impurity.records import PseudogapExponent, PseudogapMetrics
from pipeline.runtime.content_key import numerical_versions, shard_key
from pipeline.runtime.execution import load_execution
from pipeline.runtime.kept_results import Arrays
from pipeline.runtime.params import load_params
from pipeline.runtime.shards import Recipe, generate_store
from pipeline.runtime.stage import run_stage
from stores.outcome import FAILED, OK
from stores.pseudogap import PSEUDOGAP
from stores.zarr_store import open_store

__all__ = ["PseudogapParams", "generate", "main", "measure_shard", "summary"]

OUT = Path("data/pseudogap.zarr")
BATH = Annotated[float, Field(gt=0, lt=0.5)]


@settings
class PseudogapParams:
    """Section `pseudogap` of params.yaml; energies in D."""

    exponents: Annotated[Some[BATH], Ascending]  # r
    interaction: PositiveFloat
    lowest_temperature: Annotated[float, Field(ge=1e-140, le=1e-6)]
    largest_distance: Annotated[float, Field(gt=0, lt=1)]  # |Gamma_0 / Gamma_c - 1|
    n_distances: Annotated[int, Field(ge=4)]
    periods_between: Annotated[int, Field(ge=1)]  # factors of Lambda between T* of neighbouring distances
    nrg: FlowSettings
    nrg_check: FlowSettings  # 1/nu of it is the error


def main() -> None:
    params = load_params(PseudogapParams, "pseudogap")
    generate(params)


def generate(params: PseudogapParams) -> None:
    """Make the store and the metrics in the working directory."""
    given = asdict(params)
    exponents = given.pop("exponents")
    recipe = Recipe(
        out=OUT,
        schema=PSEUDOGAP,
        key=shard_key("pseudogap", given),
        shards=[[r] for r in exponents],
        solve_shard=partial(measure_shard, params=params),
        versions=numerical_versions("pseudogap"),
        coordinates={},
        attributes={"solver": "nrg", "settings": json.dumps(given, sort_keys=True)},
        unit="exponents",
    )
    manifest = generate_store(recipe, load_execution())
    store = open_store(OUT, PSEUDOGAP)
    PseudogapMetrics(
        n_rows=manifest.sizes["sample"],
        n_failed=int((store["status"] != OK).sum()),
        exponents=[summary(store, r) for r in exponents],
        hash=manifest.hash,
    ).write()
    print(f"{OUT}: {len(exponents)} exponents, hash {manifest.hash[:16]}", flush=True)


def measure_shard(exponents: Sequence[float], *, params: PseudogapParams) -> Arrays:
    """Two rows for each distance, screened side first; what cannot be measured is recorded."""
    rows = [row for r in exponents for row in _rows(r, params)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]} | {
        "status": np.array([FAILED if row["failure"] else OK for row in rows], dtype=np.int8)
    }


def _rows(exponent: float, params: PseudogapParams) -> list[dict[str, Any]]:
    point, inverse, error, failure = None, math.nan, math.nan, ""
    try:
        point, inverse = _inverse_nu(exponent, params, params.nrg)
        error = abs(_inverse_nu(exponent, params, params.nrg_check)[1] - inverse)
    except (ArithmeticError, np.linalg.LinAlgError) as problem:
        failure = f"{type(problem).__name__}: {problem}"
    step = inverse if math.isfinite(inverse) else near_zero(exponent)
    distances = matched_distances(params.largest_distance, step, params.nrg, params.n_distances, params.periods_between)
    rows = []
    for side, sign in zip(SIDES, (1, -1), strict=True):
        for distance in distances.tolist():
            scale = math.nan
            if point is not None and not failure:
                scale = crossover_temperature(point, side, distance, params.nrg, lowest=params.lowest_temperature)
            rows.append({
                "exponent": exponent,
                "interaction": params.interaction,
                "distance": sign * distance,
                "critical_coupling": math.nan if point is None else point.coupling,
                "critical_coupling_error": math.nan if point is None else point.error,
                "critical_moment": math.nan if point is None else point.effective_moment,
                "critical_entropy": math.nan if point is None else point.entropy,
                "inverse_nu": inverse,
                "inverse_nu_error": error,
                "crossover_temperature": scale,
                "failure": failure or ("" if math.isfinite(scale) else "T* lies below the lowest temperature"),
            })  # fmt: skip
    return rows


def _inverse_nu(exponent: float, params: PseudogapParams, nrg: FlowSettings) -> tuple[CriticalPoint, float]:
    point = critical_point(exponent, params.interaction, nrg, lowest=params.lowest_temperature)
    return point, growth(point, nrg, lowest=params.lowest_temperature).inverse_exponent


def summary(store: xr.Dataset, exponent: float) -> PseudogapExponent:
    """nu of one r from all that was measured, beside the expansions."""
    rows = store.isel(sample=np.flatnonzero(store["exponent"].values == exponent)).load()
    inverse, error, coupling, coupling_error, moment, entropy = (
        float(rows[name].values[0])
        for name in (
            "inverse_nu",
            "inverse_nu_error",
            "critical_coupling",
            "critical_coupling_error",
            "critical_moment",
            "critical_entropy",
        )
    )
    sides: list[Measured] = []
    for sign in (1, -1):
        side = rows.isel(sample=np.flatnonzero(np.sign(rows["distance"].values) == sign))
        known = side["crossover_temperature"].values
        if np.isfinite(known).sum() < FEWEST:
            sides.append((None, None, None))
            continue
        fit = fitted_exponent(np.abs(side["distance"].values), known, coupling_error=coupling_error)
        sides.append((fit.exponent, fit.exponent - fit.error, fit.exponent + fit.error))
    return PseudogapExponent.model_validate({
        "exponent": exponent,
        "critical_coupling": _or_none(coupling),
        "critical_moment": _or_none(moment),
        "critical_entropy": _or_none(entropy),
        "inverse_nu": tuple(_or_none(x) for x in (inverse, inverse - error, inverse + error)),
        "nu_screened": sides[0],
        "nu_local_moment": sides[1],
        "inverse_nu_near_zero": near_zero(exponent),
        "inverse_nu_near_one_half": near_one_half(exponent),
    })  # fmt: skip


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


if __name__ == "__main__":
    run_stage("pseudogap", main)
