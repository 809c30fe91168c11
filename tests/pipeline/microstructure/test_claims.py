"""The order that only statistics beyond pairs can see, on a data seed of its own."""

import json
from dataclasses import asdict

import yaml

from pipeline.microstructure import claims
from pipeline.microstructure.descriptor_comparison import ComparisonParams, choose, development_key
from pipeline.runtime.params import build
from pipeline.runtime.replication import replicated_lanes
from tests.pipeline.microstructure.test_descriptor_comparison import SETTINGS


def test_a_data_seed_draws_its_own_images_and_names_the_best_rival(tmp_path, monkeypatch):
    params = build(ComparisonParams, SETTINGS, "comparison", "test")
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    picks = [asdict(pick) for pick in choose(params, "matched_order")]
    (tmp_path / "choice_matched_order.json").write_text(json.dumps({"key": development_key(params), "picks": picks}))
    monkeypatch.setattr(claims, "SETTINGS", tmp_path / "settings.yaml")
    monkeypatch.setattr(claims, "CHOICES", tmp_path)
    lane = replicated_lanes()["microstructure"]
    first, again, other = (lane.measure(tmp_path, seed) for seed in (7, 7, 8))
    assert [one.claim for one in first] == ["matched_order_cnn", "matched_order_cnn_linear"]
    assert first == again
    assert first[0].value != other[0].value
    assert {one.baseline for one in first} <= {"grey histogram", "two point"}  # neither the network nor a control


def test_the_choice_that_is_kept_is_that_of_the_settings():
    params = build(ComparisonParams, yaml.safe_load(claims.SETTINGS.read_text()), "comparison", "settings")
    for generator in ("matched_order", "phase_order"):
        chosen = json.loads((claims.CHOICES / f"choice_{generator}.json").read_text())
        assert chosen["key"] == development_key(params)
