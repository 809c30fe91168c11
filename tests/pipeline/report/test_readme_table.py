"""README's results are those of the committed metrics, few enough to read, with what went wrong among them."""

import shutil
from pathlib import Path

import pytest

from pipeline.report.readme_table import pages, rows, table, with_table
from pipeline.report.replication_table import COLUMNS, claim_cells, read_replication, replication_sections
from pipeline.runtime.replication import replication_metrics
from pipeline.runtime.replication_records import Measurement
from tests.pipeline.runtime.test_replication import measurement

ROOT = Path(__file__).parents[3]


def test_pages_and_metrics_agree():
    for page, wanted in pages(ROOT).items():
        assert (ROOT / page).read_text() == wanted, "python -m pipeline.report.readme_table --write"


def test_a_claim_stands_beside_its_weakest_training_and_its_baseline(tmp_path):
    assert read_replication(tmp_path) is None
    seeds = [measurement(s, 0.9, 0.7, kind="number", baseline_value=0.6) for s in (1001, 1002)]
    replication_metrics(seeds, [1001, 1002], [5, 6]).write(tmp_path)
    replication = read_replication(tmp_path)
    assert replication is not None
    (cells,) = claim_cells(replication.claims)
    shown = dict(zip(COLUMNS, cells, strict=True))
    assert shown["mean [95 %]"].startswith("0.8 [0.8")
    assert shown["smallest"] == "0.7"
    assert shown["strongest baseline"] == "centroid 0.6"
    assert shown["seeds"] == "2 of data, 4 values"


def test_a_lane_shows_its_own_claims_and_nothing_where_none_was_measured(tmp_path):
    assert replication_sections(tmp_path, "x") == []
    replication_metrics([measurement(1001, 0.9, 0.7, kind="number")], [1001], [5, 6]).write(tmp_path)
    assert replication_sections(tmp_path, "another") == []
    (section,) = replication_sections(tmp_path, "x")
    (table_of,) = section.blocks
    assert len(table_of.rows) == 1
    assert "Data seeds 1001, training seeds 5, 6." in table_of.caption


def test_there_are_at_most_ten_rows_and_the_misses_of_the_potential_are_in_them():
    content = rows(ROOT)
    assert 1 <= len(content) <= 10
    assert all(len(row) == 3 for row in content)
    shown = table([("", "result", "judged by"), *content])
    for words in ("but bulk modulus ", "C44 ", "surface 111 ", "migration barrier "):
        assert words in shown
    for words in ("raw two-point correlation", "centred", "a fit of the law's four terms, no search"):
        assert words in shown


def test_fresh_seeds_stand_before_the_seed_of_development(tmp_path):
    shutil.copytree(ROOT / "reports/metrics", tmp_path / "reports/metrics")
    (tmp_path / "benchmarks").mkdir()
    shutil.copy(ROOT / "benchmarks/grey_levels.md", tmp_path / "benchmarks")
    names = {
        "log_T_K_test": "correlation",
        "odd_unmirrored_test": "correlation",
        "exponent_rate_general_engine": "rate",
        "prefactor_rate_general_engine": "rate",
        "correction_agrees_rate": "rate",
    }
    measurements = []
    for seed in (1001, 1002):
        measured = []
        for name, kind in names.items():
            values = [0.9, 0.8] if kind == "correlation" else [float(seed == 1001)]
            changed = {"claim": name, "baseline": "centroid", "baseline_value": 0.7}
            measured += [one.model_dump() | changed for one in measurement(seed, *values, kind=kind).measured]
        measurements.append(
            Measurement.model_validate({"lane": "impurity", "box": "default", "data_seed": seed, "measured": measured})
        )
    replication_metrics(measurements, [1001, 1002], [5, 6]).write(tmp_path)
    shown = {row[0]: row[1] for row in rows(tmp_path)}
    assert shown["latents of an autoencoder"].startswith("over 2 fresh data seeds, |Spearman| with log T_K 0.8")
    assert "ahead of the centroid (0.7) by 0.1" in shown["latents of an autoencoder"]
    law = shown["formula of T_K/D, searched for"]
    assert "of 2 fresh data seeds it finds the exponent in 1, the prefactor in 1, the term Gamma/U of the Bethe" in law


def test_only_the_part_between_the_markers_is_written():
    text = "before\n<!-- results -->\nold\n<!-- /results -->\nafter\n"
    assert with_table(text, "new") == "before\n<!-- results -->\nnew\n<!-- /results -->\nafter\n"


@pytest.mark.parametrize("text", ["", "<!-- results -->", "<!-- /results --> <!-- results -->"])
def test_a_readme_without_markers_is_refused(text):
    with pytest.raises(ValueError, match="put them around the table"):
        with_table(text, "new")
