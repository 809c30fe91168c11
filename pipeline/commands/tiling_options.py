"""Command-line options that say how micrographs become tiles, shared by all commands that read the user's images."""

import argparse

from pipeline.runtime.command_line import CommandParser
from stores.importers.images import ImageSettings

__all__ = ["add_tiling_options", "image_settings"]

DEFAULT = ImageSettings()


def add_tiling_options(parser: CommandParser) -> None:
    parser.add_number("--tile", int, "width of a tile", unit="px", default=DEFAULT.tile_px)
    parser.add_number("--stride", int, "distance of tiles", unit="px", unset="the tile, no overlap")
    parser.add_number(
        "--crop-bottom",
        float,
        "strip with the scale bar: fraction of the height below 1, rows [px] from 1 on",
        default=DEFAULT.crop_bottom,
        metavar="H",
    )
    parser.add_argument(
        "--grey",
        choices=("dtype", "image"),
        default=DEFAULT.grey,
        help="grey 0 to 1 is the range of the number type, or of each image",
    )


def image_settings(options: argparse.Namespace, *, pixel_size_um: float | None = None) -> ImageSettings:
    """What the options ask for. Raises ValueError that lists all that is out of range."""
    return ImageSettings(
        tile_px=options.tile,
        stride_px=options.tile if options.stride is None else options.stride,
        crop_bottom=options.crop_bottom,
        grey=options.grey,
        pixel_size_um=pixel_size_um,
    )
