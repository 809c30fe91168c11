"""Rows of the README's table of results: spectra, latents, the formula searched for beside the coefficient fitted."""

from pathlib import Path

from pipeline.impurity.records import FormulaMetrics, LatentsMetrics, SpectraMetrics
from pipeline.impurity.report.law_section import general_words
from pipeline.report.page import ResultRow, number, value_with_interval
from pipeline.report.registry import result_rows

__all__ = ["rows"]


@result_rows("spectra", order=10)
def rows(root: Path) -> list[ResultRow]:
    spectra, best = SpectraMetrics.read(root), LatentsMetrics.read(root).best_abs_spearman
    formula = FormulaMetrics.read(root)
    tk, occupation, term = best["log_T_K"], best["n_d"], formula.correction_resolved
    general = formula.general[0]
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
            f"|Spearman| of one with log T_K {value_with_interval(tk.value, tk.low, tk.high)}, of another with the "
            f"occupation {value_with_interval(occupation.value, occupation.low, occupation.high)}",
            f"{number(tk.n_hamiltonians)} test Hamiltonians at the lowest temperature, no field, T_K > T, no mirror "
            f"images; no label in any training. The {tk.baseline} of the curve alone {number(tk.baseline_value, 3)}, "
            f"its {occupation.baseline} {number(occupation.baseline_value, 3)}",
        ),
        (
            "formula of T_K/D, searched for",
            f"genetic programming ({general.engine}), given energies and their units alone: {general_words(general)}; "
            f"a fit of the law's four terms, no search, has a coefficient of Gamma/U of "
            f"{value_with_interval(term.coefficient, term.low, term.high)}, "
            + ("resolved" if term.resolved else "not resolved"),
            f"expansion of the formula at large U/Gamma, with intervals; {number(general.n_rows)} local moments by "
            "NRG, one seed, on which the rules of the search were settled; Haldane's law lacks Gamma/U, the Bethe "
            f"ansatz has {number(term.expected, 4)}",
        ),
    ]
