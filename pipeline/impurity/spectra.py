"""Stage `spectra`: draw impurity Hamiltonians, solve each by NRG, store pi Gamma A(omega).

    reads   params.yaml: spectra
    writes  data/spectra.zarr             (stores.spectra.SPECTRA)
            reports/metrics/spectra.json  {n_spectra, n_failed, hash, friedel, clipping, accuracy}

A random share of the Hamiltonians is solved a second time, by the embedded NRG at a finer setting, and the differences
of its spectra and of T_K are stored. A spectrum that breaks Friedel's sum rule, was clipped or differs from the second
one by more than the schema allows counts as a failure of its Hamiltonian.

Hamiltonian i is drawn from SeedSequence(seed, spawn_key=(i,)): U, Gamma, |B| and T log-uniform, the asymmetry
x = (U + 2 eps_d) / U uniform, a given fraction at B = 0 exactly; SeedSequence(seed, spawn_key=(i, 1)) says whether
it is solved twice. Each is solved once, at several temperatures of which
the first is the lower bound of the range. After them come `n_held_out` more, from SeedSequence(seed, spawn_key=(i, 2))
by the same law but at B = 0 and the lowest temperature alone: test Hamiltonians for latents of the Kondo scale, which
no training sees. Two exact symmetries turn one solution into up to four rows per temperature:

    spin     A_up(omega; eps_d, -B) = A_dn(omega; eps_d, B)            <S_z> -> -<S_z>
    mirror   A_up(omega; -U - eps_d, -B) = A_up(-omega; eps_d, B)      <n> -> 2 - <n>, <S_z> -> -<S_z>

so x >= 0 suffices, and at B = 0, where both spins agree, there are two rows per temperature.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from models.physics.impurity.friedel import friedel_residual
from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.kondo import kondo_temperature
from models.physics.impurity.nrg_solver import NRGSettings, NRGSolver
from models.physics.impurity.solver import (
    IMPURITY_SOLVERS,
    ImpuritySolution,
    ImpuritySolver,
    SolverError,
    SolverUnavailable,
)
from models.registry import Chosen
from models.settings import Fraction, Range, settings
from pipeline.impurity.records import Accuracy, Clipping, Friedel, SpectraMetrics
from pipeline.runtime.content_key import numerical_versions, shard_key
from pipeline.runtime.execution import load_execution
from pipeline.runtime.kept_results import Arrays
from pipeline.runtime.params import load_params
from pipeline.runtime.shards import Recipe, generate_store, shards_of
from pipeline.runtime.stage import run_stage
from stores.outcome import FAILED, OK
from stores.spectra import (
    CLIPPED_LIMIT,
    FRIEDEL_LIMIT,
    KONDO_TEMPERATURE_ERROR_LIMIT,
    SPECTRA,
    SPECTRUM_ERROR_MAX_LIMIT,
    SPECTRUM_ERROR_MEAN_LIMIT,
)
from stores.zarr_store import open_store

__all__ = [
    "GridParams",
    "Hamiltonian",
    "Method",
    "QualityParams",
    "SamplingParams",
    "SpectraParams",
    "draw_hamiltonian",
    "draw_hamiltonians",
    "frequency_grid",
    "generate",
    "main",
    "place_after",
    "solve_shard",
]

OUT = Path("data/spectra.zarr")
METHOD = ("solver", "label_temperature", "grid", "nrg")  # the params that shape the spectrum of a Hamiltonian
FloatArray = NDArray[np.float64]
KondoTemperature = Callable[[AndersonImpurity], float]


@settings
class GridParams:
    """Symmetric logarithmic frequencies -maximum .. -minimum, 0, minimum .. maximum [D]."""

    minimum: PositiveFloat
    maximum: Annotated[float, Field(gt=0, lt=1)]
    n_positive: Annotated[int, Field(ge=2)]

    def __post_init__(self) -> None:
        if self.minimum >= self.maximum:
            raise ValueError(f"found minimum {self.minimum:g} >= maximum {self.maximum:g}, expected it below")


@settings
class SamplingParams:
    """Ranges [low, high] of the drawn parameters, energies in D."""

    interaction: Range[PositiveFloat]
    hybridization: Range[Annotated[float, Field(gt=0, lt=1)]]
    asymmetry_over_U: Range[NonNegativeFloat]
    field: Range[PositiveFloat]
    zero_field_fraction: Fraction
    temperature: Range[PositiveFloat]
    n_temperatures: PositiveInt


@settings
class QualityParams:
    """Which share of the Hamiltonians is solved twice, and the finer setting of the embedded NRG for it."""

    share: Fraction
    nrg: NRGSettings


@settings
class SpectraParams:
    """Section `spectra` of params.yaml."""

    seed: NonNegativeInt
    n_hamiltonians: PositiveInt
    n_held_out: NonNegativeInt
    hamiltonians_per_shard: PositiveInt
    solver: Annotated[Chosen, IMPURITY_SOLVERS]
    label_temperature: Annotated[float, Field(gt=0, lt=1e-3)]
    sampling: SamplingParams
    grid: GridParams
    nrg: NRGSettings
    quality: QualityParams


@dataclass(frozen=True, kw_only=True)
class Method:
    """What solves a Hamiltonian and what measures its T_K [D]."""

    solver: ImpuritySolver
    kondo_temperature: KondoTemperature


@dataclass(frozen=True, kw_only=True)
class Hamiltonian:
    """One diagonalisation: its number, the impurity, temperatures [D], ascending, and whether it is solved twice."""

    index: int
    impurity: AndersonImpurity
    temperatures: tuple[float, ...]
    solved_twice: bool
    held_out: bool


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Of one spin of a solution: what its rows tell of their errors."""

    friedel_residual: FloatArray  # (n_temperatures,)
    clipped: FloatArray
    error_max: FloatArray  # NaN unless solved twice
    error_mean: FloatArray


def main() -> None:
    params = load_params(SpectraParams, "spectra")
    chosen, finer = (
        partial(kondo_temperature, settings=nrg, lowest_temperature=params.label_temperature)
        for nrg in (params.nrg, params.quality.nrg)
    )
    generate(
        params,
        Method(solver=IMPURITY_SOLVERS.make(params.solver, nrg=params.nrg), kondo_temperature=chosen),
        Method(solver=NRGSolver(params.quality.nrg), kondo_temperature=finer),
    )


def generate(params: SpectraParams, method: Method, finer: Method) -> None:
    """Make the store and its metrics in the working directory."""
    solver = method.solver
    hamiltonians = draw_hamiltonians(params)
    omega = frequency_grid(params.grid)
    versions = dict(getattr(solver, "versions", {}))  # of what is no part of this environment
    settings = asdict(params.nrg)
    if params.solver.name != "nrg":
        chosen = {} if params.solver.settings is None else asdict(params.solver.settings)
        settings = {"kondo": settings, params.solver.name: chosen, "versions": versions}
    recipe = Recipe(
        out=OUT,
        schema=SPECTRA,
        key=shard_key("spectra", *(asdict(params)[part] for part in METHOD), asdict(params.quality.nrg)),
        shards=[
            shard
            for part in (hamiltonians[: params.n_held_out], hamiltonians[params.n_held_out :])
            for shard in shards_of(part, params.hamiltonians_per_shard)
        ],
        solve_shard=partial(solve_shard, omega=omega, method=method, finer=finer),
        versions=numerical_versions("spectra") | versions,
        placed=("index",),
        place=place_after,
        coordinates={"omega": omega},
        attributes={
            "solver": params.solver.name,
            "settings": json.dumps(settings, sort_keys=True),
            "seed": str(params.seed),
        },
        unit="Hamiltonians",
        ends_run=(SolverUnavailable,),
    )
    manifest = generate_store(recipe, load_execution())
    store = open_store(OUT, SPECTRA)
    n_failed = int((store["status"] != OK).sum())
    SpectraMetrics(
        n_spectra=manifest.sizes["sample"],
        n_failed=n_failed,
        friedel=_friedel_summary(store["friedel_residual"].values),
        clipping=_clipping_summary(store["clipped_self_energy"].values[store["status"].values == OK]),
        accuracy=_accuracy_summary(store),
        hash=manifest.hash,
    ).write()
    print(f"{OUT}: {manifest.sizes['sample']} spectra, {n_failed} failed, hash {manifest.hash[:16]}", flush=True)


def _friedel_summary(residual: FloatArray) -> Friedel:
    """How well the rows where it applies keep Friedel's sum rule: |residual|."""
    size = np.abs(residual[np.isfinite(residual)])
    if not size.size:
        return Friedel(n_rows=0, median=None, percentile_99=None, worst=None)
    return Friedel(
        n_rows=size.size,
        median=float(np.median(size)),
        percentile_99=float(np.quantile(size, 0.99)),
        worst=float(size.max()),
    )


def _clipping_summary(clipped: FloatArray) -> Clipping:
    if not clipped.size:
        return Clipping(share_of_rows=None, percentile_99=None, worst=None)
    return Clipping(
        share_of_rows=float(np.mean(clipped > 0)),
        percentile_99=float(np.quantile(clipped, 0.99)),
        worst=float(clipped.max()),
    )


def _accuracy_summary(store: xr.Dataset) -> Accuracy:
    """Differences of the two solutions; mirrored rows repeat those of their originals and are left out."""
    names = ("hamiltonian", "spectrum_error_max", "spectrum_error_mean", "kondo_temperature_error")
    rows = np.isfinite(store["spectrum_error_max"].values) & ~store["mirrored"].values
    hamiltonian, largest, mean, label = (store[name].values[rows] for name in names)
    labels = label[np.unique(hamiltonian, return_index=True)[1]]
    labels = labels[np.isfinite(labels)]
    return Accuracy(
        n_hamiltonians=int(np.unique(hamiltonian).size),
        n_rows=int(rows.sum()),
        largest_median=float(np.median(largest)) if largest.size else None,
        largest_worst=float(largest.max()) if largest.size else None,
        mean_median=float(np.median(mean)) if mean.size else None,
        mean_worst=float(mean.max()) if mean.size else None,
        n_kondo_temperatures=int(labels.size),
        kondo_temperature_median=float(np.median(labels)) if labels.size else None,
        kondo_temperature_worst=float(labels.max()) if labels.size else None,
    )


def draw_hamiltonians(params: SpectraParams) -> list[Hamiltonian]:
    """Those held out come first: however many follow, all that were there before keep number and place."""
    return [draw_hamiltonian(params, index) for index in range(params.n_held_out + params.n_hamiltonians)]


def draw_hamiltonian(params: SpectraParams, index: int) -> Hamiltonian:
    """Hamiltonian number `index`, whatever the others are; the first n_held_out are held out."""
    ranges = params.sampling
    held_out = index < params.n_held_out
    stream = (index, 2) if held_out else (index - params.n_held_out,)
    rng = np.random.default_rng(np.random.SeedSequence(params.seed, spawn_key=stream))
    interaction, hybridization = _log_uniform(rng, ranges.interaction), _log_uniform(rng, ranges.hybridization)
    asymmetry_over_U = float(rng.uniform(*ranges.asymmetry_over_U))
    at_zero_field = bool(rng.random() < ranges.zero_field_fraction)
    field = _log_uniform(rng, ranges.field)
    higher = sorted(_log_uniform(rng, ranges.temperature) for _ in range(ranges.n_temperatures - 1))
    impurity = AndersonImpurity(
        interaction=interaction,
        level=interaction * (asymmetry_over_U - 1) / 2,
        hybridization=hybridization,
        field=0.0 if at_zero_field or held_out else field,
    )
    chance = np.random.default_rng(
        np.random.SeedSequence(params.seed, spawn_key=(index, 3) if held_out else (*stream, 1))
    ).random()
    return Hamiltonian(
        index=index,
        impurity=impurity,
        temperatures=(ranges.temperature[0], *(() if held_out else higher)),
        solved_twice=bool(chance < params.quality.share),
        held_out=held_out,
    )


def frequency_grid(grid: GridParams) -> FloatArray:
    positive = np.geomspace(grid.minimum, grid.maximum, grid.n_positive)
    return np.concatenate([-positive[::-1], [0.0], positive])


def place_after(columns: Arrays, hamiltonians: Sequence[Hamiltonian], n_before: Mapping[str, int]) -> Arrays:
    """The same columns with the numbers of their Hamiltonians in the store."""
    n_rows = [len(_views(one.impurity)) * len(one.temperatures) for one in hamiltonians]
    return columns | {"hamiltonian": np.repeat(np.array([one.index for one in hamiltonians], dtype=np.int64), n_rows)}


def solve_shard(hamiltonians: Sequence[Hamiltonian], *, omega: FloatArray, method: Method, finer: Method) -> Arrays:
    """Rows of all these Hamiltonians; one that cannot be solved is recorded in its rows."""
    blocks = [_solve_one(hamiltonian, omega, method, finer) for hamiltonian in hamiltonians]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _solve_one(hamiltonian: Hamiltonian, omega: FloatArray, method: Method, finer: Method) -> Arrays:
    try:
        solution, label = _solved(hamiltonian, omega, method)
        second, finer_label = _solved(hamiltonian, omega, finer) if hamiltonian.solved_twice else (None, np.nan)
        quality = {spin: _quality(hamiltonian, solution, second, label, spin=spin) for spin in (1, -1)}
        label_error = abs(label / finer_label - 1)
        _require_quality(hamiltonian, quality, label_error)
    except (SolverError, ArithmeticError, np.linalg.LinAlgError) as error:
        return _failed_rows(hamiltonian, omega, f"{type(error).__name__}: {error}")
    views = [
        _rows(hamiltonian, solution, label, label_error, quality[spin], spin=spin, mirrored=mirrored)
        for spin, mirrored in _views(hamiltonian.impurity)
    ]
    return {name: np.concatenate([view[name] for view in views]) for name in views[0]}


def _solved(hamiltonian: Hamiltonian, omega: FloatArray, method: Method) -> tuple[ImpuritySolution, float]:
    """The solution and T_K."""
    impurity, temperatures = hamiltonian.impurity, np.array(hamiltonian.temperatures)
    solution = method.solver.solve(impurity, temperatures=temperatures, omega=omega)
    label = float(method.kondo_temperature(replace(impurity, field=0.0)))
    _require_finite(solution)
    return solution, label


def _views(impurity: AndersonImpurity) -> list[tuple[int, bool]]:
    """(spin, mirrored) of the rows per temperature; at B = 0 both spins are one."""
    spins = (1,) if impurity.field == 0 else (1, -1)
    return [(spin, mirrored) for spin in spins for mirrored in (False, True)]


def _quality(
    hamiltonian: Hamiltonian, solution: ImpuritySolution, second: ImpuritySolution | None, label: float, *, spin: int
) -> Quality:
    """The particle-hole mirror has the same."""
    impurity = hamiltonian.impurity
    spectrum = solution.spectrum_up if spin > 0 else solution.spectrum_dn
    residual = friedel_residual(
        np.pi * impurity.hybridization * spectrum[:, solution.omega.size // 2],
        solution.displaced_charge_up if spin > 0 else solution.displaced_charge_dn,
        solution.temperatures,
        hybridization=impurity.hybridization,
        scale=float(np.fmax(label, abs(impurity.field))),
    )
    if second is None:
        error = np.full_like(spectrum, np.nan)
    else:
        other = second.spectrum_up if spin > 0 else second.spectrum_dn
        error = np.pi * impurity.hybridization * np.abs(spectrum - other)
    return Quality(
        friedel_residual=residual,
        clipped=solution.clipped_up if spin > 0 else solution.clipped_dn,
        error_max=error.max(axis=1),
        error_mean=error.mean(axis=1),
    )


def _require_quality(hamiltonian: Hamiltonian, quality: dict[int, Quality], label_error: float) -> None:
    """SolverError with all that breaks the limits of the schema."""
    broken = []
    for what, limit, name in (
        ("the spectrum breaks Friedel's sum rule by", FRIEDEL_LIMIT, "friedel_residual"),
        ("Im Sigma / Gamma was clipped from", CLIPPED_LIMIT, "clipped"),
        ("pi Gamma A differs from the finer setting by", SPECTRUM_ERROR_MAX_LIMIT, "error_max"),
        ("pi Gamma A differs from the finer setting in the mean by", SPECTRUM_ERROR_MEAN_LIMIT, "error_mean"),
    ):
        found = [
            f"{value:.3f} at T = {temperature:g}, spin {'up' if spin > 0 else 'dn'}"
            for spin, values in quality.items()
            for temperature, value in zip(hamiltonian.temperatures, getattr(values, name), strict=True)
            if abs(value) > limit
        ]
        if found:
            broken.append(f"{what} {'; '.join(found)}: expected at most {limit:g}")
    if label_error > KONDO_TEMPERATURE_ERROR_LIMIT:
        limit = KONDO_TEMPERATURE_ERROR_LIMIT
        broken.append(f"T_K differs from the finer setting by {label_error:.3f} of it: expected at most {limit:g}")
    if broken:
        raise SolverError(f"{'. '.join(broken)}. Try a larger n_keep or n_z")


def _rows(
    hamiltonian: Hamiltonian,
    solution: ImpuritySolution,
    label: float,
    label_error: float,
    quality: Quality,
    *,
    spin: int,
    mirrored: bool,
) -> Arrays:
    spectrum = solution.spectrum_up if spin > 0 else solution.spectrum_dn
    n_d, s_z = solution.n_up + solution.n_dn, spin * (solution.n_up - solution.n_dn) / 2
    pairs = solution.double_occupancy
    if mirrored:
        spectrum, n_d, s_z, pairs = spectrum[:, ::-1], 2 - n_d, -s_z, 1 - n_d + pairs
    scaled = np.pi * hamiltonian.impurity.hybridization * spectrum
    columns = _parameters(hamiltonian, spin=spin, mirrored=mirrored)
    n_rows = len(hamiltonian.temperatures)
    return columns | {
        "spectrum": scaled.astype(np.float32),
        "n_d": n_d,
        "s_z": s_z,
        "double_occupancy": pairs,
        "spectral_weight": solution.weight_up if spin > 0 else solution.weight_dn,
        "friedel_residual": quality.friedel_residual,
        "clipped_self_energy": quality.clipped,
        "spectrum_error_max": quality.error_max,
        "spectrum_error_mean": quality.error_mean,
        "kondo_temperature": np.full(n_rows, label),
        "kondo_temperature_error": np.full(n_rows, label_error),
        "status": np.full(n_rows, OK, dtype=np.int8),
        "failure": np.full(n_rows, ""),
    }


def _failed_rows(hamiltonian: Hamiltonian, omega: FloatArray, reason: str) -> Arrays:
    n_rows = len(hamiltonian.temperatures)
    zeros = ("n_d", "s_z", "double_occupancy", "spectral_weight", "clipped_self_energy")
    unknown = (
        "friedel_residual",
        "spectrum_error_max",
        "spectrum_error_mean",
        "kondo_temperature",
        "kondo_temperature_error",
    )
    empty: Arrays = (
        {name: np.zeros(n_rows) for name in zeros}
        | {name: np.full(n_rows, np.nan) for name in unknown}
        | {
            "spectrum": np.zeros((n_rows, omega.size), dtype=np.float32),
            "status": np.full(n_rows, FAILED, dtype=np.int8),
            "failure": np.full(n_rows, reason.strip() or "no reason given"),
        }
    )
    views = [
        _parameters(hamiltonian, spin=spin, mirrored=mirrored) | empty
        for spin, mirrored in _views(hamiltonian.impurity)
    ]
    return {name: np.concatenate([view[name] for view in views]) for name in views[0]}


def _parameters(hamiltonian: Hamiltonian, *, spin: int, mirrored: bool) -> Arrays:
    """Parameters of the impurity whose A_up is this view of the solution."""
    impurity = hamiltonian.impurity if spin > 0 else hamiltonian.impurity.spin_flipped()
    impurity = impurity.particle_hole_mirror() if mirrored else impurity
    n_rows = len(hamiltonian.temperatures)
    return {
        "interaction": np.full(n_rows, impurity.interaction),
        "hybridization": np.full(n_rows, impurity.hybridization),
        "level": np.full(n_rows, impurity.level),
        "field": np.full(n_rows, impurity.field + 0.0),  # + 0.0 turns -0.0 of a mirrored zero into 0.0
        "temperature": np.array(hamiltonian.temperatures),
        "mirrored": np.full(n_rows, mirrored),
        "held_out": np.full(n_rows, hamiltonian.held_out),
    }


def _require_finite(solution: ImpuritySolution) -> None:
    arrays: dict[str, Any] = vars(solution)
    if broken := [name for name, values in arrays.items() if not np.isfinite(values).all()]:
        raise SolverError(f"the solver returned NaN or infinities in {', '.join(broken)}")


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))


if __name__ == "__main__":
    run_stage("spectra", main, also_explained=(SolverUnavailable,))
