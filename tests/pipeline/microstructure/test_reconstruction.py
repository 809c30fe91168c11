"""The stage on a store of few small images: what it writes, and that its pieces do what they say."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.microstructure import reconstruction
from pipeline.microstructure.report.beyond_section import beyond_section
from pipeline.microstructure.tile_ratios import WindowParams, tile_ratios, tiles_of
from stores.microstructures import GENERATORS, MICROSTRUCTURES, PARAMETERS
from stores.zarr_store import write_store
from tests.profiles import params_text

ROOT = Path(__file__).parents[3]
SIZE = 64


def make_store(path: Path, n: int = 12, *, periodic: bool = True) -> None:
    """Straight stripes and blobs of noise, one image of each parameter point."""
    import xarray as xr

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE] * 2 * np.pi / SIZE
    stripes = [0.5 + 0.5 * np.tanh(3 * np.cos(k * x + 2 * y + rng.random())) for k in range(3, 3 + n)]
    noise = np.fft.fft2(rng.standard_normal((n, SIZE, SIZE)))
    low = np.exp(-300 * (np.fft.fftfreq(SIZE)[:, None] ** 2 + np.fft.fftfreq(SIZE)[None] ** 2))
    blobs = np.fft.ifft2(noise * low).real
    blobs = (blobs - blobs.min()) / np.ptp(blobs)
    columns = {name: np.full(2 * n, np.nan) for name in PARAMETERS}
    for name, owners in PARAMETERS.items():
        for code, generator in enumerate(("lamellae", "phase_order")):
            if generator in owners:
                columns[name][code * n : (code + 1) * n] = np.linspace(0.1, 0.9, n)
    columns |= {
        "image": np.concatenate([stripes, blobs]).astype(np.float32),
        "generator": np.repeat([GENERATORS.index("lamellae"), GENERATORS.index("phase_order")], n).astype(np.int8),
        "group": np.arange(2 * n),
        "status": np.zeros(2 * n, dtype=np.int8),
        "failure": np.full(2 * n, "", dtype=object),
    }
    dataset = xr.Dataset(
        {v.name: (v.dims, columns[v.name], v.attrs) for v in MICROSTRUCTURES.variables},
        attrs={"settings": "{}", "generators": json.dumps(GENERATORS), "periodic": periodic},
    )
    write_store(path, MICROSTRUCTURES, dataset)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_store(tmp_path / "data/microstructures.zarr")
    (tmp_path / "params.yaml").write_text(params_text("tiny"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_stage_writes_its_metrics_and_its_pictures(folder: Path):
    reconstruction.main()
    metrics = json.loads((folder / "reports/metrics/beyond_two_point.json").read_text())
    params = yaml.safe_load((folder / "params.yaml").read_text())["reconstruction"]
    found = {(r["generator"], r["descriptor"], r["surrogate"]): r for r in metrics["results"]}
    for generator in params["beyond"]["generators"]:
        control = found[generator, "two_point", "phases"]
        assert control["auc"] == pytest.approx(0.5, abs=0.02)
    assert all(0 <= r["low"] <= r["high"] <= 1 for r in metrics["results"])
    assert found["lamellae", "efficientnet", "phases"]["auc"] > 0.9
    with np.load(folder / "reports/microstructures/reconstruction.npz") as arrays:
        assert arrays["names"].tolist() == params["generators"]
        assert {arrays[key].shape for key in ("target", "surrogate", "image")} == {(1, SIZE, SIZE)}
    section = beyond_section(folder)
    assert section.anchor == "microstructures-beyond"
    assert all("NaN" not in str(block) for block in section.blocks)


def test_images_that_do_not_wrap_around_get_a_null(folder: Path):
    shutil.rmtree(folder / "data/microstructures.zarr")
    make_store(folder / "data/microstructures.zarr", periodic=False)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["textures"]["settings"]["efficientnet"]["layers"] = ["b1"]
    params["reconstruction"]["beyond"]["descriptors"] = ["efficientnet"]
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    reconstruction.main()
    results = json.loads((folder / "reports/metrics/beyond_two_point.json").read_text())["results"]
    nulls = {(r["generator"], r["surrogate"]): r.get("null") for r in results}
    assert nulls["phase_order", "phases"] is None  # always periodic
    assert 0 <= nulls["lamellae", "phases"]["auc"] <= 1


def test_a_generator_without_images_is_reported_with_its_cure(folder: Path):
    text = (folder / "params.yaml").read_text()
    params = yaml.safe_load(text)
    params["reconstruction"]["beyond"]["generators"] = ["voronoi"]
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(ValueError, match=r"no image of voronoi .* raise microstructures\.voronoi\.n_points"):
        reconstruction.main()


def test_tiles_cover_the_image_once_and_are_centred():
    image = np.arange(70 * 37).reshape(70, 37).astype(float)
    tiles = tiles_of(image, 16)
    assert tiles.shape == (8, 16, 16)
    np.testing.assert_array_equal(tiles[0], image[3:19, 2:18])
    np.testing.assert_array_equal(tiles[-1], image[51:67, 18:34])
    assert tiles_of(image, 40).shape == (0, 40, 40)


def test_the_ratio_of_repeating_textures_falls_with_the_tile():
    y, x = np.mgrid[:128, :128]
    images = [np.cos(2 * np.pi * (x * np.cos(a) + y * np.sin(a)) / 11) for a in (0.1, 0.6, 1.1, 1.6)]
    params = WindowParams(layer="b1", tiles=(16, 32, 64), threshold=0.25, max_images=10)
    found = tile_ratios(images, np.arange(4), params)
    assert found["ratios"]["64"] < found["ratios"]["16"]
    assert found["recommended_px"] in (16, 32, 64)


def test_tiles_larger_than_all_images_are_refused_with_the_reason():
    params = WindowParams(layer="b1", tiles=(100,), threshold=0.25, max_images=10)
    with pytest.raises(ValueError, match="100 px: found 0 images with two tiles or more"):
        tile_ratios([np.random.default_rng(0).random((64, 64))] * 3, np.arange(3), params)
