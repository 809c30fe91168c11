"""What chooses never meets what is reported; a descriptor of constant features says nothing."""

from dataclasses import replace

import numpy as np
import pytest

from models.registry import Chosen
from pipeline.microstructure import descriptor_comparison
from pipeline.microstructure.descriptor_comparison import (
    ComparisonParams,
    choose,
    compare,
    development_key,
    draw,
    matched_order_claim,
)
from pipeline.runtime.params import build

SETTINGS = {
    "shape": [32, 32],
    "generators": {
        "lamellae": {"n_points": 12, "n_realisations": 2, "noise_strength": [0.3, 4.0], "scale_px": [4.0, 8.0]},
        "matched_order": {
            "n_points": 12,
            "n_realisations": 2,
            "phase_order": [0.0, 1.0],
            "scale_px": [6.0, 8.0],
            "wall_width": 0.2,
            "n_iterations": 10,
        },
    },
    "spent_seeds": [0, 1],
    "development_seeds": [5],
    "development_points": 40,
    "evaluation_seeds": [7, 8],
    "evaluated": {"matched_order": {"parameter": "phase_order", "chosen_on": ["lamellae"]}},
    "families": {
        "minkowski": [{"name": "minkowski", "levels_sigmas": [-1.0, 1.0], "length_px": 4.0, "periodic": True}],
        "grey_histogram": [{"name": "grey_histogram", "n_bins": 8, "range_sigmas": 4.0, "highest_moment": 4}],
        "two_point": [
            {"name": "two_point_radial", "maximum_lag": 2, "periodic": True},
            {"name": "two_point_centred", "maximum_lag": 8, "periodic": True},
        ],
        "moments": [{"name": "grey_moments", "n_bins": 8, "range_sigmas": 4.0, "highest_moment": 4}],
    },
    "network": "minkowski",
    "controls": ["moments"],
    "random_seed": 0,
    "n_axes": 64,
    "n_neighbours": 6,
    "max_dimension": 4,
    "minimum_gain": 0.01,
    "fold_seeds": [0, 1],
    "n_folds": 3,
    "n_bootstrap": 20,
}


@pytest.fixture(scope="module")
def params() -> ComparisonParams:
    return build(ComparisonParams, SETTINGS, "comparison", "this test")


@pytest.fixture(scope="module")
def picks(params: ComparisonParams):
    return choose(params, "matched_order")


def drawn_by(monkeypatch, run) -> set[tuple[str, int]]:
    """Generator and seed of all data that `run` draws."""
    seen = set()

    def recording(params, generator, seed, n_points=None):
        seen.add((generator, seed))
        return draw(params, generator, seed, n_points)

    monkeypatch.setattr(descriptor_comparison, "draw", recording)
    run()
    return seen


def test_choosing_and_comparing_draw_different_data(params, picks, monkeypatch):
    assert drawn_by(monkeypatch, lambda: choose(params, "matched_order")) == {("lamellae", 5)}
    report = drawn_by(monkeypatch, lambda: compare(params, picks, development_key(params), "matched_order"))
    assert report == {("matched_order", 7), ("matched_order", 8)}


def test_the_choice_is_the_best_candidate_on_development_data(params, picks):
    """Lags of 2 px of a radial function know nothing of the angle of lamellae."""
    chosen = {(pick.family, pick.readout): pick for pick in picks}
    assert set(chosen) == {(family, readout) for family in params.families for readout in ("linear", "kernel")}
    for readout in ("linear", "kernel"):
        assert chosen["two_point", readout].candidate == 1
    assert chosen["two_point", "kernel"].method is None
    assert chosen["two_point", "linear"].method in ("isomap", "mds")


def test_a_choice_made_with_other_settings_is_refused(params, picks):
    for changed in (replace(params, development_points=41), replace(params, spent_seeds=(0, 1, 2))):
        with pytest.raises(ValueError, match="choose anew"):
            compare(changed, picks, development_key(params), "matched_order")
    assert development_key(replace(params, evaluation_seeds=(9,))) == development_key(params)


def test_what_does_not_vary_says_nothing_and_the_claim_names_the_best_baseline(params, picks):
    lines = compare(params, picks, development_key(params), "matched_order")
    found = {(line.family, line.readout, line.parameter): line for line in lines}
    for readout in ("linear", "kernel"):
        flat = found["grey_histogram", readout, "phase_order"]
        assert flat.constant
        assert tuple(flat.r2) == (0, 0, 0)
        own = found["minkowski", readout, "phase_order"]
        assert tuple(own.difference) == (0, 0, 0)
        assert flat.difference.value == pytest.approx(own.r2.value)
        assert len(own.by_seed) == 2
        claim = matched_order_claim(lines, params, readout)
        rivals = [found[family, readout, "phase_order"] for family in ("grey_histogram", "two_point")]
        best = max(rivals, key=lambda line: line.r2.value)
        assert (claim["baseline"], claim["baseline_value"]) == (best.family, best.r2.value)
        assert claim["difference"] == pytest.approx(claim["value"] - claim["baseline_value"])
        assert claim["difference_low"] <= claim["difference"] <= claim["difference_high"]


def test_evaluation_data_repeat_and_depend_on_their_seed(params):
    first, samples = draw(params, "matched_order", 7)
    again, _ = draw(params, "matched_order", 7)
    other, _ = draw(params, "matched_order", 8)
    np.testing.assert_array_equal(first, again)
    assert abs(first - other).max() > 0.1
    assert first.shape == (24, 32, 32)
    np.testing.assert_array_equal(np.bincount(samples.groups_N)[samples.groups_N], 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluation_seeds": [7, 1]}, r"found \[1\], which development used, expected fresh ones"),
        ({"evaluation_seeds": [5]}, r"found \[5\], which development used"),
        (
            {"evaluated": {"lamellae": {"parameter": "mean", "chosen_on": ["lamellae"]}}},
            "found itself in chosen_on, expected other generators only",
        ),
        ({"network": "vgg"}, "found 'vgg', expected some of"),
        (
            {"evaluated": {"lamellae": {"parameter": "mean", "chosen_on": ["cahn_hilliard"]}}},
            "found generator 'cahn_hilliard'",
        ),
    ],
)
def test_settings_that_would_let_data_meet_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        build(ComparisonParams, SETTINGS | changes, "comparison", "this test")


def test_candidates_are_checked_when_they_are_read(params):
    assert all(isinstance(candidate, Chosen) for family in params.families.values() for candidate in family)
    with pytest.raises(ValueError, match="no_descriptor"):
        build(ComparisonParams, SETTINGS | {"families": {"minkowski": [{"name": "no_descriptor"}]}}, "c", "this test")
