"""A folder of micrographs becomes a valid store, whatever lies in it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.io import imsave
from tifffile import TiffWriter, imwrite

from stores.importers.images import ImageSettings, UnusableImage, find_images, import_images, read_grey, tiles_of
from stores.micrographs import MICROGRAPHS, tiny
from stores.schema import SchemaError
from stores.validate import validate
from stores.zarr_store import open_store, write_store
from tests.pipeline.commands.running import run

SMALL = ImageSettings(tile_px=16, stride_px=16)


def ramp(n_y: int, n_x: int) -> np.ndarray:
    """Grey of [0, 1] that differs everywhere."""
    return np.linspace(0, 1, n_y * n_x).reshape(n_y, n_x)


def save(path: Path, pixels: np.ndarray, **tags: Any) -> Path:
    """`tags`: of TIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if tags:
        imwrite(path, pixels, **tags)
    else:
        imsave(path, pixels, check_contrast=False)
    return path


def as_type(values: np.ndarray, dtype: str) -> np.ndarray:
    return (values * np.iinfo(dtype).max).round().astype(dtype)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_whole_numbers_come_back_as_grey(tmp_path: Path, suffix: str, dtype: str):
    path = save(tmp_path / f"a{suffix}", as_type(ramp(20, 24), dtype))
    np.testing.assert_allclose(read_grey(path, SMALL), ramp(20, 24), atol=1 / np.iinfo(dtype).max)


def test_jpeg_comes_back_nearly(tmp_path: Path):
    path = save(tmp_path / "a.jpg", as_type(ramp(32, 32), "uint8"))
    np.testing.assert_allclose(read_grey(path, SMALL), ramp(32, 32), atol=0.02)


def test_colour_is_weighed_by_rec_709_and_alpha_laid_over_white(tmp_path: Path):
    colour = np.zeros((16, 16, 3), dtype=np.uint8)
    colour[..., 1] = 255
    assert read_grey(save(tmp_path / "green.png", colour), SMALL) == pytest.approx(0.7154, abs=1e-3)
    with_alpha = np.concatenate([colour, np.full((16, 16, 1), 255, dtype=np.uint8)], axis=2)
    assert read_grey(save(tmp_path / "opaque.png", with_alpha), SMALL) == pytest.approx(0.7154, abs=1e-3)
    with_alpha[..., 3] = 0
    assert read_grey(save(tmp_path / "clear.png", with_alpha), SMALL) == pytest.approx(1)


def test_grey_with_alpha_is_laid_over_white(tmp_path: Path):
    from PIL import Image

    Image.new("LA", (16, 16), (0, 64)).save(tmp_path / "la.png")
    assert read_grey(tmp_path / "la.png", SMALL) == pytest.approx(1 - 64 / 255, abs=0.01)


def test_palette_and_black_and_white_are_read(tmp_path: Path):
    from PIL import Image

    grey = Image.fromarray(as_type(ramp(16, 16), "uint8"))
    grey.convert("P").save(tmp_path / "palette.png")
    grey.convert("1").save(tmp_path / "bilevel.png")
    np.testing.assert_allclose(read_grey(tmp_path / "palette.png", SMALL), ramp(16, 16), atol=0.01)
    assert set(np.unique(read_grey(tmp_path / "bilevel.png", SMALL))) == {0, 1}


@pytest.mark.parametrize(("suffix", "dtype"), [(".tif", "uint16"), (".png", "uint16"), (".tif", "uint32")])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_the_bits_of_the_camera_not_of_the_file_are_white(tmp_path: Path, suffix: str, dtype: str, bits: int):
    path = save(tmp_path / f"a{suffix}", (ramp(100, 100) * (2**bits - 1)).astype(dtype))
    assert read_grey(path, SMALL).max() == 1
    assert np.median(read_grey(path, ImageSettings(tile_px=16, grey="image"))) == pytest.approx(0.5, abs=0.01)


def test_images_of_one_folder_share_their_white(tmp_path: Path):
    save(tmp_path / "in" / "bright.tif", (ramp(16, 16) * 4000).astype(np.uint16))
    save(tmp_path / "in" / "dim.tif", (ramp(16, 16) * 900).astype(np.uint16))
    save(tmp_path / "in" / "eight.tif", (ramp(16, 16)[::-1] * 200).astype(np.uint8))
    report = import_images(tmp_path / "in", tmp_path / "m.zarr", SMALL)
    brightest = open_store(tmp_path / "m.zarr", MICROGRAPHS)["image"].values.max(axis=(1, 2))
    np.testing.assert_allclose(brightest, [4000 / 4095, 900 / 4095, 200 / 255], rtol=1e-6)
    assert report.peaks == {"uint16": 4000, "uint8": 200}
    dim = read_grey(tmp_path / "in" / "dim.tif", SMALL, peaks=report.peaks)
    assert dim.max() == pytest.approx(900 / 4095)


def grey8() -> Any:
    from PIL import Image

    return Image.fromarray(as_type(ramp(32, 32), "uint8"))


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("cmyk.jpg", "CMYK", {"quality": 95}),
        ("cmyk.tif", "CMYK", {}),
        ("cmyk_lzw.tif", "CMYK", {"compression": "tiff_lzw"}),
        ("lzw.tif", "L", {"compression": "tiff_lzw"}),
        ("jpeg.tif", "L", {"compression": "jpeg", "quality": 95}),
        ("jpeg_colour.tif", "RGB", {"compression": "jpeg", "quality": 95}),
        ("palette.tif", "P", {}),
        ("palette_lzw.tif", "P", {"compression": "tiff_lzw"}),
        ("rgba.tif", "RGBA", {}),
        ("rgba.png", "RGBA", {}),
        ("la.tif", "LA", {}),
        ("float.tif", "F", {}),
    ],
)
def test_colours_and_compressions_of_all_kinds_are_one_grey(tmp_path: Path, name: str, mode: str, options: dict):
    image = grey8()
    if mode == "F":
        image = image.point(lambda value: value / 255, "F")
    elif mode != "L":
        image = image.convert(mode) if mode in ("LA", "P") else image.convert("RGB").convert(mode)
    image.save(tmp_path / name, **options)
    np.testing.assert_allclose(read_grey(tmp_path / name, SMALL), ramp(32, 32), atol=0.03)


@pytest.mark.parametrize("compression", [None, "group4"])
def test_black_and_white_tiff_is_read(tmp_path: Path, compression: str | None):
    grey8().convert("1").save(tmp_path / "bit.tif", compression=compression)
    found = read_grey(tmp_path / "bit.tif", SMALL)
    assert set(np.unique(found)) == {0, 1}
    assert found[:8].mean() < found[-8:].mean()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_zero_is_white_where_the_file_says_so(tmp_path: Path, dtype: str):
    path = tmp_path / "a.tif"
    save(path, as_type(1 - ramp(16, 16), dtype), photometric="miniswhite")
    np.testing.assert_allclose(read_grey(path, SMALL), ramp(16, 16), atol=0.01)


def test_colours_multiplied_by_alpha_are_separated_from_those_that_are_not(tmp_path: Path):
    grey, alpha = np.full((16, 16), 100, dtype=np.uint8), np.full((16, 16), 128, dtype=np.uint8)
    for kind, expected in (("assocalpha", 100 + 127), ("unassalpha", 100 * 128 / 255 + 127)):
        path = tmp_path / f"{kind}.tif"
        save(path, np.stack([grey, grey, grey, alpha], axis=2), photometric="rgb", extrasamples=[kind])
        assert read_grey(path, SMALL).max() == pytest.approx(expected / 255, abs=0.005)


@pytest.mark.parametrize(("n_pages", "options"), [(2, {}), (3, {}), (4, {}), (6, {}), (5, {"imagej": True})])
@pytest.mark.parametrize("truncate", [False, True])
def test_every_page_is_an_image_of_the_group_of_its_file(tmp_path: Path, n_pages: int, options: dict, truncate: bool):
    pages = np.stack([as_type(np.roll(ramp(16, 20), k, axis=1), "uint8") for k in range(n_pages)])
    save(tmp_path / "in" / "b.tif", pages, photometric="minisblack", truncate=truncate, **options)
    save(tmp_path / "in" / "a.png", as_type(ramp(16, 16), "uint8"))
    report = import_images(tmp_path / "in", tmp_path / "m.zarr", SMALL)
    assert (report.n_images, report.skipped) == (1 + n_pages, {})
    dataset = open_store(tmp_path / "m.zarr", MICROGRAPHS).load()
    assert dataset["source"].values.tolist() == ["a.png", *(f"b.tif#{k + 1}" for k in range(n_pages))]
    assert dataset["group"].values.tolist() == [0] + [1] * n_pages
    np.testing.assert_allclose(dataset["image"].values[2], pages[1][:, 2:18] / 255, atol=1e-6)
    with pytest.raises(UnusableImage, match=f"found {n_pages} pages"):
        read_grey(tmp_path / "in" / "b.tif", SMALL)


def test_pages_that_cannot_be_used_are_named_and_thumbnails_are_no_pages(tmp_path: Path):
    (tmp_path / "in").mkdir()
    with TiffWriter(tmp_path / "in" / "a.tif") as writer:
        writer.write(as_type(ramp(32, 32), "uint8"))
        writer.write(as_type(ramp(16, 8), "uint8"))
        writer.write(as_type(ramp(16, 16), "uint8"), subfiletype=1)
        writer.write(np.full((16, 16), 9, dtype=np.uint8))
    report = import_images(tmp_path / "in", tmp_path / "m.zarr", SMALL)
    assert [image.name for image in report.images] == ["a.tif#1"]
    assert {name: reason[:14] for name, reason in report.skipped.items()} == {
        "a.tif#2": "found 16 x 8 p",
        "a.tif#3": "found no contr",
    }


def test_what_has_no_one_meaning_as_grey_is_refused(tmp_path: Path):
    save(
        tmp_path / "channels.tif",
        np.zeros((16, 16, 2), dtype=np.uint8),
        photometric="minisblack",
        planarconfig="contig",
    )
    grey8().convert("RGB").convert("LAB").save(tmp_path / "lab.tif")
    save(tmp_path / "complex.tif", ramp(16, 16).astype(np.complex64))
    for name, said in (("channels", "2 channels in one page"), ("lab", "CIELAB"), ("complex", "type complex64")):
        with pytest.raises(UnusableImage, match=said):
            read_grey(tmp_path / f"{name}.tif", SMALL)


def test_the_same_pixels_are_used_once_whatever_the_file(tmp_path: Path):
    for name in ("b.png", "a.tif", "c.tif"):
        save(tmp_path / "in" / name, as_type(ramp(20, 20), "uint8"))
    save(tmp_path / "in" / "d.png", as_type(ramp(20, 20)[::-1], "uint8"))
    report = import_images(tmp_path / "in", tmp_path / "m.zarr", SMALL)
    assert [image.name for image in report.images] == ["a.tif", "d.png"]
    again = "found the pixels of a.tif again, expected images that differ"
    assert report.skipped == {"b.png": again, "c.tif": again}


def test_floats_are_taken_as_they_are_or_stretched(tmp_path: Path):
    inside = save(tmp_path / "in.tif", ramp(16, 20).astype(np.float32))
    outside = save(tmp_path / "out.tif", (300 * ramp(16, 20) - 100).astype(np.float32))
    np.testing.assert_allclose(read_grey(inside, SMALL), ramp(16, 20), atol=1e-6)
    with pytest.raises(UnusableImage, match=r"floats from -100 to 200, expected \[0, 1\]; use grey 'image'"):
        read_grey(outside, SMALL)
    assert np.ptp(read_grey(outside, ImageSettings(tile_px=16, grey="image"))) == 1


@pytest.mark.parametrize(("crop", "n_rows"), [(0.1, 90), (0.25, 75), (7, 93), (0.0, 100)])
def test_the_scale_bar_is_cropped_by_fraction_or_rows(tmp_path: Path, crop: float, n_rows: int):
    path = save(tmp_path / "a.png", as_type(ramp(100, 40), "uint8"))
    grey = read_grey(path, ImageSettings(tile_px=16, crop_bottom=crop))
    assert grey.shape == (n_rows, 40)
    np.testing.assert_allclose(grey, ramp(100, 40)[:n_rows], atol=0.01)


def test_tiles_are_windows_of_the_image_with_shared_margins():
    image = ramp(53, 40).astype(np.float32)
    tiles, corners, n_flat = tiles_of(image, ImageSettings(tile_px=16, stride_px=16))
    assert corners.tolist() == [[y, x] for y in (2, 18, 34) for x in (4, 20)]
    assert n_flat == 0
    for tile, (y, x) in zip(tiles, corners, strict=True):
        np.testing.assert_array_equal(tile, image[y : y + 16, x : x + 16])
    overlapping, _, _ = tiles_of(image, ImageSettings(tile_px=16, stride_px=8))
    assert len(overlapping) == 5 * 4


def test_flat_tiles_are_dropped_and_flat_images_refused():
    image = np.zeros((16, 48), dtype=np.float32)
    image[5, 20] = 1
    tiles, corners, n_flat = tiles_of(image, SMALL)
    assert (len(tiles), corners.tolist(), n_flat) == (1, [[0, 16]], 2)
    with pytest.raises(UnusableImage, match="no contrast"):
        tiles_of(np.full((16, 16), 0.5, dtype=np.float32), SMALL)


def mixed_folder(folder: Path) -> Path:
    """Two good images of different sizes, and one of each kind of bad file."""
    good = save(folder / "steel" / "a.png", as_type(ramp(40, 50), "uint16"))
    save(folder / "b.jpg", as_type(ramp(16, 64), "uint8"))
    (folder / "half.png").write_bytes(good.read_bytes()[:200])
    (folder / "half.jpg").write_bytes((folder / "b.jpg").read_bytes()[:400])
    tiff = save(folder / "half.tif", as_type(ramp(64, 64), "uint8"))
    tiff.write_bytes(tiff.read_bytes()[:1000])
    (folder / "text.png").write_text("not an image")
    (folder / "empty.tif").touch()
    save(folder / "tiny.png", as_type(ramp(9, 50), "uint8"))
    grey8().convert("RGB").convert("LAB").save(folder / "lab.tif")
    save(folder / "flat.png", np.full((20, 20), 7, dtype=np.uint8))
    save(folder / "nan.tif", np.full((20, 20), np.nan, dtype=np.float32))
    (folder / "notes.txt").write_text("ignored")
    save(folder / ".hidden" / "c.png", as_type(ramp(40, 40), "uint8"))
    return folder


BAD = {"half.png", "half.jpg", "half.tif", "text.png", "empty.tif", "tiny.png", "lab.tif", "flat.png", "nan.tif"}


def test_bad_files_are_named_and_skipped_and_the_rest_is_a_valid_store(tmp_path: Path):
    out = tmp_path / "m.zarr"
    report = import_images(mixed_folder(tmp_path / "in"), out, SMALL)
    assert set(report.skipped) == BAD
    assert (report.n_images, report.n_tiles) == (2, 4 + 6)
    assert "found 9 x 50 px" in report.skipped["tiny.png"]
    assert "CIELAB" in report.skipped["lab.tif"]
    assert "400 NaN" in report.skipped["nan.tif"]
    assert "cannot be read as an image" in report.skipped["half.png"]
    assert validate(out) == []
    dataset = open_store(out, MICROGRAPHS).load()
    assert dict(zip(dataset["skipped_file"].values, dataset["skipped_reason"].values, strict=True)) == report.skipped
    assert dataset["group"].values.tolist() == [0] * 4 + [1] * 6
    assert dataset["source"].values.tolist() == ["b.jpg"] * 4 + ["steel/a.png"] * 6
    row = 4 + 1
    y, x = int(dataset["tile_y"].values[row]), int(dataset["tile_x"].values[row])
    np.testing.assert_allclose(dataset["image"].values[row], ramp(40, 50)[y : y + 16, x : x + 16], atol=1e-4)
    assert np.isnan(dataset["pixel_size_um"].values).all()


def test_nothing_skipped_is_a_valid_store_too_and_the_hash_repeats(tmp_path: Path):
    save(tmp_path / "in" / "a.png", as_type(ramp(40, 50), "uint8"))
    settings = ImageSettings(tile_px=16, stride_px=16, pixel_size_um=0.05)
    first, second = (import_images(tmp_path / "in", tmp_path / f"{k}.zarr", settings) for k in (1, 2))
    assert first.hash == second.hash
    dataset = open_store(tmp_path / "1.zarr", MICROGRAPHS).load()
    assert dataset.sizes["skipped"] == 0
    assert (dataset["pixel_size_um"].values == 0.05).all()
    assert json.loads(dataset.attrs["settings"])["tile_px"] == 16


def test_all_bad_is_an_error_that_names_each_and_leaves_the_old_store(tmp_path: Path):
    save(tmp_path / "good" / "a.png", as_type(ramp(40, 50), "uint8"))
    import_images(tmp_path / "good", tmp_path / "m.zarr", SMALL)
    folder = mixed_folder(tmp_path / "in")
    (folder / "b.jpg").unlink()
    (folder / "steel" / "a.png").unlink()
    with pytest.raises(ValueError, match="none of the 8 image files can be used") as raised:
        (folder / "half.tif").unlink()
        import_images(folder, tmp_path / "m.zarr", SMALL)
    assert all(name in str(raised.value) for name in BAD - {"half.tif"})
    assert validate(tmp_path / "m.zarr") == []


def test_what_is_no_store_is_never_replaced(tmp_path: Path):
    folder = mixed_folder(tmp_path / "in")
    for out in (folder, folder / "notes.txt"):
        with pytest.raises(ValueError, match="something that is no store"):
            import_images(folder, out, SMALL)
    assert (folder / "b.jpg").is_file()
    assert (folder / "notes.txt").read_text() == "ignored"


def test_a_name_that_is_no_utf_8_is_kept_readable(tmp_path: Path):
    save(tmp_path / "in" / "a.png", as_type(ramp(20, 20), "uint8")).rename(tmp_path / "in" / "a\udcff.png")
    import_images(tmp_path / "in", tmp_path / "m.zarr", SMALL)
    assert open_store(tmp_path / "m.zarr", MICROGRAPHS)["source"].values.tolist() == [r"a\udcff.png"]


def test_an_empty_or_missing_folder_is_reported(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="found no folder"):
        find_images(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"found no \.png, .* file in it or below"):
        find_images(tmp_path)


def test_all_bad_settings_are_reported_at_once():
    with pytest.raises(ValueError) as raised:
        ImageSettings(tile_px=4, stride_px=0, crop_bottom=2.5, grey="lab", pixel_size_um=-1)  # type: ignore[arg-type]
    for name in ("tile_px", "stride_px", "crop_bottom", "grey", "pixel_size_um"):
        assert f"{name} = " in str(raised.value)


def test_the_command_tells_what_it_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "m.zarr"
    run(
        "import-dataset",
        *["images", str(mixed_folder(tmp_path / "in")), "--out", str(out), "--tile", "16", "--crop-bottom", "0.1"],
    )
    message = capsys.readouterr()
    assert "skipped half.png: cannot be read" in message.err
    assert "of 1 images, 10 skipped" in message.out  # b.jpg has only 14 rows left
    assert validate(out) == []


def test_the_example_is_valid_and_a_mixed_group_is_not(tmp_path: Path):
    write_store(tmp_path / "m.zarr", MICROGRAPHS, tiny())
    mixed = tiny()
    mixed["group"].values[:] = 0
    with pytest.raises(SchemaError, match="one group for each file"):
        write_store(tmp_path / "n.zarr", MICROGRAPHS, mixed)
