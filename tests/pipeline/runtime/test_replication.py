"""A lane that is drawn, run and measured anew for every seed; intervals over data seeds."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pipeline.runtime import replication
from pipeline.runtime.replication import (
    Measured,
    ReplicatedLane,
    claims_of,
    differs,
    interval,
    measure,
    replicated_lanes,
    replication_metrics,
)
from pipeline.runtime.replication_records import Measurement

BASE = "spectra: {seed: 0, width: 1}\nlatents: {n: 2}\n"


def measurement(seed, *values, box="default", kind="correlation", baseline_value=None):
    measured = [
        {
            "claim": "truth",
            "rows": "test",
            "kind": kind,
            "value": value,
            "training_seed": i,
            "baseline": "" if baseline_value is None else "centroid",
            "baseline_value": baseline_value,
        }
        for i, value in enumerate(values)
    ]
    return Measurement.model_validate({"lane": "x", "box": box, "data_seed": seed, "measured": measured})


def test_an_interval_covers_the_mean_over_data_seeds_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        _, low, high = interval(list(rng.normal(1.0, 0.3, 5)), "number")
        inside += low <= 1.0 <= high
    assert 0.92 <= inside / 400 <= 0.98


def test_a_correlation_near_one_has_an_interval_below_one():
    value, low, high = interval([0.99, 0.995, 0.998], "correlation")
    assert low < value < high < 1
    assert value == pytest.approx(np.tanh(np.mean(np.arctanh([0.99, 0.995, 0.998]))))


def test_a_rate_has_the_exact_binomial_interval():
    assert interval([1, 1, 1, 1, 0], "rate") == pytest.approx(
        (0.8, *stats.binomtest(4, 5).proportion_ci(method="exact"))
    )


def test_trainings_of_one_data_set_are_no_independent_values():
    """Ten equal trainings of each of two data seeds: as wide an interval as one training each gives."""
    many = claims_of([measurement(1, *[0.9] * 10, kind="number"), measurement(2, *[0.8] * 10, kind="number")])[0]
    one = claims_of([measurement(1, 0.9, kind="number"), measurement(2, 0.8, kind="number")])[0]
    assert (many.low, many.high) == pytest.approx((one.low, one.high))
    assert (many.n_data_seeds, many.n_trainings) == (2, 20)


def test_one_seed_has_a_value_and_no_interval_and_boxes_stay_apart():
    claims = claims_of([measurement(1, 0.9), measurement(1, 0.7, box="shifted")])
    assert [(c.box, c.value, c.low, c.high) for c in claims] == [
        ("default", pytest.approx(0.9), None, None),
        ("shifted", pytest.approx(0.7), None, None),
    ]


def test_the_distance_from_the_baseline_is_paired():
    claims = claims_of(
        [measurement(s, 0.5 + 0.1 * s, kind="number", baseline_value=0.4 + 0.1 * s) for s in range(1, 5)]
    )[0]
    assert (claims.ahead, claims.ahead_low, claims.ahead_high) == pytest.approx((0.1, 0.1, 0.1))
    assert claims.high - claims.low > 0.1
    assert claims.lowest == pytest.approx(0.6)


@pytest.fixture
def lane(tmp_path, monkeypatch):
    """Its stage `spectra` writes what params say, and how often it ran."""
    code = tmp_path / "code"
    (code / "pipeline").mkdir(parents=True)
    (code / "pipeline/__init__.py").touch()
    (code / "pipeline/spectra.py").write_text(
        "import pathlib\n"
        "runs = pathlib.Path('runs.txt')\n"
        "runs.write_text((runs.read_text() if runs.exists() else '') + 'x')\n"
        "text = pathlib.Path('params.yaml').read_text()\n"
        "assert 'seed: 13' not in text, 'an unlucky seed'\n"
        "pathlib.Path('result.txt').write_text(text)\n"
    )
    monkeypatch.setattr(replication, "CODE", code)
    monkeypatch.setattr(replication, "content_key", lambda stage, *shaping, also=(): json.dumps(shaping))
    lanes = {
        "x": ReplicatedLane(
            stages=("spectra",),
            changes=lambda seed, trainings: {"spectra": {"seed": seed}},
            also=(),
            measure=lambda folder, seed: [
                Measured(claim="width", rows=(folder / "result.txt").read_text(), kind="number", value=1.0)
            ],
        )
    }
    monkeypatch.setattr(replication, "replicated_lanes", lambda: lanes)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs/replication"


def test_every_data_seed_runs_in_a_folder_of_its_own_with_the_params_of_its_box(lane):
    for box, overlay in (("default", {}), ("wide", {"spectra": {"width": 9}, "latents": {"n": 3}})):
        rows = measure("x", box, overlay, 1001, [1, 2], base=BASE).measured[0].rows
        assert "seed: 1001" in rows
        assert f"width: {9 if box == 'wide' else 1}" in rows
    assert sorted(folder.name for folder in lane.iterdir()) == ["x_default_1001", "x_wide_1001"]


def test_what_is_done_is_not_run_again_and_what_changed_is(lane):
    for _ in range(2):
        measure("x", "default", {}, 1001, [1], base=BASE)
    assert (lane / "x_default_1001/runs.txt").read_text() == "x"
    measure("x", "default", {}, 1001, [1], base=BASE.replace("width: 1", "width: 2"))
    assert (lane / "x_default_1001/runs.txt").read_text() == "xx"


def test_a_seed_that_was_measured_elsewhere_is_not_run_again(lane):
    there = measure("x", "default", {}, 1001, [1], base=BASE)
    shutil.rmtree(lane)  # data and runs stay on the machine that made them
    assert measure("x", "default", {}, 1001, [1], base=BASE) == there
    assert not (lane / "x_default_1001/runs.txt").exists()
    measure("x", "default", {}, 1001, [1], base=BASE.replace("width: 1", "width: 2"))
    assert (lane / "x_default_1001/runs.txt").read_text() == "x"


def test_params_of_a_later_stage_leave_the_earlier_ones_alone_and_not_the_other_way_round(lane, monkeypatch):
    code = replication.CODE / "pipeline"
    (code / "latents.py").write_text((code / "spectra.py").read_text().replace("runs.txt", "later.txt"))
    one = replication.replicated_lanes()["x"]
    monkeypatch.setattr(replication, "replicated_lanes", lambda: {"x": replace(one, stages=("spectra", "latents"))})
    for base in (BASE, BASE.replace("n: 2", "n: 3"), BASE.replace("width: 1", "width: 2")):
        measure("x", "default", {}, 1001, [1], base=base)
    assert (lane / "x_default_1001/runs.txt").read_text() == "xx"
    assert (lane / "x_default_1001/later.txt").read_text() == "xxx"


def test_a_box_that_changes_nothing_of_a_lane_is_not_run_for_it(lane):
    assert differs("x", {})
    assert differs("x", {"spectra": {"width": 9}, "latents": {"n": 3}})
    assert not differs("x", {"latents": {"n": 3}})


def test_a_stage_that_fails_ends_the_run_and_is_run_again(lane):
    import subprocess

    for _ in range(2):
        with pytest.raises(subprocess.CalledProcessError) as error:
            measure("x", "default", {}, 13, [1], base=BASE)
        assert error.value.cmd == [sys.executable, "-m", "pipeline.spectra"]
    assert (lane / "x_default_13/runs.txt").read_text() == "xx"


def test_metrics_hold_the_claims_and_all_that_they_were_made_of(tmp_path):
    metrics = replication_metrics([measurement(1001, 0.9, 0.8), measurement(1002, 0.7, 0.9)], [1001, 1002], [5, 6])
    metrics.write(tmp_path)
    content = json.loads((tmp_path / "reports/metrics/replication.json").read_text())
    assert content["data_seeds"] == [1001, 1002]
    assert content["training_seeds"] == [5, 6]
    assert {"claim", "rows", "value", "low", "high", "baseline", "baseline_value"} <= set(content["claims"][0])
    assert len(content["measurements"]) == 2


def test_the_lanes_that_are_replicated_change_seeds_that_their_params_have():
    """Overlays fit the committed params.yaml, whatever the seeds are."""
    from pipeline.runtime.profiles import apply_profile
    from pipeline.runtime.protocol import read_protocol

    root = Path(__file__).parents[3]
    text = (root / "params.yaml").read_text()
    assert "impurity" in replicated_lanes()
    for lane in replicated_lanes().values():
        for overlay in (lane.changes(1001, [1001, 1002]), *read_protocol().boxes.values()):
            assert apply_profile(text, overlay, "test")
