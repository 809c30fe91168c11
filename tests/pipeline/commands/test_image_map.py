"""The map page holds every tile it says, its atlas is a PNG, and no name of a file becomes markup."""

import json
import re
from io import BytesIO

import numpy as np
import pytest
from matplotlib.image import imread

from pipeline.commands.image_map import MappedTile, grey_png, image_map, shrunk, thinned


def page(n: int, names: int = 3, **options: int) -> str:
    tiles = [MappedTile(file=f"</script><b>{i % names}.png", tile=i, top_px=0, left_px=16 * i) for i in range(n)]
    images = np.random.default_rng(0).random((n, 20, 20))
    return image_map(tiles, list(images), np.arange(3.0 * n).reshape(n, 3), title="A & B", notes=["n < 5"], **options)


def data_of(html: str) -> dict:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


def test_every_tile_is_a_point_with_its_place_and_coordinates():
    data = data_of(page(7))
    assert len(data["points"]) == 7
    assert data["points"][4] == [1, 4, 0, 64, 12.0, 13.0, 14.0]


def test_the_page_needs_nothing_beside_it_and_names_stay_text():
    html = page(5)
    assert re.findall(r'(?:src|href)="[^"]+"|url\(|https?://', html) == []
    assert "</script><b>" not in html and "A &amp; B" in html and "n &lt; 5" in html
    assert data_of(html)["files"][0] == "</script><b>0.png"


def test_more_tiles_than_fit_are_thinned_and_reported():
    html = page(50, max_thumbnails=12)
    points = data_of(html)["points"]
    assert len(points) <= 12 and {p[0] for p in points} == {0, 1, 2}
    assert f"{len(points)} of 50 tiles are drawn" in html


def test_thinning_keeps_the_share_of_each_file():
    kept = thinned(["a"] * 80 + ["b"] * 20, 10)
    assert [sum(i < 80 for i in kept), sum(i >= 80 for i in kept)] == [8, 2]


def test_the_png_is_read_back_as_it_was():
    pixels = np.random.default_rng(0).integers(0, 256, (13, 31), dtype=np.uint8)
    np.testing.assert_array_equal((imread(BytesIO(grey_png(pixels))) * 255).round(), pixels)


@pytest.mark.parametrize("shape", [(7, 7), (48, 48), (200, 130)])
def test_thumbnails_have_one_shape_and_use_all_grey_levels(shape: tuple[int, int]):
    small = shrunk(np.random.default_rng(0).random(shape), 48)
    assert small.shape == (48, 48) and small.min() == 0 and small.max() == 255


def test_shrinking_averages():
    assert shrunk(np.kron([[0.0, 1.0], [2.0, 4.0]], np.ones((5, 5))), 2).tolist() == [[0, 64], [128, 255]]
