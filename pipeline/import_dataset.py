"""Turn data in a public format into a validated store.

    python -m pipeline.import_dataset extxyz FILE... --out STORE [--energy-key energy] [--force-key forces] [--units eV]
    python -m pipeline.import_dataset ase-db FILE... --out STORE [the same]
    python -m pipeline.import_dataset ani-h5 FILE... --out STORE [--energy-key wb97x_dz.energy] [--force-key ...]
    python -m pipeline.import_dataset rmd17 FILE... --out STORE
    python -m pipeline.import_dataset qm9 [FOLDER] --out STORE [--energy U0] [--n-molecules 1000]
    python -m pipeline.import_dataset images FOLDER --out STORE [--tile 128] [--stride 128]
        [--crop-bottom 0.07] [--grey dtype|image] [--pixel-size-um 0.05]

Atoms become a store of labelled configurations (stores.atoms) in A, eV, eV/A: keys, units, what to keep together in
splits and reference energies are options (see --help of each format). Records that cannot be used stop the import with
one message, or are left out and named with --drop-bad.

`images`: a folder of PNG, TIFF and JPEG micrographs, cut into square grey tiles (stores.importers.images). Files that
cannot be used are named and skipped; the exit status is 1 only where none can be used.
"""

import argparse
import sys
from pathlib import Path

from pipeline.label_options import add_label_options, label_settings, references_by
from pipeline.stage import run_stage
from pipeline.tiling_options import add_tiling_options, image_settings
from stores.importers.ani_h5 import read_ani_h5
from stores.importers.ase_db import read_ase_db
from stores.importers.extxyz import FrameKeys, read_extxyz
from stores.importers.images import ImportReport, import_images
from stores.importers.label_store import store_reading
from stores.importers.labelled import Reading
from stores.importers.qm9 import ENERGIES, LEVEL, find_tables, read_qm9
from stores.importers.rmd17 import read_rmd17

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.format == "images":
        settings = image_settings(options, pixel_size_um=options.pixel_size_um)
        _tell(import_images(options.folder, options.out, settings), options.out)
        return
    labels = label_settings(options)
    references = references_by(options.references, energy=getattr(options, "energy", "U0"))
    report = store_reading(_read(options), options.out, labels, references=references)
    print(f"{options.out}: " + "\n  ".join([*report.lines(), f"hash {report.hash[:16]}"]))


def _read(options: argparse.Namespace) -> Reading:
    match options.format:
        case "qm9":
            tables = find_tables(options.folder)
            return read_qm9(tables, energy=options.energy, n_molecules=options.n_molecules, seed=options.seed)
        case "ani-h5":
            return read_ani_h5(options.files, energy_key=options.energy_key, force_key=options.force_key)
        case "rmd17":
            return read_rmd17(options.files)
    keys = FrameKeys(
        energy=options.energy_key,
        forces=options.force_key,
        stress=options.stress_key,
        virial=options.virial_key,
        charges=options.charge_key,
        group=options.group_key,
    )
    return (read_ase_db if options.format == "ase-db" else read_extxyz)(options.files, keys)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.import_dataset", description="Data in a public format, as a validated store."
    )
    formats = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")
    for name, help_text in (("extxyz", "extended XYZ, also .gz"), ("ase-db", "databases of ASE")):
        frames = formats.add_parser(name, help=help_text)
        _add_files(frames)
        _add_keys(frames)
        frames.add_argument("--stress-key", metavar="KEY", help="stress in energy/length^3, ASE's sign")
        frames.add_argument("--virial-key", metavar="KEY", help="virial, instead of a stress")
        frames.add_argument("--charge-key", metavar="KEY", help="charges of atoms [e]")
        frames.add_argument("--group-key", metavar="KEY", help="names what a split keeps together")
        add_label_options(frames, level="not stated")
    ani = formats.add_parser("ani-h5", help="HDF5 files of ANI-1x, COMP6, ANI-Al (pyanitools)")
    _add_files(ani)
    _add_keys(ani)
    add_label_options(ani, level="wB97x/6-31G(d)")
    rmd17 = formats.add_parser("rmd17", help="npz files of revised MD17, and of MD17")
    _add_files(rmd17)
    add_label_options(rmd17, level="PBE/def2-SVP")
    qm9 = formats.add_parser("qm9", help="QM9 from the package qm9pack")
    qm9.add_argument("folder", type=Path, nargs="?", metavar="FOLDER", help="with qm9_part*.csv (default: the package)")
    qm9.add_argument("--energy", choices=tuple(ENERGIES), default="U0", help="(default %(default)s)")
    qm9.add_argument("--n-molecules", type=int, metavar="N", help="drawn at random (default: all)")
    qm9.add_argument("--seed", type=int, default=0, help="of the draw (default %(default)s)")
    add_label_options(qm9, level=LEVEL)
    images = formats.add_parser("images", help="a folder of PNG, TIFF and JPEG micrographs")
    images.add_argument("folder", type=Path, metavar="FOLDER", help="searched with all folders below")
    images.add_argument("--out", type=Path, required=True, metavar="STORE", help="the store to write")
    add_tiling_options(images)
    images.add_argument("--pixel-size-um", type=float, metavar="UM", help="width of a pixel [um]")
    return parser


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="all become one store, of one level")


def _add_keys(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--energy-key", metavar="KEY", help="(default: the format's usual one)")
    parser.add_argument("--force-key", metavar="KEY", help="(default: the format's usual one, if it is there)")


def _tell(report: ImportReport, out: Path) -> None:
    for name, reason in report.skipped.items():
        print(f"skipped {name}: {reason}", file=sys.stderr)
    flat = f", {report.n_flat_tiles} flat tiles dropped" if report.n_flat_tiles else ""
    print(
        f"{out}: {report.n_tiles} tiles of {report.n_images} images, {len(report.skipped)} skipped{flat}, "
        f"hash {report.hash[:16]}"
    )


if __name__ == "__main__":
    run_stage("import_dataset", main)
