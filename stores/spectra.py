"""Schema of `data/spectra.zarr`: one row per spectral function of an Anderson impurity.

    spectrum[i, j] = pi Gamma A_up(omega_j)        of H = eps_d n + U n_up n_dn - B S_z + bath, at temperature T

Energies are in units of the half bandwidth D. A_dn is no column: A_dn(omega; B) = A_up(omega; -B) is a row of its own.
Rows that come from one diagonalisation (both spins, the particle-hole mirror, several temperatures) share
`hamiltonian`: split by it, or copies of a test spectrum are trained on. A Hamiltonian whose solution failed keeps its
rows: status 1, the reason in `failure`, zeros (and a NaN Kondo temperature) as values.

Two columns give the quality of a row. `friedel_residual` is pi Gamma A(0) - sin^2(pi N) of Friedel's sum rule, NaN
where T is too high for it. `spectral_weight` is the integral of A over the range of omega, on the solver's own fine
mesh. The trapezoid rule on the stored omega gives another number where a resonance is narrower than the step there: a
level of width Gamma = 0.005 at omega = 0.3, where the points are 0.026 apart.
"""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores.outcome import FAILED, FAILURE_STATED, OK, outcome_variables
from stores.schema import Fact, StoreSchema, Variable

__all__ = ["FRIEDEL_LIMIT", "SPECTRA", "tiny"]

FRIEDEL_LIMIT = 0.05  # what a spectrum may break Friedel's rule by; a solver at fault breaks it by more
ROW = ("sample",)


def _parameter(name: str, description: str, **bounds: float) -> Variable:
    return Variable(name, ROW, "float64", "D", description, **bounds)  # type: ignore[arg-type]


def _measured(name: str, description: str, low: float, high: float) -> Variable:
    return Variable(name, ROW, "float64", "dimensionless", description, low=low, high=high)


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
    _, first, group = np.unique(block["hamiltonian"].values, return_index=True, return_inverse=True)
    bad = np.zeros(block.sizes["sample"], dtype=bool)
    for name in ("interaction", "hybridization", "field", "status"):
        values = np.abs(block[name].values)
        bad |= values != values[first][group]
    return bad


ROUNDING = 1e-8

SPECTRA = StoreSchema(
    name="spectra",
    version="2",
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
            "kondo_temperature",
            ROW,
            "float64",
            "D",
            "T_K = 1 / (4 chi_loc(T -> 0)) at B = 0; NaN below the lowest energy of the chain",
            above=0,
            nan_allowed=True,
        ),
        Variable(
            "hamiltonian", ROW, "int64", "dimensionless", "rows of one diagonalisation share it; split by it", low=0
        ),
        Variable("mirrored", ROW, "bool", "dimensionless", "particle-hole mirror of the solved Hamiltonian"),
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
            "rows_of_a_hamiltonian_agree",
            "equal U, Gamma, |B| and status in all rows of one Hamiltonian",
            ("hamiltonian", "interaction", "hybridization", "field", "status"),
            _rows_of_a_hamiltonian_differ,
            whole=True,
        ),
    ),
    attributes=("settings", "solver"),
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
        "kondo_temperature": np.where(solved, np.pi * gamma / 4, np.nan),
        "hamiltonian": np.array([0, 0, 0, 0, 1]),
        "mirrored": mirrored,
        "status": np.where(solved, OK, FAILED).astype(np.int8),
        "failure": np.array(["", "", "", "", "example"], dtype=object),
    }
    return SPECTRA.dataset(columns | {"omega": omega}, {"settings": "{}", "solver": "example"})
