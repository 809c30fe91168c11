"""Stage `spectra`: draw impurity Hamiltonians, solve each by NRG, store pi Gamma A(omega).

    reads   params.yaml: spectra
    writes  data/spectra.zarr             (stores.spectra.SPECTRA)
            reports/metrics/spectra.json  {n_spectra, n_failed, hash, friedel}

A spectrum that breaks Friedel's sum rule by more than the schema allows counts as a failure of its Hamiltonian.

Hamiltonian i is drawn from SeedSequence(seed, spawn_key=(i,)): U, Gamma, |B| and T log-uniform, the asymmetry
x = (U + 2 eps_d) / U uniform, a given fraction at B = 0 exactly. Each is solved once, at several temperatures of which
the first is the lower bound of the range. Two exact symmetries turn one solution into up to four rows per temperature:

    spin     A_up(omega; eps_d, -B) = A_dn(omega; eps_d, B)            <S_z> -> -<S_z>
    mirror   A_up(omega; -U - eps_d, -B) = A_up(-omega; eps_d, B)      <n> -> 2 - <n>, <S_z> -> -<S_z>

so x >= 0 suffices, and at B = 0, where both spins agree, there are two rows per temperature.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from models.physics.impurity.friedel import friedel_residual
from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.kondo import kondo_temperature
from models.physics.impurity.nrg_solver import NRGSettings
from models.physics.impurity.solver import (
    IMPURITY_SOLVERS,
    ImpuritySolution,
    ImpuritySolver,
    SolverError,
    SolverUnavailable,
)
from models.registry import Chosen
from models.settings import Fraction, Range, settings
from pipeline.impurity.records import Friedel, SpectraMetrics
from pipeline.runtime.content_key import content_key
from pipeline.runtime.execution import load_execution
from pipeline.runtime.kept_results import Arrays
from pipeline.runtime.params import load_params
from pipeline.runtime.shards import Recipe, generate_store, shards_of
from pipeline.runtime.stage import run_stage
from stores.outcome import FAILED, OK
from stores.spectra import FRIEDEL_LIMIT, SPECTRA
from stores.zarr_store import open_store

__all__ = [
    "GridParams",
    "Hamiltonian",
    "SamplingParams",
    "SpectraParams",
    "draw_hamiltonian",
    "frequency_grid",
    "generate",
    "main",
    "solve_shard",
]

OUT = Path("data/spectra.zarr")
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
    asymmetry: Range[NonNegativeFloat]
    field: Range[PositiveFloat]
    zero_field_fraction: Fraction
    temperature: Range[PositiveFloat]
    n_temperatures: PositiveInt


@settings
class SpectraParams:
    """Section `spectra` of params.yaml."""

    seed: NonNegativeInt
    n_hamiltonians: PositiveInt
    hamiltonians_per_shard: PositiveInt
    solver: Annotated[Chosen, IMPURITY_SOLVERS]
    label_temperature: Annotated[float, Field(gt=0, lt=1e-3)]
    sampling: SamplingParams
    grid: GridParams
    nrg: NRGSettings


@dataclass(frozen=True, kw_only=True)
class Hamiltonian:
    """One diagonalisation: its number, the impurity and the temperatures [D], ascending."""

    index: int
    impurity: AndersonImpurity
    temperatures: tuple[float, ...]


def main() -> None:
    params = load_params(SpectraParams, "spectra")
    label = partial(kondo_temperature, settings=params.nrg, lowest_temperature=params.label_temperature)
    generate(params, IMPURITY_SOLVERS.make(params.solver, nrg=params.nrg), label)


def generate(params: SpectraParams, solver: ImpuritySolver, kondo_temperature: KondoTemperature) -> None:
    """Make the store and its metrics in the working directory."""
    hamiltonians = [draw_hamiltonian(params, index) for index in range(params.n_hamiltonians)]
    omega = frequency_grid(params.grid)
    versions = dict(getattr(solver, "versions", {}))  # of what is no part of this environment
    settings = asdict(params.nrg)
    if params.solver.name != "nrg":
        chosen = {} if params.solver.settings is None else asdict(params.solver.settings)
        settings = {"kondo": settings, params.solver.name: chosen, "versions": versions}
    recipe = Recipe(
        out=OUT,
        schema=SPECTRA,
        key=content_key("spectra", asdict(params), versions),
        shards=shards_of(hamiltonians, params.hamiltonians_per_shard),
        solve_shard=partial(solve_shard, omega=omega, solver=solver, kondo_temperature=kondo_temperature),
        coordinates={"omega": omega},
        attributes={"solver": params.solver.name, "settings": json.dumps(settings, sort_keys=True)},
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


def draw_hamiltonian(params: SpectraParams, index: int) -> Hamiltonian:
    """Hamiltonian number `index`, whatever the others are."""
    ranges = params.sampling
    rng = np.random.default_rng(np.random.SeedSequence(params.seed, spawn_key=(index,)))
    interaction, hybridization = _log_uniform(rng, ranges.interaction), _log_uniform(rng, ranges.hybridization)
    asymmetry = float(rng.uniform(*ranges.asymmetry))
    at_zero_field = bool(rng.random() < ranges.zero_field_fraction)
    field = _log_uniform(rng, ranges.field)
    higher = sorted(_log_uniform(rng, ranges.temperature) for _ in range(ranges.n_temperatures - 1))
    impurity = AndersonImpurity(
        interaction=interaction,
        level=interaction * (asymmetry - 1) / 2,
        hybridization=hybridization,
        field=0.0 if at_zero_field else field,
    )
    return Hamiltonian(index=index, impurity=impurity, temperatures=(ranges.temperature[0], *higher))


def frequency_grid(grid: GridParams) -> FloatArray:
    positive = np.geomspace(grid.minimum, grid.maximum, grid.n_positive)
    return np.concatenate([-positive[::-1], [0.0], positive])


def solve_shard(
    hamiltonians: Sequence[Hamiltonian],
    *,
    omega: FloatArray,
    solver: ImpuritySolver,
    kondo_temperature: KondoTemperature,
) -> Arrays:
    """Rows of all these Hamiltonians; one that cannot be solved is recorded in its rows."""
    blocks = [_solve_one(h, omega=omega, solver=solver, kondo_temperature=kondo_temperature) for h in hamiltonians]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _solve_one(
    hamiltonian: Hamiltonian, *, omega: FloatArray, solver: ImpuritySolver, kondo_temperature: KondoTemperature
) -> Arrays:
    impurity = hamiltonian.impurity
    at_zero_field = replace(impurity, field=0.0)
    try:
        solution = solver.solve(impurity, temperatures=np.array(hamiltonian.temperatures), omega=omega)
        label = float(kondo_temperature(at_zero_field))
        _require_finite(solution)
        residuals = {spin: _friedel_residual(hamiltonian, solution, label, spin=spin) for spin in (1, -1)}
        _require_friedel(hamiltonian, residuals)
    except (SolverError, ArithmeticError, np.linalg.LinAlgError) as error:
        return _failed_rows(hamiltonian, omega, f"{type(error).__name__}: {error}")
    views = [
        _rows(hamiltonian, solution, label, residuals[spin], spin=spin, mirrored=mirrored)
        for spin, mirrored in _views(impurity)
    ]
    return {name: np.concatenate([view[name] for view in views]) for name in views[0]}


def _views(impurity: AndersonImpurity) -> list[tuple[int, bool]]:
    """(spin, mirrored) of the rows per temperature; at B = 0 both spins are one."""
    spins = (1,) if impurity.field == 0 else (1, -1)
    return [(spin, mirrored) for spin in spins for mirrored in (False, True)]


def _friedel_residual(hamiltonian: Hamiltonian, solution: ImpuritySolution, label: float, *, spin: int) -> FloatArray:
    """(n_temperatures,); the particle-hole mirror has the same."""
    spectrum = solution.spectrum_up if spin > 0 else solution.spectrum_dn
    impurity = hamiltonian.impurity
    return friedel_residual(
        np.pi * impurity.hybridization * spectrum[:, solution.omega.size // 2],
        solution.displaced_charge_up if spin > 0 else solution.displaced_charge_dn,
        solution.temperatures,
        hybridization=impurity.hybridization,
        scale=float(np.fmax(label, abs(impurity.field))),
    )


def _require_friedel(hamiltonian: Hamiltonian, residuals: dict[int, FloatArray]) -> None:
    broken = [
        f"{residual:.3f} at T = {temperature:g}, spin {'up' if spin > 0 else 'dn'}"
        for spin, values in residuals.items()
        for temperature, residual in zip(hamiltonian.temperatures, values, strict=True)
        if abs(residual) > FRIEDEL_LIMIT
    ]
    if broken:
        raise SolverError(
            f"the spectrum breaks Friedel's sum rule by {'; '.join(broken)}: expected at most {FRIEDEL_LIMIT:g}. "
            "Try a larger n_keep or n_z"
        )


def _rows(
    hamiltonian: Hamiltonian,
    solution: ImpuritySolution,
    label: float,
    residual: FloatArray,
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
        "friedel_residual": residual,
        "kondo_temperature": np.full(n_rows, label),
        "status": np.full(n_rows, OK, dtype=np.int8),
        "failure": np.full(n_rows, ""),
    }


def _failed_rows(hamiltonian: Hamiltonian, omega: FloatArray, reason: str) -> Arrays:
    n_rows = len(hamiltonian.temperatures)
    zeros = ("n_d", "s_z", "double_occupancy", "spectral_weight")
    empty: Arrays = {name: np.zeros(n_rows) for name in zeros} | {
        "spectrum": np.zeros((n_rows, omega.size), dtype=np.float32),
        "friedel_residual": np.full(n_rows, np.nan),
        "kondo_temperature": np.full(n_rows, np.nan),
        "status": np.full(n_rows, FAILED, dtype=np.int8),
        "failure": np.full(n_rows, reason.strip() or "no reason given"),
    }
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
        "hamiltonian": np.full(n_rows, hamiltonian.index, dtype=np.int64),
        "mirrored": np.full(n_rows, mirrored),
    }


def _require_finite(solution: ImpuritySolution) -> None:
    arrays: dict[str, Any] = vars(solution)
    if broken := [name for name, values in arrays.items() if not np.isfinite(values).all()]:
        raise SolverError(f"the solver returned NaN or infinities in {', '.join(broken)}")


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))


if __name__ == "__main__":
    run_stage("spectra", main, also_explained=(SolverUnavailable,))
