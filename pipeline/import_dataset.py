"""Turn data in a public format into a validated store.

    python -m pipeline.import_dataset images FOLDER --out data/micrographs.zarr [--tile 128] [--stride 128]
        [--crop-bottom 0.07] [--grey dtype|image] [--pixel-size-um 0.05]

`images`: a folder of PNG, TIFF and JPEG micrographs, cut into square grey tiles (stores.importers.images). Files that
cannot be used are named and skipped; the exit status is 1 only where none can be used.
"""

import argparse
import sys
from pathlib import Path

from pipeline.stage import run_stage
from pipeline.tiling_options import add_tiling_options, image_settings
from stores.importers.images import ImportReport, import_images

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    settings = image_settings(options, pixel_size_um=options.pixel_size_um)
    _tell(import_images(options.folder, options.out, settings), options.out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Data in a public format, as a validated store.")
    formats = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")
    images = formats.add_parser("images", help="a folder of PNG, TIFF and JPEG micrographs")
    images.add_argument("folder", type=Path, metavar="FOLDER", help="searched with all folders below")
    images.add_argument("--out", type=Path, required=True, metavar="STORE", help="the store to write")
    add_tiling_options(images)
    images.add_argument("--pixel-size-um", type=float, metavar="UM", help="width of a pixel [um]")
    return parser


def _tell(report: ImportReport, out: Path) -> None:
    for name, reason in report.skipped.items():
        print(f"skipped {name}: {reason}", file=sys.stderr)
    flat = f", {report.n_flat_tiles} flat tiles dropped" if report.n_flat_tiles else ""
    print(
        f"{out}: {report.n_tiles} tiles of {report.n_images} images, {len(report.skipped)} files skipped{flat}, "
        f"hash {report.hash[:16]}"
    )


if __name__ == "__main__":
    run_stage("import_dataset", main)
