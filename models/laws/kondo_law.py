"""The two reference laws of the Kondo temperature, fixed before any search, and the direct test of their coefficients.

    haldane            log T_K = pi eps_d (eps_d + U) / (2 U Gamma) + log sqrt(U Gamma / 2);  PRL 40, 416 (1978)
    haldane_corrected  the same + pi Gamma / (2 U);   symmetric Bethe ansatz, Adv. Phys. 32, 453 (1983); measured to
                       hold off symmetry too, |U + 2 eps_d| < .6 U, within 1 % (benchmarks/kondo_law_rates.md)

with Gamma = pi rho V^2. In encoded inputs (`u` = U/Gamma, `x` = eps_d/U; log T_K in units of Gamma):
    log(T_K/Gamma) = (pi/2) u x (1 + x) + (1/2) log u - (1/2) log 2 [+ (pi/2) / u].

The coefficient test regresses log(T_K/Gamma) on exactly these four terms. T_K measured by NRG also has smooth parts
that no law of U/Gamma and eps_d/U alone can hold, so nuisance terms stand beside them: Gamma/D and U/D (finite
bandwidth) and Gamma^2 [1/eps_d^2 + 1/(eps_d + U)^2] (next order of the expansion in Gamma over the charge excitation
energies). A bootstrap interval knows scatter only, so the fit is repeated in fixed variants: without all nuisance
terms, without the last one, and without the quarter of the rows where Gamma, Gamma/U, U/Gamma or the asymmetry is
largest. `low`, `high` span the intervals of all variants; `low_scatter`, `high_scatter` are those of the full fit. A
term is resolved when the wide interval excludes 0 and the full fit without the term has a BIC higher by more than 10.
"""

from dataclasses import asdict, dataclass
from math import log, pi
from typing import Any

import numpy as np

from models.laws.intervals import Interval, bootstrap_coefficients, interval_of
from models.laws.symbolic_engine import FloatArray

__all__ = [
    "EXPECTED",
    "LAWS",
    "CoefficientTest",
    "encode",
    "exponent_equation",
    "law_equation",
    "law_log_ratio",
    "law_terms_test",
]

LAWS = ("haldane", "haldane_corrected")
EXPECTED = {"exponent": pi / 2, "prefactor": 0.5, "constant": -log(2) / 2, "correction": pi / 2}
DECISIVE_BIC = 10.0


@dataclass(frozen=True, kw_only=True)
class CoefficientTest:
    """One coefficient with its intervals; `bic_gain`: what the fit loses without its term."""

    coefficient: float
    low: float
    high: float
    low_scatter: float
    high_scatter: float
    expected: float
    contains_expected: bool
    resolved: bool
    bic_gain: float
    variants: dict[str, Interval]

    def record(self) -> dict[str, Any]:
        return asdict(self)


def encode(
    encoding: str, target: str, interaction: FloatArray, level: FloatArray, hybridization: FloatArray
) -> tuple[tuple[str, ...], FloatArray, tuple[int, ...]]:
    """Names, inputs (n_samples, n_inputs) and energy exponents; the dimensionless form of a latent has Gamma/D too."""
    if encoding == "raw":
        return ("U", "epsilon_d", "Gamma"), np.stack([interaction, level, hybridization], axis=1), (1, 1, 1)
    names: tuple[str, ...] = ("u", "x")
    columns = [interaction / hybridization, level / interaction]
    if target == "latent":
        names, columns = (*names, "Gamma"), [*columns, hybridization]
    return names, np.stack(columns, axis=1), (0,) * len(names)


def law_equation(law: str, encoding: str, target: str) -> str:
    """The law in the names of `encode`: log(T_K/Gamma) for target `nrg`, log(T_K/D) for `latent`."""
    if encoding == "raw":
        parts = [exponent_equation(encoding), "log(U)/2 - log(Gamma)/2 - log(2)/2"]
        parts += ["pi*Gamma/(2*U)"] if law == "haldane_corrected" else []
        parts += ["log(Gamma)"] if target == "latent" else []
    else:
        parts = [exponent_equation(encoding), "log(u)/2 - log(2)/2"]
        parts += ["pi/(2*u)"] if law == "haldane_corrected" else []
        parts += ["log(Gamma)"] if target == "latent" else []
    return " + ".join(parts)


def exponent_equation(encoding: str) -> str:
    """The exponent alone: what makes T_K non-perturbative, and what both reference laws share."""
    return "pi*epsilon_d*(epsilon_d + U)/(2*U*Gamma)" if encoding == "raw" else "pi*u*x*(1 + x)/2"


def law_log_ratio(law: str, interaction: FloatArray, level: FloatArray, hybridization: FloatArray) -> FloatArray:
    """log(T_K/Gamma) by one of LAWS: for the controls only."""
    terms = law_columns(interaction, level, hybridization)
    expected = np.array([EXPECTED["exponent"], EXPECTED["prefactor"], EXPECTED["constant"], EXPECTED["correction"]])
    if law == "haldane":
        expected[3] = 0.0
    return np.asarray(terms @ expected, dtype=float)


def law_columns(interaction: FloatArray, level: FloatArray, hybridization: FloatArray) -> FloatArray:
    """Columns exponent, prefactor, constant, correction (n_samples, 4)."""
    exponent = level * (level + interaction) / (interaction * hybridization)
    ratio = interaction / hybridization
    return np.stack([exponent, np.log(ratio), np.ones_like(ratio), 1.0 / ratio], axis=1)


def law_terms_test(
    interaction: FloatArray,
    level: FloatArray,
    hybridization: FloatArray,
    log_ratio: FloatArray,
    *,
    n_bootstrap: int,
    confidence: float,
    seed: int,
) -> dict[str, CoefficientTest]:
    """Coefficients of the fuller law's four terms in log(T_K/Gamma), with intervals; arrays (n_samples,), in D."""
    bare = law_columns(interaction, level, hybridization)
    shallow = hybridization**2 * (level**-2.0 + (level + interaction) ** -2.0)
    banded = np.column_stack([bare, hybridization, interaction])
    full = np.column_stack([banded, shallow])
    ratio, asymmetry_over_U = interaction / hybridization, np.abs(1.0 + 2.0 * level / interaction)
    everything = np.ones(len(ratio), dtype=bool)
    variants = {
        "full": (everything, full),
        "no_nuisance_terms": (everything, bare),
        "no_next_order_term": (everything, banded),
        "no_largest_hybridization": (hybridization <= np.quantile(hybridization, 0.75), full),
        "no_smallest_ratio": (ratio >= np.quantile(ratio, 0.25), full),
        "no_largest_ratio": (ratio <= np.quantile(ratio, 0.75), full),
        "no_largest_asymmetry": (asymmetry_over_U <= np.quantile(asymmetry_over_U, 0.75), full),
    }
    intervals = {}
    for name, (rows, design) in variants.items():
        samples = bootstrap_coefficients(design[rows], log_ratio[rows], n_bootstrap, seed)
        intervals[name] = [interval_of(samples[:, i], confidence) for i in range(4)]
    gains = [bic_gain(full, log_ratio, i) for i in range(4)]
    tests = {}
    for i, term in enumerate(EXPECTED):
        low = min(interval[i].low for interval in intervals.values())
        high = max(interval[i].high for interval in intervals.values())
        base, expected = intervals["full"][i], EXPECTED[term]
        tests[term] = CoefficientTest(
            coefficient=base.coefficient,
            low=low,
            high=high,
            low_scatter=base.low,
            high_scatter=base.high,
            expected=expected,
            contains_expected=low <= expected <= high,
            resolved=(low > 0.0 or high < 0.0) and gains[i] > DECISIVE_BIC,
            bic_gain=gains[i],
            variants={name: interval[i] for name, interval in intervals.items()},
        )
    return tests


def bic_gain(columns: FloatArray, target: FloatArray, term: int) -> float:
    """BIC of the fit without column `term` minus BIC of the full fit (positive: the term is needed)."""

    def log_loss(design: FloatArray) -> float:
        residual = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
        return log(max(float(np.mean(residual**2)), 1e-30))

    n = len(target)
    return n * (log_loss(np.delete(columns, term, axis=1)) - log_loss(columns)) - log(n)
