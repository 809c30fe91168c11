"""Stage `microstructures`: what is drawn, and that neither shards nor workers change an image."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from pydantic import PositiveFloat

from models.physics.microstructure.generator import GENERATORS as GENERATOR_REGISTRY
from models.physics.microstructure.generator import Generator, uniform
from models.settings import Range, settings
from pipeline.microstructure import microstructures
from pipeline.microstructure.microstructures import MicrostructuresParams, draw_micrographs, generate, make_shard
from pipeline.runtime.params import ParamsError, build, load_params, read_section
from stores.manifest import read_manifest
from stores.microstructures import GENERATORS, open_microstructures, rows_of
from stores.outcome import FAILED
from stores.validate import validate
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
    drawn = [m for m in draw_micrographs(params) if m.code == code]
    return {name: np.array([getattr(m.point, name) for m in drawn]) for name in vars(drawn[0].point)}


def with_points(params: MicrostructuresParams, **n_points: int) -> MicrostructuresParams:
    """The same params with other numbers of points of the named generators."""
    changed = {name: replace(params.generators[name], n_points=n) for name, n in n_points.items()}
    return replace(params, generators=params.generators | changed)


def test_the_store_is_valid_and_its_metrics_tell_its_size(workplace: Path):
    generate(TINY)
    assert validate(microstructures.OUT) == []
    dataset = open_microstructures(microstructures.OUT).load()
    message = json.loads(Path("reports/metrics/microstructures.json").read_text())
    assert message == {
        "n_images": dataset.sizes["sample"],
        "n_failed": 0,
        "hash": read_manifest(microstructures.OUT).hash,
    }
    assert set(dataset["generator"].values) == {0, 1, 2, 3, 4}
    assert dataset["image"].shape[1:] == TINY.shape


def test_neither_shards_nor_workers_change_a_bit_of_the_store(workplace: Path, monkeypatch):
    few = with_points(TINY, lamellae=6, phase_order=4)
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
    more = with_points(TINY, lamellae=3 * TINY.generators["lamellae"].n_points)
    for name in ("angle", "noise_strength", "scale_px"):
        before, after = columns(TINY, "lamellae")[name], columns(more, "lamellae")[name]
        np.testing.assert_array_equal(after[: before.size], before)


def test_realisations_share_their_point_and_differ_in_the_image():
    drawn = draw_micrographs(TINY)
    first, second = drawn[0], drawn[1]
    assert first.group == second.group
    assert first.point == second.point
    images = make_shard([first, second], seed=TINY.seed)["image"]
    assert np.abs(images[0] - images[1]).max() > 0.1
    groups = [m.group for m in drawn]
    n_points = sum(generator.n_points for generator in TINY.generators.values())
    assert sorted(set(groups)) == list(range(n_points))


def test_points_fill_their_ranges_evenly():
    message = columns(DEFAULT, "lamellae")
    assert message["angle"].size == 400
    for name, (low, high), of in (
        ("angle", (0, np.pi), np.asarray),
        ("noise_strength", DEFAULT.generators["lamellae"].noise_strength, np.log),
        ("scale_px", DEFAULT.generators["lamellae"].scale_px, np.log),
    ):
        folder = (of(message[name]) - of(low)) / (of(high) - of(low))
        counts, _ = np.histogram(folder, bins=10, range=(0, 1))
        assert counts.sum() == 400, name
        assert counts.min() >= 30, name
    order = columns(DEFAULT, "phase_order")["phase_order"]
    assert 0 <= order.min() < 0.03
    assert 0.97 < order.max() <= 1


def test_an_image_that_cannot_be_made_is_recorded_in_its_row():
    drawn = draw_micrographs(TINY)[:3]

    class Broken:
        def make(self, point, rng):
            raise FloatingPointError("it blew up")

    class Flat:
        def make(self, point, rng):
            return np.full(point.shape, 0.5)

    rows = make_shard([drawn[0], replace(drawn[1], generator=Broken()), replace(drawn[2], generator=Flat())], seed=0)
    assert rows["status"].tolist() == [0, FAILED, FAILED]
    assert rows["failure"].tolist() == [
        "",
        "FloatingPointError: it blew up",
        "ArithmeticError: the image has no contrast",
    ]
    assert not rows["image"][1:].any()


def test_all_bad_params_are_reported_at_once():
    section = read_section("microstructures", ROOT / "params.yaml")
    lamellae, phase_order, voronoi, cahn_hilliard, matched_order = section["generators"].values()
    lamellae["scale_px"] = [9, 3]
    lamellae["noise_strength"] = [0, 1]
    phase_order["phase_order"] = [0, 2]
    phase_order["clip"] = 3
    voronoi["n_points"] = -1
    cahn_hilliard["composition"] = [-1, 1]
    matched_order["n_iterations"] = 0
    with pytest.raises(ParamsError) as raised:
        build(MicrostructuresParams, section, "microstructures", "params.yaml")
    for key in (
        "generators.lamellae.scale_px",
        "generators.lamellae.noise_strength",
        "generators.phase_order.phase_order",
        "generators.phase_order.clip",
        "generators.voronoi.n_points",
        "generators.cahn_hilliard.composition",
        "generators.matched_order.n_iterations",
    ):
        assert key in str(raised.value)


def test_cells_wider_than_half_the_image_and_nothing_to_make_are_refused():
    with pytest.raises(ValueError, match=r"lamellae.scale_px: found 16, expected at most half the image, 10 px"):
        replace(DEFAULT, shape=(20, 128))
    with pytest.raises(ValueError, match="n_points 0 for all generators"):
        with_points(DEFAULT, **dict.fromkeys(DEFAULT.generators, 0))


@settings
class Checks(Generator):
    """What a new file in models/physics/microstructure holds."""

    parameters: ClassVar[Mapping[str, str]] = {"scale_px": "px", "contrast": "dimensionless"}
    scale_px: Range[PositiveFloat]

    def draw(self, u, shape, *, periodic):
        return Check(shape=shape, scale_px=uniform(u[0], self.scale_px), contrast=0.2 + 0.8 * float(u[1]))

    def make(self, point, rng):
        rows, columns = (np.arange(n) // point.scale_px for n in point.shape)
        return 0.5 + 0.5 * point.contrast * (-1) ** (rows[:, None] + columns)


@dataclass(frozen=True, kw_only=True)
class Check:
    shape: tuple[int, int]
    scale_px: float
    contrast: float


def test_a_generator_defined_elsewhere_runs_the_stage_once_it_is_registered(workplace: Path):
    cells = "voronoi: {n_points: 2, n_realisations: 1, scale_px: [3, 5], wall_width: 0.2, wall_depth: 0.5}"
    checks = "checks: {n_points: 3, n_realisations: 2, scale_px: [2, 4]}"
    common = "seed: 0, shape: [16, 16], periodic: false, images_per_shard: 5"
    Path("params.yaml").write_text(f"microstructures: {{{common}, generators: {{{cells}, {checks}}}}}")
    with GENERATOR_REGISTRY.registered("checks", Checks):
        microstructures.main()
    assert validate(microstructures.OUT) == []
    store = open_microstructures(microstructures.OUT)
    rows = rows_of(store, "checks")
    assert rows.tolist() == list(range(2, 8))
    assert (store["contrast"].values[rows] >= 0.2).all()
    assert np.isnan(store["contrast"].values[:2]).all()
    assert store["contrast"].attrs["units"] == "dimensionless"
    assert np.isfinite(store["scale_px"].values).all()
    assert json.loads(store.attrs["generators"]) == ["voronoi", "checks"]


def test_an_unknown_generator_is_refused_with_the_list():
    section = read_section("microstructures", ROOT / "params.yaml")
    section["generators"]["foam"] = {"n_points": 1}
    with pytest.raises(ParamsError, match=r"found 'foam', expected one of \['cahn_hilliard', 'lamellae'"):
        build(MicrostructuresParams, section, "microstructures", "params.yaml")
