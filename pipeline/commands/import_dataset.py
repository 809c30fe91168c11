"""Turn data in a public format into a validated store.

    latentlaw import-dataset extxyz FILE... --out STORE [--energy-key energy] [--force-key forces] [--units eV]
    python -m pipeline.commands.import_dataset ase-db FILE... --out STORE [the same]
    python -m pipeline.commands.import_dataset traj FILE... --out STORE [the same]
    latentlaw import-dataset ani-h5 FILE... --out STORE [--energy-key wb97x_dz.energy] [--force-key ...]
    python -m pipeline.commands.import_dataset rmd17 FILE... --out STORE
    python -m pipeline.commands.import_dataset qm9 [FOLDER] --out STORE [--energy U0] [--n-molecules 1000]
    python -m pipeline.commands.import_dataset images FOLDER --out STORE [--tile 128] [--stride 128]
        [--crop-bottom 0.07] [--grey dtype|image] [--pixel-size-um 0.05]

Atoms become a store of labelled configurations (stores.atoms) in A, eV, eV/A: keys, units, what to keep together in
splits and reference energies are options (see --help of each format). Records that cannot be used stop the import with
one message, or are left out and named with --drop-bad. What was used, ignored and dropped is printed as a table and
kept in the store's attribute `imported`.

`images`: a folder of PNG, TIFF and JPEG micrographs, cut into square grey tiles (stores.importers.images). Files that
cannot be used are named and skipped; the exit status is 1 only where none can be used.
"""

import argparse
import sys
from pathlib import Path

from pipeline.commands.label_options import add_label_options, label_settings, references_by
from pipeline.commands.tiling_options import add_tiling_options, image_settings
from pipeline.runtime.command_line import CommandParser, message_of
from pipeline.runtime.outputs import OutputFolder
from pipeline.runtime.stage import run_stage
from stores.building import store_kind
from stores.importers.ani_h5 import read_ani_h5
from stores.importers.ase_db import read_ase_db, read_traj
from stores.importers.extxyz import FrameKeys, read_extxyz
from stores.importers.images import ImportReport, import_images
from stores.importers.label_store import References, store_reading
from stores.importers.labelled import Reading
from stores.importers.qm9 import ENERGIES, LEVEL, find_tables, read_qm9
from stores.importers.rmd17 import read_rmd17
from stores.micrographs import MICROGRAPHS

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    options = _parser().read(arguments, _problems)
    if options.format == "images":
        settings = image_settings(options, pixel_size_um=options.pixel_size_um)
        _tell(import_images(options.folder, options.out, settings), options.out)
        return
    labels, references = label_settings(options), _references(options)
    first = options.references == "auto"
    report = store_reading(_read(options), options.out, labels, references=references, isolated_first=first)
    print(f"{options.out}: " + "\n  ".join([*report.lines(), f"hash {report.hash[:16]}"]))


def _problems(options: argparse.Namespace) -> list[str]:
    if options.format == "images":
        return message_of(lambda: image_settings(options, pixel_size_um=options.pixel_size_um))
    return [*message_of(lambda: label_settings(options)), *message_of(lambda: _references(options))]


def _references(options: argparse.Namespace) -> References | None:
    return references_by(options.references, energy=getattr(options, "energy", "U0"))


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
    return {"extxyz": read_extxyz, "ase-db": read_ase_db, "traj": read_traj}[options.format](options.files, keys)


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="python -m pipeline.commands.import_dataset", description="Data in a public format, as a validated store."
    )
    formats = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")
    told = {"extxyz": "extended XYZ, also .gz", "ase-db": "databases of ASE", "traj": "trajectories of ASE (.traj)"}
    for name, help_text in told.items():
        frames = formats.add_parser(name, help=help_text, inputs=("files",))
        _add_files(frames)
        _add_keys(frames)
        frames.add_argument(
            "--stress-key", metavar="KEY", help="(default: the usual one, if it is there; none: leave it out)"
        )
        frames.add_argument("--virial-key", metavar="KEY", help="virial, instead of a stress (default: none)")
        frames.add_argument("--charge-key", metavar="KEY", help="charges of atoms [e] (default: none)")
        frames.add_argument("--group-key", metavar="KEY", help="names what a split keeps together (default: none)")
        add_label_options(frames, level="not stated", stress=True)
    ani = formats.add_parser("ani-h5", help="HDF5 files of ANI-1x, COMP6, ANI-Al (pyanitools)", inputs=("files",))
    _add_files(ani)
    _add_keys(ani)
    add_label_options(ani, level="wB97x/6-31G(d)")
    rmd17 = formats.add_parser("rmd17", help="npz files of revised MD17, and of MD17", inputs=("files",))
    _add_files(rmd17)
    add_label_options(rmd17, level="PBE/def2-SVP")
    qm9 = formats.add_parser("qm9", help="QM9 from the package qm9pack", inputs=("folder",))
    qm9.add_argument("folder", type=Path, nargs="?", metavar="FOLDER", help="with qm9_part*.csv (default: the package)")
    qm9.add_argument("--energy", choices=tuple(ENERGIES), default="U0", help="which of the table")
    qm9.add_number("--n-molecules", int, "drawn at random", metavar="N", low=1, unset="all")
    qm9.add_number("--seed", int, "of the draw", default=0, low=0)
    add_label_options(qm9, level=LEVEL)
    images = formats.add_parser("images", help="a folder of PNG, TIFF and JPEG micrographs", inputs=("folder",))
    images.add_argument("folder", type=Path, metavar="FOLDER", help="searched with all folders below")
    store = OutputFolder(kind=store_kind(MICROGRAPHS), suffixes=(".zarr",))
    images.add_output("--out", store, "the store to write", metavar="STORE.zarr")
    add_tiling_options(images)
    images.add_number("--pixel-size-um", float, "width of a pixel", unit="um", metavar="UM", unset="not known")
    return parser


def _add_files(parser: CommandParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="all become one store, of one level")


def _add_keys(parser: CommandParser) -> None:
    parser.add_argument("--energy-key", metavar="KEY", help="(default: the format's usual one)")
    usual = "(default: the format's usual one, if it is there)"
    parser.add_argument("--force-key", "--forces-key", metavar="KEY", help=usual)


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
