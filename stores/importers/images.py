"""A folder of micrographs (PNG, TIFF, JPEG) as a store of square grey tiles (stores.micrographs).

    read      every page of every file (stores.importers.image_files); a page of several is called FILE#1, FILE#2 ...
    grey      of the colours by the weights of Rec. 709, alpha laid over white; values by `grey`:
                  dtype   black is 0. White is 255 in files of 8 bits; in files of more, the least of 255, 1023, 4095,
                          16383, 65535 ... that no image of that number type in the folder exceeds: 12 bits in a 16-bit
                          file keep their contrast, and images of one folder stay comparable. Floats lie in [0, 1]
                  image   the 0.1 % and 99.9 % quantiles of each image become 0 and 1
    crop      the strip at the bottom with scale bar and legend
    tile      as many as fit, `stride_px` apart, the margin left over shared by both sides; flat ones are dropped

An image that cannot be used - damaged, smaller than a tile, without contrast, a copy of one before it - is skipped and
named. Pages of one file are one group: slices of a stack are near copies of each other. Files are read twice, once to
check and count and once to write, so that memory holds one image at a time.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stores.building import building, require_replaceable, store_kind
from stores.importers.image_files import Page, UnusableImage, pages_of
from stores.micrographs import MICROGRAPHS
from stores.validate import require_valid
from stores.zarr_store import StoreWriter

__all__ = [
    "SUFFIXES",
    "ImageSettings",
    "ImportReport",
    "MicrographImage",
    "UnusableImage",
    "find_images",
    "import_images",
    "read_grey",
    "tiles_of",
]

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
SMALLEST_TILE_PX = 8
QUANTILES = (0.001, 0.999)
WHITES = (255, 1023, 4095, 16383, 65535, 2**32 - 1, 2**64 - 1)  # of cameras of 8, 10, 12, 14, 16 bits, and beyond
FloatImage = NDArray[np.float32]
Peaks = Mapping[str, int]  # number type -> largest value found
NO_PEAKS: Peaks = MappingProxyType({})


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
class MicrographImage:
    """One image that is used: a file, or one page of it counted from 1. Images of one file share a `group`."""

    file: Path
    page: int | None
    name: str
    group: int
    n_tiles: int


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What became of the images; `skipped` maps a name to the reason. `peaks` are what `read_grey` wants."""

    images: tuple[MicrographImage, ...]
    n_flat_tiles: int
    skipped: dict[str, str]
    peaks: Peaks
    hash: str

    @property
    def n_images(self) -> int:
        return len(self.images)

    @property
    def n_tiles(self) -> int:
        return sum(image.n_tiles for image in self.images)


def import_images(folder: Path, out: Path, settings: ImageSettings) -> ImportReport:
    """Write the store `out` from all images in `folder`, replacing a store of images that was there.

    Raises ValueError where no file can be used (naming each) or `out` holds something else, FileNotFoundError where
    there is no file.
    """
    require_replaceable(out, store_kind(MICROGRAPHS))
    files = find_images(folder)
    found = _Survey(folder, settings)
    for file in files:
        found.look_at(file)
    if not found.images:
        reasons = "\n".join(f"  {name}: {reason}" for name, reason in found.skipped.items())
        raise ValueError(f"{folder}: none of the {len(files)} image files can be used\n{reasons}")
    with building(out, store_kind(MICROGRAPHS)) as workplace:
        writer = StoreWriter(
            workplace,
            MICROGRAPHS,
            sizes={
                "sample": sum(image.n_tiles for image in found.images),
                "y": settings.tile_px,
                "x": settings.tile_px,
                "skipped": len(found.skipped),
            },
            coordinates={},
            attributes={"settings": json.dumps(asdict(settings), sort_keys=True)},
        )
        for image in found.images:
            for name, rows in _rows(image, settings, found.peaks).items():
                writer.write(name, rows)
        writer.write("skipped_file", np.array(list(found.skipped), dtype=object))
        writer.write("skipped_reason", np.array(list(found.skipped.values()), dtype=object))
        manifest = writer.finish()
        require_valid(workplace, MICROGRAPHS)
    return ImportReport(
        images=tuple(found.images),
        n_flat_tiles=found.n_flat_tiles,
        skipped=found.skipped,
        peaks=found.peaks,
        hash=manifest.hash,
    )


class _Survey:
    """The first reading: which images are used, of how many tiles, and how bright their number types get."""

    def __init__(self, folder: Path, settings: ImageSettings) -> None:
        self.folder, self.settings = folder, settings
        self.images: list[MicrographImage] = []
        self.skipped: dict[str, str] = {}
        self.peaks: dict[str, int] = {}
        self.n_flat_tiles = 0
        self._name_of: dict[bytes, str] = {}  # digest of the pixels -> the image that had them first

    def look_at(self, file: Path) -> None:
        name = _name(file, self.folder)
        try:
            with pages_of(file) as pages:
                for number, read in enumerate(pages, start=1):
                    self._image(file, number if len(pages) > 1 else None, read)
        except UnusableImage as error:
            self.skipped[name] = str(error)

    def _image(self, file: Path, page: int | None, read: Callable[[], Page]) -> None:
        name = _name(file, self.folder) + ("" if page is None else f"#{page}")
        try:
            found = _cropped(read(), self.settings)
            grey = _grey(found, self.settings, NO_PEAKS)
            tiles, _, n_flat = tiles_of(grey, self.settings)
            digest = hashlib.sha256(str(grey.shape).encode() + grey.tobytes()).digest()
            if digest in self._name_of:
                raise UnusableImage(f"found the pixels of {self._name_of[digest]} again, expected images that differ")
        except UnusableImage as error:
            self.skipped[name] = str(error)
            return
        self._name_of[digest] = name
        group = self.images[-1].group + (self.images[-1].file != file) if self.images else 0
        self.images.append(MicrographImage(file=file, page=page, name=name, group=group, n_tiles=len(tiles)))
        self.n_flat_tiles += n_flat
        kind = found.pixels.dtype.name
        self.peaks[kind] = max(self.peaks.get(kind, 0), _peak(found.pixels))


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


def read_grey(path: Path, settings: ImageSettings, *, page: int | None = None, peaks: Peaks = NO_PEAKS) -> FloatImage:
    """The image without its bottom strip, grey in [0, 1], (n_y, n_x). Raises UnusableImage.

    `page` counts from 1. `peaks` are those of the whole folder; without them white is that of this image alone.
    """
    with pages_of(path) as pages:
        if page is None and len(pages) > 1:
            raise UnusableImage(f"found {len(pages)} pages, expected one; name the page")
        return _grey(_cropped(pages[0 if page is None else page - 1](), settings), settings, peaks)


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


def _cropped(page: Page, settings: ImageSettings) -> Page:
    """Without the strip at the bottom. Raises UnusableImage where no tile is left."""
    n_y = page.pixels.shape[0]
    strip = math.ceil(settings.crop_bottom * n_y) if settings.crop_bottom < 1 else int(settings.crop_bottom)
    n_kept = max(0, n_y - strip)
    if min(n_kept, page.pixels.shape[1]) < settings.tile_px:
        cropped = f" after {strip} rows at the bottom were cropped" if strip else ""
        raise UnusableImage(
            f"found {n_kept} x {page.pixels.shape[1]} px (height x width){cropped}, expected at least one tile of "
            f"{settings.tile_px} px; choose a smaller tile"
        )
    return replace(page, pixels=page.pixels[:n_kept], alpha=None if page.alpha is None else page.alpha[:n_kept])


def _grey(page: Page, settings: ImageSettings, peaks: Peaks) -> FloatImage:
    """One channel in [0, 1]: colours weighed, alpha over white."""
    from skimage.color import rgb2gray

    stretch = settings.grey == "image"
    values = _unit_range(page.pixels, peaks, stretch=stretch)
    grey = np.asarray(rgb2gray(values) if values.ndim == 3 else values)
    grey = 1 - grey if page.white_is_zero else grey
    grey = grey if page.alpha is None else grey * page.alpha + 1 - page.alpha
    if stretch:
        low, high = np.quantile(grey, QUANTILES)
        grey = (grey - low) / max(high - low, np.finfo(np.float64).tiny)
    return np.asarray(np.clip(grey, 0, 1), dtype=np.float32)


def _unit_range(pixels: NDArray[Any], peaks: Peaks, *, stretch: bool) -> NDArray[np.float64]:
    """Values of the file as floats, from black as 0 to white as 1."""
    kind = pixels.dtype.kind
    if kind == "b":
        return pixels.astype(np.float64)
    if kind in "ui":
        if kind == "i" and pixels.min() < 0 and not stretch:
            raise UnusableImage(f"found negative {pixels.dtype} values, expected grey from 0 on; use grey 'image'")
        most = int(np.iinfo(pixels.dtype).max)
        peak = max(_peak(pixels), peaks.get(pixels.dtype.name, 0))
        white = next(white for white in (*WHITES, most) if white >= min(peak, most))
        return np.asarray(pixels / min(white, most), dtype=np.float64)
    if kind != "f":
        raise UnusableImage(f"found values of type {pixels.dtype}, expected whole or real numbers")
    if not np.isfinite(pixels).all():
        raise UnusableImage(f"found {int((~np.isfinite(pixels)).sum())} NaN or infinite pixels, expected finite ones")
    if not stretch and (pixels.min() < 0 or pixels.max() > 1):
        raise UnusableImage(
            f"found floats from {pixels.min():g} to {pixels.max():g}, expected [0, 1]; use grey 'image'"
        )
    return pixels.astype(np.float64)


def _peak(pixels: NDArray[Any]) -> int:
    return int(pixels.max()) if pixels.dtype.kind in "ui" else 0


def _rows(image: MicrographImage, settings: ImageSettings, peaks: Peaks) -> dict[str, NDArray[Any]]:
    tiles, corners, _ = tiles_of(read_grey(image.file, settings, page=image.page, peaks=peaks), settings)
    if len(tiles) != image.n_tiles:
        raise ValueError(
            f"{image.name}: found {len(tiles)} tiles, expected {image.n_tiles}: the file changed meanwhile; run again"
        )
    size = math.nan if settings.pixel_size_um is None else settings.pixel_size_um
    return {
        "image": tiles,
        "group": np.full(image.n_tiles, image.group, dtype=np.int64),
        "source": np.full(image.n_tiles, image.name, dtype=object),
        "tile_y": corners[:, 0],
        "tile_x": corners[:, 1],
        "pixel_size_um": np.full(image.n_tiles, size),
    }


def _name(file: Path, folder: Path) -> str:
    """Path inside the folder; bytes that are no UTF-8 are written out, for the store holds text."""
    return file.relative_to(folder).as_posix().encode("utf-8", "backslashreplace").decode()
