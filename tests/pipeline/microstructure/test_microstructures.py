"""Stage `microstructures`: what is drawn, and that neither shards nor workers change an image."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.microstructure import microstructures
from pipeline.microstructure.microstructures import MicrostructuresParams, draw_micrographs, generate, make_shard
from pipeline.runtime.params import ParamsError, build, load_params, read_section
from stores.manifest import read_manifest
from stores.microstructures import GENERATORS, MICROSTRUCTURES
from stores.outcome import FAILED
from stores.validate import validate
from stores.zarr_store import open_store
from tests.profiles import section_params

ROOT = Path(__file__).parents[3]
DEFAULT = load_params(MicrostructuresParams, "microstructures", ROOT / "params.yaml")
TINY = section_params(MicrostructuresParams, "microstructures", "tiny")


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    monkeypatch.setenv("LATENTLAW_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path


def hash_of(params: MicrostructuresParams) -> str:
    generate(params)
    return read_manifest(microstructures.OUT).hash


def columns(params: MicrostructuresParams, generator: str) -> dict[str, np.ndarray]:
    code = GENERATORS.index(generator)
    drawn = [m for m in draw_micrographs(params) if m.generator == code]
    return {name: np.array([getattr(m.params, name) for m in drawn]) for name in vars(drawn[0].params)}


def test_the_store_is_valid_and_its_metrics_tell_its_size(workplace: Path):
    generate(TINY)
    assert validate(microstructures.OUT) == []
    dataset = open_store(microstructures.OUT, MICROSTRUCTURES).load()
    told = json.loads(microstructures.METRICS.read_text())
    assert told == {"n_images": dataset.sizes["sample"], "n_failed": 0, "hash": read_manifest(microstructures.OUT).hash}
    assert set(dataset["generator"].values) == {0, 1, 2, 3}
    assert dataset["image"].shape[1:] == TINY.shape


def test_neither_shards_nor_workers_change_a_bit_of_the_store(workplace: Path, monkeypatch):
    few = replace(TINY, lamellae=replace(TINY.lamellae, n_points=6), phase_order=replace(TINY.phase_order, n_points=4))
    serial = hash_of(few)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "threads")
    monkeypatch.setenv("LATENTLAW_WORKERS", "3")
    monkeypatch.setenv("LATENTLAW_SCRATCH", str(workplace / "other"))
    assert hash_of(few) == serial
    assert hash_of(replace(few, images_per_shard=7)) == serial


def test_images_do_not_depend_on_their_shard():
    drawn = draw_micrographs(TINY)[::5]
    together = make_shard(drawn, seed=TINY.seed)
    for position, one in enumerate(drawn):
        np.testing.assert_array_equal(make_shard([one], seed=TINY.seed)["image"][0], together["image"][position])


def test_more_points_keep_the_ones_before():
    more = replace(TINY, lamellae=replace(TINY.lamellae, n_points=3 * TINY.lamellae.n_points))
    for name in ("angle", "noise_strength", "scale_px"):
        before, after = columns(TINY, "lamellae")[name], columns(more, "lamellae")[name]
        np.testing.assert_array_equal(after[: before.size], before)


def test_realisations_share_their_point_and_differ_in_the_image():
    drawn = draw_micrographs(TINY)
    first, second = drawn[0], drawn[1]
    assert first.group == second.group
    assert first.params == second.params
    images = make_shard([first, second], seed=TINY.seed)["image"]
    assert np.abs(images[0] - images[1]).max() > 0.1
    groups = [m.group for m in drawn]
    n_points = sum(getattr(TINY, name).n_points for name in GENERATORS)
    assert sorted(set(groups)) == list(range(n_points))


def test_points_fill_their_ranges_evenly():
    told = columns(DEFAULT, "lamellae")
    assert told["angle"].size == 400
    for name, (low, high), of in (
        ("angle", (0, np.pi), np.asarray),
        ("noise_strength", DEFAULT.lamellae.noise_strength, np.log),
        ("scale_px", DEFAULT.lamellae.scale_px, np.log),
    ):
        place = (of(told[name]) - of(low)) / (of(high) - of(low))
        counts, _ = np.histogram(place, bins=10, range=(0, 1))
        assert counts.sum() == 400, name
        assert counts.min() >= 30, name
    order = columns(DEFAULT, "phase_order")["phase_order"]
    assert 0 <= order.min() < 0.03
    assert 0.97 < order.max() <= 1


def test_an_image_that_cannot_be_made_is_recorded_in_its_row():
    drawn = draw_micrographs(TINY)[:3]

    def broken(params, rng):
        raise FloatingPointError("it blew up")

    def flat(params, rng):
        return np.full(params.shape, 0.5)

    rows = make_shard([drawn[0], replace(drawn[1], make=broken), replace(drawn[2], make=flat)], seed=0)
    assert rows["status"].tolist() == [0, FAILED, FAILED]
    assert rows["failure"].tolist() == [
        "",
        "FloatingPointError: it blew up",
        "ArithmeticError: the image has no contrast",
    ]
    assert not rows["image"][1:].any()


def test_all_bad_params_are_told_at_once():
    section = read_section("microstructures", ROOT / "params.yaml")
    section["lamellae"]["scale_px"] = [9, 3]
    section["lamellae"]["noise_strength"] = [0, 1]
    section["phase_order"]["phase_order"] = [0, 2]
    section["phase_order"]["clip"] = 3
    section["voronoi"]["n_points"] = -1
    section["cahn_hilliard"]["composition"] = [-1, 1]
    with pytest.raises(ParamsError) as raised:
        build(MicrostructuresParams, section, "microstructures", "params.yaml")
    for key in (
        "lamellae.scale_px",
        "lamellae.noise_strength",
        "phase_order.phase_order",
        "phase_order.clip",
        "voronoi.n_points",
        "cahn_hilliard.composition",
    ):
        assert key in str(raised.value)


def test_cells_wider_than_half_the_image_and_nothing_to_make_are_refused():
    with pytest.raises(ValueError, match=r"lamellae.scale_px: found 16, expected at most half the image, 10 px"):
        replace(DEFAULT, shape=(20, 128))
    nothing = {name: replace(getattr(DEFAULT, name), n_points=0) for name in GENERATORS}
    with pytest.raises(ValueError, match="n_points 0 for all generators"):
        replace(DEFAULT, **nothing)
