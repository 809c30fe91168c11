"""Schema of `data/spectra.zarr`: one row per spectral function of an Anderson impurity.

    spectrum[i, j] = pi Gamma A_up(omega_j)        of H = eps_d n + U n_up n_dn - B S_z + bath, at temperature T

Energies are in units of the half bandwidth D. A_dn is no column: A_dn(omega; B) = A_up(omega; -B) is a row of its own.
Rows that come from one diagonalisation (both spins, the particle-hole mirror, several temperatures) share
`hamiltonian`: split by it, or copies of a test spectrum are trained on. A Hamiltonian whose solution failed keeps its
rows: status 1, the reason in `failure`, zeros (and a NaN Kondo temperature) as values.

These columns give the quality of a row:

    friedel_residual          pi Gamma A(0) - sin^2(pi N) of Friedel's sum rule, NaN where T is too high for it
    spectral_weight           integral of A over the range of omega, on the solver's own fine mesh
    clipped_self_energy       largest positive Im Sigma / Gamma inside the band, which was set to zero
    spectrum_error_max        largest and mean |difference| of pi Gamma A from a second, finer solution, over omega
    spectrum_error_mean
    kondo_temperature_error   |T_K / T_K of the finer setting - 1|

The last three are NaN but for a random share of the Hamiltonians, which are solved twice. They are differences of two
settings of one method: no bound of the error. Where the level is at resonance pi Gamma A is Gamma / (Gamma - Im Sigma),
so a clipped share c of Gamma has moved it from 1 / (1 - c) to 1; elsewhere by less.

The trapezoid rule on the stored omega gives another number than `spectral_weight` where a resonance is narrower than
the step there: a level of width Gamma = 0.005 at omega = 0.3, where the points are 0.026 apart.

The limits tell a solver at fault from a coarse one: the coarsest profile (64 states, one z) keeps each of them. How
accurate a dataset is stands in its metrics. A Hamiltonian that breaks a limit is a failed one.

A store of version 2 has no clipping and no errors, and they cannot be filled in without solving: make it again with
`dvc repro spectra`. Its spectra are the same to the bit for the same settings.
"""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores.outcome import FAILED, FAILURE_STATED, OK, outcome_variables
from stores.schema import Fact, StoreSchema, Variable

__all__ = [
    "CLIPPED_LIMIT",
    "FRIEDEL_LIMIT",
    "KONDO_TEMPERATURE_ERROR_LIMIT",
    "SPECTRA",
    "SPECTRUM_ERROR_MAX_LIMIT",
    "SPECTRUM_ERROR_MEAN_LIMIT",
    "tiny",
]

FRIEDEL_LIMIT = 0.05  # what a spectrum may break Friedel's rule by; a solver at fault breaks it by more
CLIPPED_LIMIT = 0.05  # of Gamma, as a height of pi Gamma A like the limit above
SPECTRUM_ERROR_MAX_LIMIT = 0.25
SPECTRUM_ERROR_MEAN_LIMIT = 0.05
KONDO_TEMPERATURE_ERROR_LIMIT = 0.1
ROW = ("sample",)


def _parameter(name: str, description: str, **bounds: float) -> Variable:
    return Variable(name, ROW, "float64", "D", description, **bounds)  # type: ignore[arg-type]


def _measured(name: str, description: str, low: float, high: float) -> Variable:
    return Variable(name, ROW, "float64", "dimensionless", description, low=low, high=high)


def _error(name: str, description: str, limit: float) -> Variable:
    """Of a random share of the Hamiltonians, NaN elsewhere."""
    return Variable(name, ROW, "float64", "dimensionless", description, low=0, high=limit, nan_allowed=True)


def _not_a_grid(block: xr.Dataset) -> NDArray[np.bool_]:
    omega = block["omega"].values
    return np.asarray(omega != -omega[::-1])


def _failed_row_not_empty(block: xr.Dataset) -> NDArray[np.bool_]:
    filled = (block["spectrum"].values != 0).any(axis=1) | (block["n_d"].values != 0)
    return np.asarray(filled & (block["status"].values != OK))


def _solved_row_empty(block: xr.Dataset) -> NDArray[np.bool_]:
    return np.asarray(~(block["spectrum"].values > 0).any(axis=1) & (block["status"].values == OK))


def _too_many_pairs(block: xr.Dataset) -> NDArray[np.bool_]:
    n_up, n_dn = block["n_d"].values / 2 + block["s_z"].values, block["n_d"].values / 2 - block["s_z"].values
    return np.asarray(block["double_occupancy"].values > np.minimum(n_up, n_dn) + ROUNDING)


def _rows_of_a_hamiltonian_differ(block: xr.Dataset) -> NDArray[np.bool_]:
    """Rows of one Hamiltonian share U, Gamma and |B| (mirroring keeps them) and its outcome."""
    bad = np.zeros(block.sizes["sample"], dtype=bool)
    for name in ("interaction", "hybridization", "field", "status"):
        bad |= _differs(np.abs(block[name].values), block["hamiltonian"].values)
    return bad


def _errors_of_a_hamiltonian_differ(block: xr.Dataset) -> NDArray[np.bool_]:
    """It is solved twice as a whole, and has one error of T_K."""
    hamiltonian = block["hamiltonian"].values
    bad = _differs(np.isfinite(block["spectrum_error_max"].values), hamiltonian)
    return np.asarray(bad | _differs(np.nan_to_num(block["kondo_temperature_error"].values, nan=-1.0), hamiltonian))


def _differs(values: NDArray[Any], hamiltonian: NDArray[Any]) -> NDArray[np.bool_]:
    """From the first row of the same Hamiltonian."""
    _, first, group = np.unique(hamiltonian, return_index=True, return_inverse=True)
    return np.asarray(values != values[first][group])


def _errors_disagree(block: xr.Dataset) -> NDArray[np.bool_]:
    """Both errors of a spectrum or none, the mean at most the largest; and none where the row failed."""
    largest, mean = block["spectrum_error_max"].values, block["spectrum_error_mean"].values
    measured = np.isfinite(largest)
    wrong = (np.isfinite(mean) != measured) | (measured & (block["status"].values != OK))
    wrong |= np.isfinite(block["kondo_temperature_error"].values) & ~measured
    return np.asarray(wrong | (np.nan_to_num(mean) > np.nan_to_num(largest) + ROUNDING))


ROUNDING = 1e-8

SPECTRA = StoreSchema(
    name="spectra",
    version="3",
    coordinates=(Variable("omega", ("omega",), "float64", "D", "frequency, symmetric", increasing=True),),
    variables=(
        Variable(
            name="spectrum",
            dims=("sample", "omega"),
            dtype="float32",
            units="dimensionless",
            description="pi Gamma A_up(omega)",
            low=-0.05,
            high=1.2,  # 1 is the unitary limit inside the band; the rest is for solvers which broaden A itself
        ),
        _parameter("interaction", "U"),
        _parameter("hybridization", "Gamma = pi rho V^2", above=0),
        _parameter("level", "eps_d"),
        _parameter("field", "B, in -B S_z"),
        _parameter("temperature", "T", above=0),
        _measured("n_d", "<n_up + n_dn>", -ROUNDING, 2 + ROUNDING),
        _measured("s_z", "<S_z> = <n_up - n_dn> / 2", -0.5 - ROUNDING, 0.5 + ROUNDING),
        _measured("double_occupancy", "<n_up n_dn>", -ROUNDING, 1 + ROUNDING),
        Variable(
            "spectral_weight",
            ROW,
            "float64",
            "dimensionless",
            "integral of A over the range of omega, by the solver",
            low=0,
            high=1.02,
        ),
        Variable(
            "friedel_residual",
            ROW,
            "float64",
            "dimensionless",
            "pi Gamma A(0) - sin^2(pi N), Friedel's sum rule; NaN unless T << Gamma, max(T_K, |B|)",
            low=-FRIEDEL_LIMIT,
            high=FRIEDEL_LIMIT,
            nan_allowed=True,
        ),
        Variable(
            "clipped_self_energy",
            ROW,
            "float64",
            "dimensionless",
            "largest positive Im Sigma / Gamma inside the band, set to zero",
            low=0,
            high=CLIPPED_LIMIT,
        ),
        _error(
            "spectrum_error_max",
            "largest |difference| of pi Gamma A from a finer setting; NaN where not solved twice",
            SPECTRUM_ERROR_MAX_LIMIT,
        ),
        _error(
            "spectrum_error_mean",
            "mean over omega of |difference| of pi Gamma A from a finer setting; NaN where not solved twice",
            SPECTRUM_ERROR_MEAN_LIMIT,
        ),
        Variable(
            "kondo_temperature",
            ROW,
            "float64",
            "D",
            "T_K = 1 / (4 chi_loc(T -> 0)) at B = 0; NaN below the lowest energy of the chain",
            above=0,
            nan_allowed=True,
        ),
        _error(
            "kondo_temperature_error",
            "|T_K / T_K of a finer setting - 1|; NaN where not measured twice, or where T_K is NaN",
            KONDO_TEMPERATURE_ERROR_LIMIT,
        ),
        Variable(
            "hamiltonian", ROW, "int64", "dimensionless", "rows of one diagonalisation share it; split by it", low=0
        ),
        Variable("mirrored", ROW, "bool", "dimensionless", "particle-hole mirror of the solved Hamiltonian"),
        Variable("held_out", ROW, "bool", "dimensionless", "drawn for testing alone: never train or choose on it"),
        *outcome_variables("solved"),
    ),
    facts=(
        Fact("symmetric_grid", "omega = -omega[::-1]", ("omega",), _not_a_grid, whole=True),
        FAILURE_STATED,
        Fact("failed_rows_empty", "zeros where status is not 0", ("status", "spectrum", "n_d"), _failed_row_not_empty),
        Fact("solved_rows_filled", "a positive spectrum where status is 0", ("status", "spectrum"), _solved_row_empty),
        Fact(
            "pairs_bounded", "<n_up n_dn> <= min(<n_up>, <n_dn>)", ("n_d", "s_z", "double_occupancy"), _too_many_pairs
        ),
        Fact(
            "errors_agree",
            "largest and mean error of a spectrum both or neither, mean <= largest, none in a failed row",
            ("status", "spectrum_error_max", "spectrum_error_mean", "kondo_temperature_error"),
            _errors_disagree,
        ),
        Fact(
            "rows_of_a_hamiltonian_agree",
            "equal U, Gamma, |B| and status in all rows of one Hamiltonian",
            ("hamiltonian", "interaction", "hybridization", "field", "status"),
            _rows_of_a_hamiltonian_differ,
            whole=True,
        ),
        Fact(
            "errors_of_a_hamiltonian_agree",
            "errors of spectra in all rows of one Hamiltonian or in none, one error of T_K",
            ("hamiltonian", "spectrum_error_max", "kondo_temperature_error"),
            _errors_of_a_hamiltonian_differ,
            whole=True,
        ),
    ),
    attributes=("seed", "settings", "solver"),
)


def tiny() -> xr.Dataset:
    """A valid example: one U = 0 Hamiltonian at two temperatures with its mirror, and one that failed."""
    positive = np.geomspace(1e-3, 1.0, 5)
    omega = np.concatenate([-positive[::-1], [0.0], positive])
    level, gamma = -0.05, 0.1
    lorentzian = gamma**2 / ((omega - level) ** 2 + gamma**2)
    n_d = 1 - 2 / np.pi * np.arctan(level / gamma)
    solved = np.array([True, True, True, True, False])
    mirrored = np.array([False, True, False, True, False])
    occupation = np.where(solved, np.where(mirrored, 2 - n_d, n_d), 0.0)
    spectrum = np.where(mirrored[:, None], lorentzian[::-1], lorentzian) * solved[:, None]
    columns: dict[str, Any] = {
        "spectrum": spectrum.astype(np.float32),
        "interaction": np.array([0.0, 0.0, 0.0, 0.0, 0.2]),
        "hybridization": np.full(5, gamma),
        "level": np.where(mirrored, -level, level),
        "field": np.zeros(5),
        "temperature": np.array([1e-6, 1e-6, 1e-3, 1e-3, 1e-6]),
        "n_d": occupation,
        "s_z": np.zeros(5),
        "double_occupancy": occupation**2 / 4,
        "spectral_weight": np.where(solved, 0.9, 0.0),
        "friedel_residual": np.array([1e-4, 1e-4, 1e-3, 1e-3, np.nan]),
        "clipped_self_energy": np.where(solved, 1e-3, 0.0),
        "spectrum_error_max": np.where(solved, 0.01, np.nan),
        "spectrum_error_mean": np.where(solved, 2e-3, np.nan),
        "kondo_temperature": np.where(solved, np.pi * gamma / 4, np.nan),
        "kondo_temperature_error": np.where(solved, 5e-3, np.nan),
        "hamiltonian": np.array([0, 0, 0, 0, 1]),
        "mirrored": mirrored,
        "held_out": np.zeros(5, dtype=bool),
        "status": np.where(solved, OK, FAILED).astype(np.int8),
        "failure": np.array(["", "", "", "", "example"], dtype=object),
    }
    return SPECTRA.dataset(columns | {"omega": omega}, {"seed": "0", "settings": "{}", "solver": "example"})
