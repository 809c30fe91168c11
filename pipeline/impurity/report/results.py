"""Rows of the README's table of results: spectra, latents, the formula searched for, the coefficient fitted."""

from pathlib import Path

from pipeline.discover.records import Formula
from pipeline.impurity.records import FormulaMetrics, LatentsMetrics, SpectraMetrics
from pipeline.report.page import ResultRow, number, r_squared, result_rows, value_with_interval

__all__ = ["rows"]

LAWS = {"haldane": "Haldane's law", "haldane_corrected": "Haldane's law with the correction"}
ENGINES = {"library": "a sparse choice from a library that holds both reference laws"}


@result_rows("spectra", order=10)
def rows(root: Path) -> list[ResultRow]:
    spectra, best = SpectraMetrics.read(root), LatentsMetrics.read(root).best_abs_spearman
    formula = FormulaMetrics.read(root)
    tk, occupation, term = best["log_T_K"], best["n_d"], formula.correction_resolved
    selected = [r for r in formula.results if r.target == "nrg" and r.encoding == "dimensionless" and r.selected]
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
            "formula of T_K, searched for",
            "; ".join(f"{_engine(record)} finds {_law(record)}" for record in selected),
            "T_K from NRG susceptibilities; R2 beyond the training range "
            + " and ".join(r_squared(record.r2_extrapolation) for record in selected),
        ),
        (
            "the term Gamma/U that Haldane's law lacks",
            f"coefficient {value_with_interval(term.coefficient, term.low, term.high)}, "
            + ("resolved" if term.resolved else "not resolved"),
            f"{number(term.expected, 4)} from the Bethe ansatz; a fit of the law's four terms, no search",
        ),
    ]


def _engine(record: Formula) -> str:
    return ENGINES.get(record.engine, f"genetic programming ({record.engine})")


def _law(record: Formula) -> str:
    other = "Haldane's exponent beside other terms" if record.has_exponent else "neither reference law"
    return LAWS.get(record.matches or "", other)
