"""Micrographs as a store of tiles; see stores.importers.images."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.commands.importers.importer import importer
from pipeline.commands.options.declaring import Option, message_of
from pipeline.commands.options.images import TilingOptions
from pipeline.runtime.terminal_text import printable

__all__ = ["ImportImagesOptions"]


@dataclass(frozen=True, kw_only=True)
class ImportImagesOptions(TilingOptions):
    """Micrographs: PNG, TIFF, JPEG.

    They are cut into square grey tiles. Files that cannot be used are named and skipped; the exit status is 1 only
    where none can be used.
    """

    out: Annotated[
        Path,
        Option("the store to write", metavar="STORE.zarr", kind="store of micrographs", suffixes=(".zarr",)),
    ]
    pixel_size_um: Annotated[float | None, Option("width of a pixel", unit="um", metavar="UM", unset="not known")] = (
        None
    )

    def problems(self) -> list[str]:
        return message_of(lambda: self.image_settings(self.pixel_size_um))


@importer("images", ImportImagesOptions)
def images(options: ImportImagesOptions) -> None:
    from stores.importers.images import import_images

    report = import_images(options.folder, options.out, options.image_settings(options.pixel_size_um))
    for name, reason in report.skipped.items():
        print(printable(f"skipped {name}: {reason}"), file=sys.stderr)
    flat = f", {report.n_flat_tiles} flat tiles dropped" if report.n_flat_tiles else ""
    print(
        f"{options.out}: {report.n_tiles} tiles of {report.n_images} images, {len(report.skipped)} skipped{flat}, "
        f"hash {report.hash[:16]}"
    )
