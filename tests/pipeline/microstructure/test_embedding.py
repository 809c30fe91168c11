"""Stage `embedding` on small stores: what it writes, that it repeats itself, and how it refuses."""

import csv
import json
from pathlib import Path

import pytest

from models.laws.symbolic_engine import EngineUnavailable
from pipeline.microstructure import embedding
from pipeline.microstructure.embedding_goals import best, goals
from pipeline.runtime.params import ParamsError
from tests.pipeline.microstructure.micrograph_stores import NAMES, write_stores

PARAMS = """
embedding:
  methods: [isomap, mds]
  n_axes: 20
  n_landmarks: {n_landmarks}
  landmark_seed: 0
  n_neighbours: 8
  max_dimension: 5
  minimum_gain: 0.01
  seeds: {seeds}
  n_folds: {n_folds}
  n_regression_neighbours: 4
  n_bootstrap: 20
  max_rows: 1000
  max_rows_pairs: 1000
  search:
    descriptor: {descriptor}
    method: mds
    engine: library
    seed: 0
    n_seeds: 1
    max_rows: 100
    test_fraction: 0.2
    extrapolation_fraction: 0.1
    confidence: 0.95
    n_bootstrap: 20
    engines:
      operon: {{population: 50, generations: 2, raw_generations: 2, max_length: 10}}
      library: {{max_power: 1, max_total: 1, max_terms: 2, beam: 5}}
"""
DEFAULTS = {"n_landmarks": 1000, "seeds": "[0, 1, 2]", "n_folds": 4, "descriptor": "efficientnet"}
METRICS, DETAILS = Path("reports/metrics/embedding.json"), Path("reports/details/embedding.json")


def write_params(**changes):
    Path("params.yaml").write_text(PARAMS.format(**DEFAULTS | changes))


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_stores(tmp_path)
    write_params()
    return tmp_path


def test_metrics_have_the_shape_that_scripts_rely_on(project):
    embedding.main()
    results = json.loads(METRICS.read_text())["results"]
    keys = {(r["generator"], r["descriptor"], r["method"]) for r in results}
    assert keys == {(g, d, m) for g in ("lamellae", "phase_order") for d in NAMES for m in ("isomap", "mds")}
    names = {"lamellae": {"angle", "noise_strength", "scale_px"}, "phase_order": {"phase_order", "scale_px"}}
    for record in results:
        assert list(record) == [
            "generator",
            "descriptor",
            "method",
            "dimension",
            "linear_r2",
            "knn_r2",
            "trustworthiness",
            "low",
            "high",
        ]
        assert set(record["linear_r2"]) == set(record["knn_r2"]) == names[record["generator"]] | {"mean"}
        assert record["low"] <= record["linear_r2"]["mean"] <= record["high"]
    message = best(results, "phase_order", "efficientnet", "phase_order")["linear_r2"]["phase_order"]
    assert message > 0.95
    assert best(results, "phase_order", "two_point", "phase_order")["linear_r2"]["phase_order"] < 0.3


def test_details_hold_intervals_curves_and_formulas(project):
    embedding.main()
    details = json.loads(DETAILS.read_text())
    for message in details["maps"]:
        assert len(message["residual_variance"]) == len(message["linear_r2_by_dimension"]) <= 5
        assert 1 <= message["dimension"] <= 5
        assert len(message["linear_r2"]["mean"]) == len(message["trustworthiness"]) == 3
    cells = details["laws"][1]
    assert cells["associations"]["coordinate 1"]["phase_order"]["spearman"][0] ** 2 > 0.9
    assert "is the phase order t" in cells["meaning"][0]
    assert cells["formulas"][0]["r2_test"] > 0.9
    with Path("reports/embedding/lamellae_two_point_mds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 48
    assert list(rows[0])[:3] == ["image_row", "group", "coordinate_1"]


def test_a_descriptor_that_is_the_same_for_all_images_of_a_generator_has_no_map_of_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_stores(tmp_path, constant_on_cells=True)
    write_params()
    embedding.main()
    assert json.loads(DETAILS.read_text())["constant"] == [{"generator": "phase_order", "descriptor": "two_point"}]
    keys = {(r["generator"], r["descriptor"]) for r in json.loads(METRICS.read_text())["results"]}
    assert keys == {("lamellae", "efficientnet"), ("lamellae", "two_point"), ("phase_order", "efficientnet")}
    assert "two_point is the same for all images of phase_order: no map" in capsys.readouterr().out


def test_two_runs_give_the_same_bytes(project):
    embedding.main()
    written = {path: path.read_bytes() for path in Path("reports").rglob("*") if path.is_file()}
    embedding.main()
    assert all(path.read_bytes() == content for path, content in written.items())


def test_landmarks_change_the_numbers_little(project):
    embedding.main()
    whole = json.loads(METRICS.read_text())["results"]
    write_params(n_landmarks=30)
    embedding.main()
    part = json.loads(METRICS.read_text())["results"]
    found = [best(r, "phase_order", "efficientnet", "phase_order")["linear_r2"]["phase_order"] for r in (whole, part)]
    assert found[1] == pytest.approx(found[0], abs=0.05)


def test_fewer_points_than_folds_are_refused_before_any_map(project):
    write_params(n_folds=30)
    with pytest.raises(
        ValueError, match=r"lamellae: found 24 parameter points, expected at least n_folds = 30.*phase_"
    ):
        embedding.main()
    assert not Path("reports").exists()


def test_an_unknown_descriptor_is_refused_with_those_there_are(project):
    write_params(descriptor="vgg19")
    with pytest.raises(ValueError, match=r"found 'vgg19', expected one of \['efficientnet', 'two_point'\]"):
        embedding.main()


def test_fewer_than_three_seeds_are_refused(project):
    write_params(seeds="[0, 0, 1]")
    with pytest.raises(ParamsError, match="expected at least 3 different ones"):
        embedding.main()


def test_an_engine_that_cannot_run_is_reported_before_anything_is_written(project, monkeypatch):
    def missing(search):
        raise EngineUnavailable("pysr", "no Julia", "install Julia")

    monkeypatch.setattr("pipeline.microstructure.coordinate_laws.CoordinateSearch.choose_engine", missing)
    with pytest.raises(EngineUnavailable, match="To do: install Julia"):
        embedding.main()
    assert not Path("reports").exists()


def record(generator, descriptor, **r2):
    return {"generator": generator, "descriptor": descriptor, "method": "mds", "linear_r2": r2}


def test_goals_are_judged_by_the_better_map_of_the_network_and_the_best_of_its_rivals():
    results = [
        record("lamellae", "efficientnet", mean=0.90),
        record("lamellae", "efficientnet", mean=0.70),
        record("lamellae", "two_point", mean=0.50),
        record("lamellae", "two_point", mean=0.20),
        record("phase_order", "efficientnet", phase_order=0.95),
        record("phase_order", "two_point", phase_order=-0.1),
        record("phase_order", "log_power_spectrum", phase_order=0.2),
    ]
    message = {goal["goal"]: goal for goal in goals(results)}
    assert [goal["reached"] for goal in message.values()] == [True, False, True, False]
    assert [round(goal["found"], 3) for goal in message.values()] == [0.9, 1.8, 0.95, 0.2]
    assert goals([]) == []
