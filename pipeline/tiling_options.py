"""Command-line options that say how micrographs become tiles, shared by all commands that read the user's images."""

import argparse

from stores.importers.images import ImageSettings

__all__ = ["add_tiling_options", "image_settings"]

DEFAULT = ImageSettings()


def add_tiling_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tile", type=int, default=DEFAULT.tile_px, help="width of a tile [px] (default %(default)s)")
    parser.add_argument("--stride", type=int, help="distance of tiles [px] (default: the tile, no overlap)")
    parser.add_argument(
        "--crop-bottom",
        type=float,
        default=DEFAULT.crop_bottom,
        metavar="H",
        help="strip with the scale bar: fraction of the height below 1, rows from 1 on (default %(default)s)",
    )
    parser.add_argument(
        "--grey",
        choices=("dtype", "image"),
        default=DEFAULT.grey,
        help="grey 0 to 1 is the range of the number type, or of each image (default %(default)s)",
    )


def image_settings(options: argparse.Namespace, *, pixel_size_um: float | None = None) -> ImageSettings:
    """What the options ask for. Raises ValueError that lists all that is out of range."""
    return ImageSettings(
        tile_px=options.tile,
        stride_px=options.stride or options.tile,
        crop_bottom=options.crop_bottom,
        grey=options.grey,
        pixel_size_um=pixel_size_um,
    )
