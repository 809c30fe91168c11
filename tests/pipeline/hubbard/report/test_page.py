"""The page of the Hubbard model: made of the stores and metrics alone, with their numbers, misses among them."""

import numpy as np
import pytest

from pipeline.hubbard.records import HubbardDiscovery, HubbardMetrics, MottMetrics
from pipeline.hubbard.report.page import coexistence_words, hubbard_page
from pipeline.hubbard.report.results import rows
from pipeline.report.report import ReportParams, build_report
from stores.hubbard import HUBBARD, tiny
from stores.zarr_store import write_store

QUANTITY = {
    "latent": "even 1", "abs_spearman": 0.913, "low": 0.85, "high": 0.95, "linear_direction": 0.9, "nonlinear_r2": 0.8,
    "baseline": {"summaries": {"coordinate": "height", "abs_spearman": 0.871}},
}  # fmt: skip
LAW = {
    "name": "found", "equation": "exp(-U)", "n_fitted": 2, "r2_test": 0.91, "r2_extrapolation": -0.62,
    "critical_interaction": None, "low": None, "high": None,
}  # fmt: skip
LINE = LAW | {
    "name": "straight_line",
    "equation": "0.8 (1 - U / 2.95)",
    "critical_interaction": 2.95,
    "low": 2.8,
    "high": 3.1,
}
FORMULA = {
    "target": "Z", "engine": "operon", "encoding": "raw", "link": "identity", "equation": "1", "latex": "1",
    "complexity": 1, "loss": 0.1, "r2_test": 0.9, "r2_extrapolation": 0.1, "equivalent_srbench": False,
    "matches": None, "has_exponent": False, "ratios": {}, "coefficients": {}, "seed_stability": None, "selected": True,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    write_store(tmp_path / "data/hubbard.zarr", HUBBARD, tiny())
    deviation = {"n_rows": 3, "median": 0.001, "worst": 0.0123}
    HubbardMetrics.of(
        {"n_rows": 4, "n_points": 3, "n_not_converged": 1, "n_iterations": 23, "pinning": deviation,
         "luttinger": deviation, "hash": "0" * 64}
    ).write(tmp_path)  # fmt: skip
    MottMetrics.of(
        {"engine": "operon", "n_train": 30, "n_test": 10, "n_validation": 9, "n_extrapolation": 8, "trained_up_to": 1.5,
         "chosen_up_to": 2.2, "laws": [LAW, LINE], "control_r2_test": -0.7, "formula": FORMULA,
         "coexistence": {"n_points": 5, "n_two_solutions": 4, "lowest_interaction": 2.41, "highest_interaction": 2.8}}
    ).write(tmp_path)  # fmt: skip
    HubbardDiscovery.of(
        {"n_rows": 3, "n_dropped": 1, "n_groups": 2, "n_test_rows": 1, "test_error": 0.1,
         "test_error_principal_components": 0.2, "active_latents": 2, "active_latents_of_seeds": [2, 3],
         "agreement_of_seeds": 0.9, "beta": 0.3,
         "best": {"matsubara_weight": QUANTITY, "filling": {"problem": "found 4 groups to score on"}},
         "formulas": [{"latent": "odd 2", "problem": "the engine found nothing"}]}
    ).write(tmp_path)  # fmt: skip
    (tmp_path / "reports/details").mkdir()
    u = np.linspace(0.2, 2.8, 20)
    lines = [",".join(f"{value:.6g}" for value in row) for row in np.column_stack([u] + [1 - u / 3] * 5)]
    names = "interaction,weight,found,brinkman_rice,parabola,straight_line"
    (tmp_path / "reports/details/mott.csv").write_text("\n".join([names, *lines]) + "\n")
    (tmp_path / "params.yaml").write_text("hubbard: {}\nmott: {}\ndiscover: {}\n")
    return tmp_path


def test_the_page_has_the_numbers_and_says_what_is_missing(folder):
    build_report(folder, ReportParams(max_points=100), (hubbard_page,))
    text = (folder / "reports/index.html").read_text()
    for words in (
        "0.913",
        "0.871",
        "2.95 [2.8,",
        "found 4 groups to score on",
        "the engine found nothing",
        "\u22120.62",
    ):
        assert words in text, words
    assert "1 of 4 rows did not converge" in text and "not below 6 D" in text
    first = (folder / "reports/index.html").read_bytes()
    build_report(folder, ReportParams(max_points=100), (hubbard_page,))
    assert (folder / "reports/index.html").read_bytes() == first


def test_the_row_of_the_readme_has_the_weaker_numbers_too(folder):
    ((_, result, judged),) = rows(folder)
    assert "0.913 [0.85," in result and "at larger U" in result and "\u22120.62" in result
    assert (
        "the best summary of the curve (height) 0.871" in judged
        and "2.95 [2.8," in judged
        and "one data seed" in judged
    )


def test_missing_inputs_are_named_with_the_stage_that_makes_them(folder):
    (folder / "reports/metrics/mott.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"mott.json \(make it with `latentlaw repro mott`\)"):
        hubbard_page(folder, 100)


def test_words_where_no_point_has_two_solutions():
    assert coexistence_words(3, 0, None, None).endswith("none has two solutions.")
