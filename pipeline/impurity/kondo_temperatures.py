"""Stage `kondo_temperatures`: T_K of impurities in the local-moment regime, measured by NRG at B = 0, T -> 0.

    reads   params.yaml: kondo_temperatures
    writes  data/kondo_temperatures.zarr  (stores.kondo_temperatures.KONDO_TEMPERATURES)

The target of the formula search, so it is sampled without any formula for T_K: Hamiltonian i is drawn from
SeedSequence(seed, spawn_key=(i,)), Gamma and U / (pi Gamma) log-uniform and x = (U + 2 eps_d) / U uniform. |x| < 1 is
the local-moment regime: the atomic level holds one electron. Each label is extrapolated and has its own error.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.kondo_label import KondoLabel, KondoLabelSettings, labelled_kondo_temperature
from models.physics.impurity.solver import SolverError
from models.settings import Range, settings
from pipeline.runtime.content_key import numerical_versions, shard_key
from pipeline.runtime.execution import load_execution
from pipeline.runtime.kept_results import Arrays
from pipeline.runtime.params import load_params
from pipeline.runtime.shards import Recipe, generate_store, shards_of
from pipeline.runtime.stage import run_stage
from stores.kondo_temperatures import KONDO_TEMPERATURES
from stores.outcome import FAILED, OK

__all__ = ["KondoTemperaturesParams", "draw_impurity", "generate", "main", "measure_shard"]

OUT = Path("data/kondo_temperatures.zarr")
Labeller = Callable[[AndersonImpurity], KondoLabel]


@settings
class KondoTemperaturesParams:
    """Section `kondo_temperatures` of params.yaml; ranges are [low, high], energies in D."""

    seed: NonNegativeInt
    n_hamiltonians: PositiveInt
    hamiltonians_per_shard: PositiveInt
    hybridization: Range[Annotated[float, Field(gt=0, lt=1)]]
    interaction_over_pi_gamma: Range[PositiveFloat]
    asymmetry_over_U: Range[Annotated[float, Field(gt=-1, lt=1)]]
    interaction_high: PositiveFloat
    label_temperature: Annotated[float, Field(gt=0, lt=1e-3)]
    label: KondoLabelSettings

    def __post_init__(self) -> None:
        reached = self.interaction_over_pi_gamma[1] * np.pi * self.hybridization[1]
        if reached > self.interaction_high:
            raise ValueError(
                f"found U up to {reached:.3g} D from interaction_over_pi_gamma and hybridization, expected at most "
                f"interaction_high = {self.interaction_high:g}; lower one of the ranges"
            )


def main() -> None:
    params = load_params(KondoTemperaturesParams, "kondo_temperatures")
    generate(
        params,
        partial(labelled_kondo_temperature, settings=params.label, lowest_temperature=params.label_temperature),
    )


def generate(params: KondoTemperaturesParams, labeller: Labeller) -> None:
    """Make the store in the working directory."""
    impurities = [draw_impurity(params, index) for index in range(params.n_hamiltonians)]
    recipe = Recipe(
        out=OUT,
        schema=KONDO_TEMPERATURES,
        key=shard_key("kondo_temperatures", asdict(params.label), params.label_temperature),
        shards=shards_of(impurities, params.hamiltonians_per_shard),
        solve_shard=partial(measure_shard, labeller=labeller),
        versions=numerical_versions("kondo_temperatures"),
        coordinates={},
        attributes={"solver": "nrg", "settings": json.dumps(asdict(params.label), sort_keys=True)},
        unit="Hamiltonians",
    )
    manifest = generate_store(recipe, load_execution())
    print(f"{OUT}: {manifest.sizes['sample']} Hamiltonians, hash {manifest.hash[:16]}", flush=True)


def draw_impurity(params: KondoTemperaturesParams, index: int) -> AndersonImpurity:
    """Impurity number `index`, whatever the others are."""
    rng = np.random.default_rng(np.random.SeedSequence(params.seed, spawn_key=(index,)))
    hybridization = float(np.exp(rng.uniform(*np.log(params.hybridization))))
    interaction = float(np.exp(rng.uniform(*np.log(params.interaction_over_pi_gamma)))) * np.pi * hybridization
    asymmetry_over_U = float(rng.uniform(*params.asymmetry_over_U))
    return AndersonImpurity(
        interaction=interaction, level=interaction * (asymmetry_over_U - 1) / 2, hybridization=hybridization
    )


def measure_shard(impurities: Sequence[AndersonImpurity], *, labeller: Labeller) -> Arrays:
    """One row per impurity; one whose T_K cannot be measured is recorded."""
    measured = [_measure(impurity, labeller) for impurity in impurities]
    return {
        "interaction": np.array([impurity.interaction for impurity in impurities]),
        "hybridization": np.array([impurity.hybridization for impurity in impurities]),
        "level": np.array([impurity.level for impurity in impurities]),
        "kondo_temperature": np.array([label.value for label, _ in measured]),
        "kondo_temperature_error": np.array([label.error for label, _ in measured]),
        "status": np.array([FAILED if reason else OK for _, reason in measured], dtype=np.int8),
        "failure": np.array([reason for _, reason in measured]),
    }


def _measure(impurity: AndersonImpurity, labeller: Labeller) -> tuple[KondoLabel, str]:
    missing = KondoLabel(value=np.nan, error=np.nan)
    try:
        label = labeller(impurity)
    except (SolverError, ArithmeticError, np.linalg.LinAlgError) as error:
        return missing, f"{type(error).__name__}: {error}"
    if not np.isfinite(label.value) or label.value <= 0:
        return missing, "T_K lies below the lowest energy of the chain"
    if not np.isfinite(label.error) or label.error < 0:
        return missing, f"the error of T_K came out as {label.error!r}, expected a finite number"
    return label, ""


if __name__ == "__main__":
    run_stage("kondo_temperatures", main)
