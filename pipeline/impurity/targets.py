"""The two targets of the formula stage, as problems for `models.laws.discovery`.

nrg      log(T_K/Gamma), T_K = 1/(4 chi_loc) measured by NRG: measured rows of data/kondo_temperatures.zarr
latent   the latent that the latents stage found best for log T_K on the low-temperature subset: rows where T_K can be
         seen (T_K > T, T_K > |B|), one row per Hamiltonian, so that mirrored and repeated spectra cannot stand in both
         training and test rows

Both keep the rows that hold a local moment by their inputs alone: -eps_d and eps_d + U at least `depth` Gamma.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.laws.discovery import Problem, split_rows
from models.laws.general_law import KondoTable
from models.laws.kondo_law import LAWS, encode, exponent_equation, law_equation
from stores.kondo_temperatures import KONDO_TEMPERATURES
from stores.latents import read_latents
from stores.outcome import OK
from stores.spectra import SPECTRA
from stores.zarr_store import open_store

__all__ = [
    "MIN_ROWS",
    "Impurities",
    "TooFewRows",
    "problem_of",
    "read_kondo_table",
    "read_latent_target",
    "read_nrg_target",
]

MIN_ROWS = 20
SUBSET = "low_temperature"
FloatArray = npt.NDArray[np.float64]


class TooFewRows(ValueError):
    """A target has too few usable rows for a search."""


@dataclass(frozen=True, kw_only=True)
class Impurities:
    """Rows of one target, all (n_samples,), energies in D; `value` is log(T_K/Gamma) or the latent."""

    target: str
    interaction: FloatArray
    level: FloatArray
    hybridization: FloatArray
    value: FloatArray
    origin: str


def read_nrg_target(path: Path, *, depth: float) -> Impurities:
    """Measured Kondo temperatures of local moments. Raises TooFewRows below MIN_ROWS."""
    table = open_store(path, KONDO_TEMPERATURES)
    u, level, gamma = (table[name].values for name in ("interaction", "level", "hybridization"))
    measured = (table["status"].values == OK) & holds_moment(u, level, gamma, depth)
    columns = {
        name: table[name].values[measured] for name in ("interaction", "level", "hybridization", "kondo_temperature")
    }
    if measured.sum() < MIN_ROWS:
        raise TooFewRows(
            f"{path}: found {measured.sum()} measured Kondo temperatures of local moments (moment_depth {depth:g}), "
            f"expected at least {MIN_ROWS}; raise kondo_temperatures.n_hamiltonians or lower formula.moment_depth"
        )
    return Impurities(
        target="nrg",
        interaction=columns["interaction"],
        level=columns["level"],
        hybridization=columns["hybridization"],
        value=np.log(columns["kondo_temperature"] / columns["hybridization"]),
        origin="T_K = 1/(4 chi_loc) measured by NRG, sampled without any formula for T_K",
    )


def read_kondo_table(path: Path) -> KondoTable:
    """All measured rows with the errors of their labels."""
    table = open_store(path, KONDO_TEMPERATURES)
    measured = table["status"].values == OK
    names = ("interaction", "level", "hybridization", "kondo_temperature", "kondo_temperature_error")
    u, level, gamma, value, error = (table[name].values[measured] for name in names)
    return KondoTable(interaction=u, level=level, hybridization=gamma, kondo_temperature=value, error=error)


def holds_moment(u: FloatArray, level: FloatArray, gamma: FloatArray, depth: float) -> npt.NDArray[np.bool_]:
    """Both charge excitations cost at least `depth` Gamma, by the inputs alone."""
    return np.asarray((-level >= depth * gamma) & (level + u >= depth * gamma))


def read_latent_target(latents: Path, spectra: Path, metrics: Path, *, depth: float, seed: int) -> Impurities:
    """The latent that carries log T_K best, by the metrics of the latents stage. Raises TooFewRows below MIN_ROWS."""
    best = json.loads(metrics.read_text())["best_abs_spearman"].get("log_T_K")
    if best is None:
        raise TooFewRows(
            f"{metrics}: found no latent that was scored on log T_K, expected enough test Hamiltonians with T_K > T; "
            "raise spectra.n_held_out"
        )
    if best.get("subset", SUBSET) != SUBSET:
        raise TooFewRows(f"{metrics}: found subset {best['subset']!r} for log_T_K, expected {SUBSET!r}")
    subset = read_latents(latents, SUBSET)
    column = subset.names.index(best["latent"]) if isinstance(best["latent"], str) else int(best["latent"])
    table = open_store(spectra, SPECTRA)
    names = ("interaction", "level", "hybridization", "kondo_temperature", "temperature", "field")
    u, level, gamma, kondo, temperature, field = (
        table[name].values[subset.spectrum_row].astype(float) for name in names
    )
    with np.errstate(invalid="ignore"):
        visible = np.isfinite(kondo) & (kondo > temperature) & (kondo > np.abs(field))
        usable = np.flatnonzero(visible & holds_moment(u, level, gamma, depth))
    drawn = np.random.default_rng(seed).permutation(usable)
    _, first = np.unique(subset.hamiltonian[drawn], return_index=True)
    rows = np.sort(drawn[first])
    if len(rows) < MIN_ROWS:
        raise TooFewRows(
            f"{latents}: found {len(rows)} Hamiltonians with a visible Kondo temperature and a "
            f"local moment, expected at least {MIN_ROWS}"
        )
    return Impurities(
        target="latent",
        interaction=u[rows],
        level=level[rows],
        hybridization=gamma[rows],
        value=subset.mean[rows, column],
        origin=(
            f"latent {best['latent']!r} of the network for {SUBSET}, chosen by its correlation with log T_K, "
            "known up to a monotone map"
        ),
    )


def problem_of(
    rows: Impurities, encoding: str, *, test_fraction: float, extrapolation_fraction: float, max_rows: int, seed: int
) -> Problem:
    """The search problem of a target in one encoding; the same split for every encoding."""
    names, inputs, units = encode(encoding, rows.target, rows.interaction, rows.level, rows.hybridization)
    ratio = rows.interaction / rows.hybridization
    train, test, box = split_rows(ratio, test_fraction, extrapolation_fraction, max_rows, seed)
    return Problem(
        target=rows.target,
        encoding=encoding,
        names=names,
        inputs=inputs,
        units=units,
        values=rows.value,
        train=train,
        test=test,
        extrapolation=box,
        laws={law: law_equation(law, encoding, rows.target) for law in LAWS},
        exponent=exponent_equation(encoding),
        free_scale=rows.target == "latent",
    )
