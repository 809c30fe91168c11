"""Rows of the README's table of results: spectra, latents, the formula searched for beside the coefficient fitted."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.impurity.records import FormulaMetrics, LatentsMetrics, SpectraMetrics
from pipeline.impurity.report.law_section import general_words
from pipeline.report.page import ResultRow, number, value_with_interval
from pipeline.report.registry import result_rows
from pipeline.report.replication_table import fresh_claims
from pipeline.runtime.replication_records import Claim

__all__ = ["rows"]


@result_rows("spectra", order=10)
def rows(root: Path) -> list[ResultRow]:
    spectra, best = SpectraMetrics.read(root), LatentsMetrics.read(root).best_abs_spearman
    formula = FormulaMetrics.read(root)
    tk, occupation, term = best["log_T_K"], best["n_d"], formula.correction_resolved
    general, fresh = formula.general[0], fresh_claims(root)
    return [
        (
            "impurity spectra by NRG",
            f"{number(spectra.n_spectra)}, {number(spectra.n_failed)} failed",
            f"Friedel's sum rule on {number(spectra.friedel.n_rows)} of them: pi Gamma A(0) is off by "
            f"{number(spectra.friedel.percentile_99, 2)} at the 99th percentile, {number(spectra.friedel.worst, 2)} at "
            "worst",
        ),
        (
            "latents of an autoencoder",
            f"{_fresh_latents(fresh)}|Spearman| of one with log T_K {value_with_interval(tk.value, tk.low, tk.high)}, "
            f"of another with the occupation {value_with_interval(occupation.value, occupation.low, occupation.high)}",
            f"{number(tk.n_hamiltonians)} test Hamiltonians at the lowest temperature, no field, T_K > T, no mirror "
            f"images; no label in any training. The {tk.baseline} of the curve alone {number(tk.baseline_value, 3)}, "
            f"its {occupation.baseline} {number(occupation.baseline_value, 3)}",
        ),
        (
            "formula of T_K/D, searched for",
            f"genetic programming ({general.engine}), given energies and their units alone: {general_words(general)}; "
            f"{_fresh_law(fresh)}a fit of the law's four terms, no search, has a coefficient of Gamma/U of "
            f"{value_with_interval(term.coefficient, term.low, term.high)}, "
            + ("resolved" if term.resolved else "not resolved"),
            f"expansion of the formula at large U/Gamma, with intervals; {number(general.n_rows)} local moments by "
            "NRG, one seed, on which the rules of the search were settled; Haldane's law lacks Gamma/U, the Bethe "
            f"ansatz has {number(term.expected, 4)}",
        ),
    ]


def _fresh_latents(fresh: Mapping[str, Claim]) -> str:
    """The same two claims on data seeds that nothing was chosen on; empty where they have not been measured."""
    one, other = fresh.get("log_T_K_test"), fresh.get("odd_unmirrored_test")
    if one is None or other is None:
        return ""
    return (
        f"over {one.n_data_seeds} fresh data seeds, |Spearman| with log T_K "
        f"{value_with_interval(one.value, one.low, one.high)}, {_beside(one)}; with the occupation "
        f"{value_with_interval(other.value, other.low, other.high)}, {_beside(other)}. On the seed of development, "
    )


def _beside(claim: Claim) -> str:
    """How far from the strongest baseline of each seed, and on which side."""
    behind = (claim.ahead or 0.0) < 0
    value, low, high = (claim.ahead, claim.ahead_low, claim.ahead_high)
    if behind:
        value, low, high = (None if one is None else -one for one in (claim.ahead, claim.ahead_high, claim.ahead_low))
    name = claim.baseline.rpartition(": ")[2]
    return (
        f"{'behind' if behind else 'ahead of'} the {name} ({number(claim.baseline_value)}) by "
        f"{value_with_interval(value, low, high, 2)}"
    )


def _fresh_law(fresh: Mapping[str, Claim]) -> str:
    words = {
        "exponent_rate_general_engine": "the exponent",
        "prefactor_rate_general_engine": "the prefactor",
        "correction_agrees_rate": "the term Gamma/U of the Bethe ansatz",
    }
    if not words.keys() <= fresh.keys():
        return ""
    n = fresh["exponent_rate_general_engine"].n_data_seeds
    measured = ", ".join(f"{name} in {round(fresh[key].value * n)}" for key, name in words.items())
    return f"of {n} fresh data seeds it finds {measured}; "
