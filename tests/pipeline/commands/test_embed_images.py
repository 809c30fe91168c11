"""A folder of images of our own, good and bad, through the command: what it writes and what it says."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imsave
from tifffile import imwrite

from tests.pipeline.commands.running import run

SIZE = 150


def stripes(angle: float, wavelength: float, seed: int, shape: tuple[int, int] = (SIZE, SIZE + 30)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    noise = np.random.default_rng(seed).normal(size=shape) * 0.3
    wave = np.cos(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / wavelength)
    return (np.clip(0.5 + 0.4 * wave + 0.1 * noise, 0, 1) * 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "mine"
    (found / "below").mkdir(parents=True)
    for i in range(3):
        imsave(found / f"fine_{i}.png", stripes(0.2, 7, i), check_contrast=False)
        imsave(found / "below" / f"coarse_{i}.png", stripes(1.4, 14, i), check_contrast=False)
    (found / "broken.png").write_bytes(b"\x89PNG but no more")
    imsave(found / "tiny.png", stripes(0, 5, 0, (12, 12)), check_contrast=False)
    return found


def summary_of(folder: Path, out: Path, *options: str) -> dict:
    run("embed-images", str(folder), "--out", str(out), "--tile", "48", "--layer", "b3", *options)
    return json.loads((out / "summary.json").read_text())


def test_a_folder_becomes_a_table_a_page_and_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    out = tmp_path / "out"
    summary = summary_of(folder, out)
    message = capsys.readouterr()
    assert message.out.count("\n") == 1
    assert "54 tiles of 6 images (2 skipped), efficientnet, isomap of dimension" in message.out
    assert sorted(summary["skipped"]) == ["broken.png", "tiny.png"]
    assert "skipped broken.png: " in message.err and "skipped tiny.png: found 12 x 12 px" in message.err
    with (out / "embedding.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 54
    assert rows[0]["file"] == "below/coarse_0.png"
    assert [int(rows[4][key]) for key in ("tile", "top_px", "left_px")] == [4, 51, 66]
    page = (out / "map.html").read_text()
    assert "below/coarse_0.png" in page and "http" not in page
    assert sorted(path.name for path in out.iterdir()) == [
        ".latentlaw.json",
        "embedding.csv",
        "map.html",
        "summary.json",
    ]


def test_tiles_of_one_kind_lie_together(folder: Path, tmp_path: Path):
    summary_of(folder, tmp_path / "out", "--method", "mds")
    with (tmp_path / "out/embedding.csv").open() as file:
        rows = list(csv.DictReader(file))
    first = np.array([float(row["coordinate_1"]) for row in rows])
    fine = np.array(["fine" in row["file"] for row in rows])
    assert first[fine].min() > first[~fine].max() or first[fine].max() < first[~fine].min()


def test_the_diagnostics_are_reported_and_kept(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    summary = summary_of(folder, tmp_path / "out", "--beyond-two-point", "--windows", "32", "48", "900")
    beyond, window = summary["beyond_two_point"], summary["window"]
    assert (beyond["n_tiles"], beyond["held_out"]) == (54, "image")
    assert 0 <= beyond["phases"]["low"] <= beyond["phases"]["auc"] <= 1
    assert 0 <= beyond["null"]["auc"] <= 1
    assert set(window["ratios"]) == {"32", "48"}
    message = capsys.readouterr().out
    assert (
        "same two-point function: AUC" in message
        and "Gaussian fields, cut out alike" in message
        and "Within- over between-image distance" in message
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tile", "500", "--layer", "b3"], r"none of the 8 image files can be used\n.*choose a smaller tile"),
        (["--tile", "48", "--layer", "b7"], "smaller than the receptive field of layer b7.*layers up to b3"),
        (["--tile", "48", "--layer", "c7"], "--layer: found 'c7', expected one of stem, b0"),
        (["--tile", "48", "--descriptor", "two_point", "--layer", "b3"], "which has no layers"),
        (["--tile", "48", "--layer", "b3", "--crop-bottom", "-1"], "crop_bottom"),
    ],
)
def test_what_does_not_fit_is_one_message(folder: Path, tmp_path: Path, options: list[str], said: str):
    with pytest.raises(ValueError, match=f"(?s){said}"):
        run("embed-images", str(folder), "--out", str(tmp_path / "out"), *options)


@pytest.mark.parametrize("descriptor", ["two_point", "two_point_radial", "log_power_spectrum"])
def test_every_descriptor_fits_a_small_tile(folder: Path, tmp_path: Path, descriptor: str):
    run(
        "embed-images",
        *[str(folder), "--out", str(tmp_path / "out"), "--tile", "60", "--descriptor", descriptor, "--method", "mds"],
    )
    assert descriptor in json.loads((tmp_path / "out" / "summary.json").read_text())["summary"]


def test_a_folder_without_images_is_reported_and_nothing_is_written(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty: found no \.png.* file"):
        summary_of(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="found no folder"):
        summary_of(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_tiles_are_too_few(tmp_path: Path):
    (tmp_path / "in").mkdir()
    imsave(tmp_path / "in" / "only.png", stripes(0, 7, 0, (60, 100)), check_contrast=False)
    with pytest.raises(ValueError, match="found 2 tiles in 1 images that differ, expected at least 3 tiles"):
        summary_of(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_copies_of_one_image_are_reported_and_no_map_is_made_of_them(tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "in").mkdir()
    for i in range(20):
        imsave(tmp_path / "in" / f"{i:02d}.png", stripes(0, 7, 0, (60, 60)), check_contrast=False)
    with pytest.raises(ValueError, match=r"found 1 tiles in 1 images that differ, .* \(19 skipped\).*add images"):
        summary_of(tmp_path / "in", tmp_path / "out")
    assert "skipped 19.png: found the pixels of 00.png again, expected images that differ" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["mds", "isomap"])
def test_tiles_that_repeat_themselves_have_a_map(tmp_path: Path, method: str):
    """Stripes as wide as the tile, without noise: every tile of an image is a copy of its neighbours."""
    (tmp_path / "in").mkdir()
    x = np.arange(192)
    for period in (6, 12, 24):
        wave = 0.5 + 0.4 * np.cos(2 * np.pi * x / period)
        pixels = np.tile((wave * 255).astype(np.uint8), (96, 1))
        imsave(tmp_path / "in" / f"{period}.png", pixels, check_contrast=False)
    assert summary_of(tmp_path / "in", tmp_path / "out", "--method", method)["dimension"]["dimension"] in (1, 2)


def test_pages_of_a_stack_are_images_of_their_own_also_in_the_diagnostics(tmp_path: Path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        pages = np.stack([stripes(0.2 if name == "a" else 1.4, 7, i) for i in range(3)])
        imwrite(tmp_path / "in" / f"{name}.tif", pages, photometric="minisblack")
    summary = summary_of(tmp_path / "in", tmp_path / "out", "--windows", "48")
    assert "54 tiles of 6 images" in summary["summary"]
    assert 0 < summary["window"]["ratios"]["48"] < 0.5  # slices of one stack are one image
    assert "b.tif#3" in (tmp_path / "out" / "embedding.csv").read_text()


def test_names_that_are_no_utf_8_reach_the_diagnostics(folder: Path, tmp_path: Path):
    (folder / "fine_0.png").rename(folder / "fine\udcff.png")
    assert "window" in summary_of(folder, tmp_path / "out", "--windows", "48")


def test_names_of_files_are_no_formulas_in_the_table_and_steer_no_terminal(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    (folder / "fine_0.png").rename(folder / "=HYPERLINK(1).png")
    (folder / "broken.png").rename(folder / "broken\x1b[31m.png")
    out = tmp_path / "out"
    run("embed-images", str(folder), "--out", str(out), "--tile", "60", "--descriptor", "two_point", "--method", "mds")
    with (out / "embedding.csv").open() as file:
        named = {row["file"] for row in csv.DictReader(file)}
    assert "./=HYPERLINK(1).png" in named and all((folder / name).is_file() for name in named)
    assert not {name for name in named if name.startswith(("=", "+", "-", "@"))}
    said = capsys.readouterr()
    assert "broken\\x1b[31m.png" in said.err and "\x1b" not in said.err + said.out
