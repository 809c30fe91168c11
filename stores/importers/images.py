"""A folder of micrographs (PNG, TIFF, JPEG) as a store of square grey tiles (stores.micrographs).

    read      8- and 16-bit integers, floats, colour, palette; alpha is laid over white
    grey      of the colours by the weights of Rec. 709; values by `grey`:
                  dtype   the whole range of the file's number type becomes [0, 1] (floats must lie there already)
                  image   the 0.1 % and 99.9 % quantiles of each image become 0 and 1 (12 bits in a 16-bit file, floats)
    crop      the strip at the bottom with scale bar and legend
    tile      as many as fit, `stride_px` apart, the margin left over shared by both sides; flat ones are dropped

A file that cannot be used - damaged, smaller than a tile, a stack of pages, without contrast - is skipped and named.
Files are read twice, once to check and count and once to write, so that memory holds one image at a time.
"""

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stores.building import building, require_replaceable, store_kind
from stores.micrographs import MICROGRAPHS
from stores.validate import require_valid
from stores.zarr_store import StoreWriter

__all__ = [
    "SUFFIXES",
    "ImageSettings",
    "ImportReport",
    "UnusableImage",
    "find_images",
    "import_images",
    "read_grey",
    "tiles_of",
]

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # PNG, JPEG, TIFF, BigTIFF
SMALLEST_TILE_PX = 8
QUANTILES = (0.001, 0.999)
FloatImage = NDArray[np.float32]


class UnusableImage(ValueError):
    """One file cannot be used; the message says what was found and what was expected."""


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """How files are read and cut. `crop_bottom` below 1 is a fraction of the height, else a number of rows."""

    tile_px: int = 128
    stride_px: int = 128
    crop_bottom: float = 0.0
    grey: Literal["dtype", "image"] = "dtype"
    pixel_size_um: float | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.tile_px < SMALLEST_TILE_PX:
            problems.append(f"tile_px = {self.tile_px}: expected a whole number >= {SMALLEST_TILE_PX}")
        if self.stride_px < 1:
            problems.append(f"stride_px = {self.stride_px}: expected a whole number >= 1")
        if not (math.isfinite(self.crop_bottom) and self.crop_bottom >= 0):
            problems.append(f"crop_bottom = {self.crop_bottom:g}: expected a fraction in [0, 1) or a number of rows")
        elif self.crop_bottom >= 1 and self.crop_bottom != int(self.crop_bottom):
            problems.append(f"crop_bottom = {self.crop_bottom:g}: expected a whole number of rows from 1 on")
        if self.grey not in ("dtype", "image"):
            problems.append(f"grey = {self.grey!r}: expected 'dtype' or 'image'")
        size = self.pixel_size_um
        if size is not None and not (math.isfinite(size) and size > 0):
            problems.append(f"pixel_size_um = {size:g}: expected a number > 0")
        if problems:
            raise ValueError("ImageSettings: " + "; ".join(problems))


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What became of the files; `skipped` maps a path inside the folder to the reason."""

    n_images: int
    n_tiles: int
    n_flat_tiles: int
    skipped: dict[str, str]
    hash: str


def import_images(folder: Path, out: Path, settings: ImageSettings) -> ImportReport:
    """Write the store `out` from all images in `folder`, replacing a store of images that was there.

    Raises ValueError where no file can be used (naming each) or `out` holds something else, FileNotFoundError where
    there is no file.
    """
    require_replaceable(out, store_kind(MICROGRAPHS))
    files = find_images(folder)
    counts: dict[Path, int] = {}
    skipped: dict[str, str] = {}
    n_flat = 0
    for file in files:
        try:
            tiles, _, flat = tiles_of(read_grey(file, settings), settings)
        except UnusableImage as error:
            skipped[_name(file, folder)] = str(error)
            continue
        counts[file] = len(tiles)
        n_flat += flat
    if not counts:
        told = "\n".join(f"  {name}: {reason}" for name, reason in skipped.items())
        raise ValueError(f"{folder}: none of the {len(files)} image files can be used\n{told}")
    with building(out, store_kind(MICROGRAPHS)) as workplace:
        writer = StoreWriter(
            workplace,
            MICROGRAPHS,
            sizes={
                "sample": sum(counts.values()),
                "y": settings.tile_px,
                "x": settings.tile_px,
                "skipped": len(skipped),
            },
            coordinates={},
            attributes={"settings": json.dumps(asdict(settings), sort_keys=True)},
        )
        for group, (file, n_tiles) in enumerate(counts.items()):
            for name, rows in _rows(file, folder, group, n_tiles, settings).items():
                writer.write(name, rows)
        writer.write("skipped_file", np.array(list(skipped), dtype=object))
        writer.write("skipped_reason", np.array(list(skipped.values()), dtype=object))
        manifest = writer.finish()
        require_valid(workplace, MICROGRAPHS)
    return ImportReport(
        n_images=len(counts),
        n_tiles=sum(counts.values()),
        n_flat_tiles=n_flat,
        skipped=skipped,
        hash=manifest.hash,
    )


def find_images(folder: Path) -> list[Path]:
    """All image files in the folder and below, in the order of their paths; hidden ones are left out."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: found no folder, expected one with {', '.join(SUFFIXES)} files")
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise FileNotFoundError(f"{folder}: found no {', '.join(SUFFIXES)} file in it or below; choose another folder")
    return sorted(found, key=lambda path: _name(path, folder))


def read_grey(path: Path, settings: ImageSettings) -> FloatImage:
    """The image without its bottom strip, grey in [0, 1], (n_y, n_x). Raises UnusableImage."""
    from skimage.io import imread

    try:
        with path.open("rb") as stream:
            begin = stream.read(len(SIGNATURES[0]))
        if not begin.startswith(SIGNATURES):
            raise ValueError(f"it begins with {begin!r}, expected a PNG, TIFF or JPEG file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders warn of odd metadata, which plays no part here
            pixels = np.asarray(imread(path))
    except Exception as error:  # decoders raise errors of many kinds on damaged files
        raise UnusableImage(f"cannot be read as an image ({type(error).__name__}: {_first_line(error)})") from error
    grey = _one_channel(_unit_range(pixels, stretch=settings.grey == "image"))
    n_y = grey.shape[0]
    strip = math.ceil(settings.crop_bottom * n_y) if settings.crop_bottom < 1 else int(settings.crop_bottom)
    kept = grey[: max(0, n_y - strip)]
    if min(kept.shape) < settings.tile_px:
        cropped = f" after {strip} rows at the bottom were cropped" if strip else ""
        raise UnusableImage(
            f"found {kept.shape[0]} x {kept.shape[1]} px (height x width){cropped}, expected at least one tile of "
            f"{settings.tile_px} px; choose a smaller tile"
        )
    if settings.grey == "image":
        low, high = np.quantile(kept, QUANTILES)
        kept = (kept - low) / max(high - low, np.finfo(np.float64).tiny)
    return np.asarray(np.clip(kept, 0, 1), dtype=np.float32)


def tiles_of(image: FloatImage, settings: ImageSettings) -> tuple[FloatImage, NDArray[np.int64], int]:
    """Tiles (n, tile, tile), their corners (n, 2) as (y, x) [px], and how many flat ones were dropped.

    Raises UnusableImage where all are flat.
    """
    starts = [_starts(n_px, settings) for n_px in image.shape]
    corners = np.array([(y, x) for y in starts[0] for x in starts[1]], dtype=np.int64)
    tiles = np.stack([image[y : y + settings.tile_px, x : x + settings.tile_px] for y, x in corners])
    has_contrast = tiles.min(axis=(1, 2)) < tiles.max(axis=(1, 2))
    if not has_contrast.any():
        raise UnusableImage("found no contrast in any tile, expected an image")
    return tiles[has_contrast], corners[has_contrast], int((~has_contrast).sum())


def _starts(n_px: int, settings: ImageSettings) -> Sequence[int]:
    n_tiles = (n_px - settings.tile_px) // settings.stride_px + 1
    margin = n_px - settings.tile_px - (n_tiles - 1) * settings.stride_px
    return [margin // 2 + k * settings.stride_px for k in range(n_tiles)]


def _unit_range(pixels: NDArray[Any], *, stretch: bool) -> NDArray[np.float64]:
    """Values of the file as floats, the range of its number type as [0, 1]."""
    kind = pixels.dtype.kind
    if kind == "b":
        return pixels.astype(np.float64)
    if kind in "ui":
        if kind == "i" and pixels.size and pixels.min() < 0 and not stretch:
            raise UnusableImage(f"found negative {pixels.dtype} values, expected grey from 0 on; use grey 'image'")
        return np.asarray(pixels / np.iinfo(pixels.dtype).max, dtype=np.float64)
    if kind != "f":
        raise UnusableImage(f"found values of type {pixels.dtype}, expected whole or real numbers")
    if not np.isfinite(pixels).all():
        raise UnusableImage(f"found {int((~np.isfinite(pixels)).sum())} NaN or infinite pixels, expected finite ones")
    if not stretch and pixels.size and (pixels.min() < 0 or pixels.max() > 1):
        raise UnusableImage(
            f"found floats from {pixels.min():g} to {pixels.max():g}, expected [0, 1]; use grey 'image'"
        )
    return pixels.astype(np.float64)


def _one_channel(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colours to grey, alpha over white."""
    from skimage.color import rgb2gray

    if values.ndim == 2:
        return values
    if values.ndim != 3 or values.shape[2] not in (1, 2, 3, 4):
        raise UnusableImage(
            f"found an array of shape {values.shape}, expected one grey or colour image; save pages as files"
        )
    n_channels = values.shape[2]
    opaque = values if n_channels in (1, 3) else values[..., :-1] * values[..., -1:] + 1 - values[..., -1:]
    return np.asarray(opaque[..., 0] if opaque.shape[2] == 1 else rgb2gray(opaque))


def _rows(file: Path, folder: Path, group: int, n_tiles: int, settings: ImageSettings) -> dict[str, NDArray[Any]]:
    tiles, corners, _ = tiles_of(read_grey(file, settings), settings)
    if len(tiles) != n_tiles:
        raise ValueError(f"{file}: found {len(tiles)} tiles, expected {n_tiles}: the file changed meanwhile; run again")
    size = math.nan if settings.pixel_size_um is None else settings.pixel_size_um
    return {
        "image": tiles,
        "group": np.full(n_tiles, group, dtype=np.int64),
        "source": np.full(n_tiles, _name(file, folder), dtype=object),
        "tile_y": corners[:, 0],
        "tile_x": corners[:, 1],
        "pixel_size_um": np.full(n_tiles, size),
    }


def _name(file: Path, folder: Path) -> str:
    """Path inside the folder; bytes that are no UTF-8 are written out, for the store holds text."""
    return file.relative_to(folder).as_posix().encode("utf-8", "backslashreplace").decode()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]
