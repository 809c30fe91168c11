"""Images of PNG, TIFF and JPEG files, page by page, as the numbers that stand in the file.

    grey        8 to 64 bits, whole or real numbers, 1 bit; a TIFF in which 0 means white has `white_is_zero`
    colour      RGB, and what becomes RGB: palettes, YCbCr, CMYK by (1 - C)(1 - K) and so on, without a colour profile
    alpha       kept apart; a colour that was multiplied by it is divided by it
    pages       of a TIFF, in their order, each an image: slices, times, channels. Copies of lower resolution, masks and
                thumbnails, which the file marks as such, are none. Of PNG and JPEG the first image

Tifffile reads TIFF; Pillow reads the rest, and TIFF pages in a compression that tifffile needs a further package for
(LZW, JPEG, fax). Whatever has no one meaning as grey - CIELAB, raw colour mosaics, channels in one page that are no
colours - is refused.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stores.importers.foreign_files import first_line, require_held, require_room

__all__ = ["Page", "UnusableImage", "pages_of"]

SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # PNG, JPEG, TIFF, BigTIFF
REDUCED_OR_MASK = 0b101  # bits of NewSubfileType in TIFF 6.0
PREMULTIPLIED, ALPHA = 1, 2  # ExtraSamples of TIFF 6.0
FLOATS_OF_A_SAMPLE = 8  # bytes of memory for one of the file
PILLOW_PLAIN = {"1", "L", "LA", "RGB", "RGBA", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
Array = NDArray[Any]


class UnusableImage(ValueError):
    """One image cannot be used; the message says what was found and what was expected."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One image: `pixels` (y, x) or (y, x, 3) of any number type, `alpha` (y, x) in [0, 1]."""

    pixels: Array
    alpha: NDArray[np.float64] | None = None
    white_is_zero: bool = False


@contextmanager
def pages_of(path: Path) -> Iterator[Sequence[Callable[[], Page]]]:
    """What reads each image of the file, while the file is open; all raise UnusableImage."""
    import tifffile
    from PIL import Image

    with _damage_is_unusable():
        with path.open("rb") as stream:
            begin = stream.read(len(SIGNATURES[0]))
        if not begin.startswith(SIGNATURES):
            raise ValueError(f"it begins with {begin!r}, expected a PNG, TIFF or JPEG file")
        file: Any = tifffile.TiffFile(path) if begin.startswith(SIGNATURES[2:]) else Image.open(path)
        if not isinstance(file, tifffile.TiffFile):
            _require_sound_size(math.prod(file.size) * len(file.getbands()), path.stat().st_size)
    with file:
        if isinstance(file, tifffile.TiffFile):
            with _damage_is_unusable():
                pages = _tiff_pages(file, path)
            yield pages
        else:
            yield [lambda: _pillow_page(file)]


@contextmanager
def _damage_is_unusable() -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders warn of odd metadata, which plays no part here
            yield
    except UnusableImage:
        raise
    except Exception as error:  # decoders raise errors of many kinds on damaged files
        raise UnusableImage(f"cannot be read as an image ({type(error).__name__}: {first_line(error)})") from error


def _require_sound_size(n_bytes: int, stored_bytes: int) -> None:
    """Pixels that a header claims are there, and fit into memory as floats of three colours."""
    require_held("an image", n_bytes, stored_bytes)
    require_room("an image", FLOATS_OF_A_SAMPLE * n_bytes)


def _tiff_pages(file: Any, path: Path) -> Sequence[Callable[[], Page]]:  # noqa: ANN401 - tifffile.TiffFile
    import tifffile

    first = file.pages[0]
    virtual = len(file.pages) == 1 and (file.is_imagej or file.is_shaped)
    if virtual and math.prod(file.series[0].shape) > math.prod(first.shape):
        # ImageJ beyond 4 GB: one page, and the others behind it without any of their own
        stack = tifffile.memmap(path, mode="r").reshape(-1, *first.shape)
        return [lambda k=k: _tiff_page(first, path, 0, stack[k]) for k in range(len(stack))]  # type: ignore[misc]
    numbers = [k for k, page in enumerate(file.pages) if not int(page.subfiletype or 0) & REDUCED_OR_MASK]
    return [lambda k=k: _tiff_page(file.pages[k], path, k) for k in numbers or range(len(file.pages))]  # type: ignore[misc]


def _tiff_page(page: Any, path: Path, number: int, pixels: Array | None = None) -> Page:  # noqa: ANN401 - tifffile.TiffPage
    from PIL import Image

    with _damage_is_unusable():
        if pixels is None:
            _require_sound_size(int(page.nbytes), sum(page.databytecounts))
        try:
            values = np.asarray(page.asarray() if pixels is None else pixels)
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            with Image.open(path) as image:
                image.seek(number)
                return _pillow_page(image)
    if "S" in page.axes:
        values = np.moveaxis(values, page.axes.index("S"), -1)
    if page.axes.replace("S", "") != "YX":
        raise UnusableImage(f"found a page of shape {values.shape}, expected one grey or colour image; save pages flat")
    with _damage_is_unusable():
        return _as_page(values, page)


def _as_page(values: Array, page: Any) -> Page:  # noqa: ANN401 - tifffile.TiffPage
    """The numbers of a TIFF page by the meaning that its tags give them."""
    meaning = page.photometric.name if hasattr(page.photometric, "name") else str(page.photometric)
    if values.ndim not in (2, 3) or not values.size:
        raise UnusableImage(f"found pixels of shape {values.shape}, expected height x width; the file is damaged")
    planes = values[..., None] if values.ndim == 2 else values
    n_colours = {"MINISBLACK": 1, "MINISWHITE": 1, "PALETTE": 1, "RGB": 3, "YCBCR": 3, "SEPARATED": 4}.get(meaning, 0)
    extra = [int(kind) for kind in page.extrasamples]
    if not n_colours or planes.shape[2] not in (n_colours, n_colours + len(extra)):
        raise UnusableImage(f"found {planes.shape[2]} samples of {meaning}, expected grey, RGB or CMYK; save it so")
    if n_colours == 1 and planes.shape[2] > 1 and not {PREMULTIPLIED, ALPHA} & set(extra):
        raise UnusableImage(f"found {planes.shape[2]} channels in one page, expected one; save channels as pages")
    colours = planes[..., :n_colours]
    alpha = None
    for index, kind in enumerate(extra[: planes.shape[2] - n_colours]):
        if kind in (PREMULTIPLIED, ALPHA):
            alpha = _fraction(planes[..., n_colours + index])
            if kind == PREMULTIPLIED:
                colours = _fraction(colours) / np.where(alpha > 0, alpha, 1)[..., None]
            break
    if meaning == "PALETTE":
        table = np.asarray(page.colormap).T
        colours = (table // 256 if table.max() > 255 else table).astype(np.uint8)[colours[..., 0]]
    elif meaning == "SEPARATED":
        inks = _fraction(colours)
        colours = (1 - inks[..., :3]) * (1 - inks[..., 3:])
    return Page(
        pixels=colours[..., 0] if colours.shape[2] == 1 else colours,
        alpha=alpha,
        white_is_zero=meaning == "MINISWHITE",
    )


def _pillow_page(image: Any) -> Page:  # noqa: ANN401 - PIL.Image.Image
    with _damage_is_unusable():
        zero = 262 in getattr(image, "tag_v2", {}) and image.tag_v2[262] == 0  # Pillow turns 1 and 8 bits over itself
        see_through = image.mode == "PA" or ("transparency" in image.info and image.mode in ("1", "L", "P", "RGB"))
        if see_through or image.mode == "P":
            image = image.convert("RGBA" if see_through else "RGB")
        elif image.mode in ("CMYK", "YCbCr", "RGBX"):
            image = image.convert("RGB")
        if image.mode not in PILLOW_PLAIN:
            raise UnusableImage(f"found colours of kind {image.mode}, expected grey, RGB or CMYK; save it so")
        values = np.asarray(image)
    if image.mode in ("LA", "RGBA"):
        return Page(pixels=values[..., 0] if image.mode == "LA" else values[..., :3], alpha=_fraction(values[..., -1]))
    return Page(pixels=values, white_is_zero=zero and image.mode not in ("1", "L"))


def _fraction(values: Array) -> NDArray[np.float64]:
    """The whole range of the number type as [0, 1]."""
    full = np.iinfo(values.dtype).max if values.dtype.kind in "ui" else 1
    return np.asarray(values / full, dtype=np.float64)
