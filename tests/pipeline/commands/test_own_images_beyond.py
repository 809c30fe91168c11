"""Whole images against surrogates: the null is what a Gaussian image reaches, and structure goes beyond it."""

import numpy as np
import pytest

from models.descriptors.descriptor import DescriptorSettings, make_descriptor
from models.descriptors.efficientnet import EfficientNetSettings
from models.physics.microstructure.phase_order import PhaseOrder, phase_order
from pipeline.commands.own_images_beyond import beyond_two_point

TILE, N = 48, 20


def cut_out(order: float) -> list[np.ndarray]:
    rngs = [np.random.default_rng(np.random.SeedSequence(5, spawn_key=(i,))) for i in range(N)]
    params = PhaseOrder(phase_order=order, scale_px=12, shape=(320, 320))
    return [phase_order(params, rng)[:200, :200] for rng in rngs]


def judged(images: list[np.ndarray], owners: list[int] | None = None) -> dict:
    settings = DescriptorSettings(EfficientNetSettings(layers=("b3",)))
    descriptor = make_descriptor("efficientnet", settings, (TILE, TILE))
    return beyond_two_point(images, np.array(owners or range(len(images))), descriptor, TILE, 0)


def test_a_gaussian_image_reaches_the_null_and_no_more():
    found = judged(cut_out(1.0))
    assert found["held_out"] == "image" and found["n_tiles"] == 16 * N
    assert found["phases"]["auc"] < found["null"]["high"] + 0.05
    assert found["phases"]["auc"] < 0.7


def test_cells_go_far_beyond_it():
    found = judged(cut_out(0.0))
    assert found["phases"]["low"] > 0.95 > found["null"]["high"] + 0.1
    assert found["phases_and_grey_levels"]["low"] > 0.9


def test_few_images_are_held_out_by_tile_and_reported():
    assert judged(cut_out(1.0)[:2])["held_out"] == "tile"


def test_slices_of_few_stacks_are_held_out_by_tile_too():
    assert judged(cut_out(1.0)[:6], [0, 0, 0, 1, 1, 1])["held_out"] == "tile"


def test_too_few_tiles_are_refused():
    with pytest.raises(ValueError, match="found 4 tiles, expected at least 5"):
        judged([cut_out(1.0)[0][:100, :100]])
