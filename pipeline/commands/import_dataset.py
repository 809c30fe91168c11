"""Turn data in a public format into a validated store: one function for each format of `latentlaw import-dataset`."""

import sys

from pipeline.atoms.reference_choice import references_by
from pipeline.commands.options.datasets import AniOptions, FrameOptions, LabelOptions, QM9Options, RMD17Options
from pipeline.commands.options.images import ImportImagesOptions
from stores.importers.ani_h5 import read_ani_h5
from stores.importers.ase_db import read_ase_db, read_traj
from stores.importers.extxyz import FrameKeys, read_extxyz
from stores.importers.images import import_images
from stores.importers.label_store import References, store_reading
from stores.importers.labelled import Reading
from stores.importers.qm9 import find_tables, read_qm9
from stores.importers.rmd17 import read_rmd17

__all__ = ["ani_h5", "ase_db", "extxyz", "images", "qm9", "rmd17", "traj"]


def extxyz(options: FrameOptions) -> None:
    _store(read_extxyz(options.files, _keys(options)), options)


def ase_db(options: FrameOptions) -> None:
    _store(read_ase_db(options.files, _keys(options)), options)


def traj(options: FrameOptions) -> None:
    _store(read_traj(options.files, _keys(options)), options)


def ani_h5(options: AniOptions) -> None:
    _store(read_ani_h5(options.files, energy_key=options.energy_key, force_key=options.force_key), options)


def rmd17(options: RMD17Options) -> None:
    _store(read_rmd17(options.files), options)


def qm9(options: QM9Options) -> None:
    tables = find_tables(options.folder)
    reading = read_qm9(tables, energy=options.energy, n_molecules=options.n_molecules, seed=options.seed)
    _store(reading, options, references_by(options.references, energy=options.energy))


def images(options: ImportImagesOptions) -> None:
    report = import_images(options.folder, options.out, options.image_settings(options.pixel_size_um))
    for name, reason in report.skipped.items():
        print(f"skipped {name}: {reason}", file=sys.stderr)
    flat = f", {report.n_flat_tiles} flat tiles dropped" if report.n_flat_tiles else ""
    print(
        f"{options.out}: {report.n_tiles} tiles of {report.n_images} images, {len(report.skipped)} skipped{flat}, "
        f"hash {report.hash[:16]}"
    )


def _store(reading: Reading, options: LabelOptions, references: References | None = None) -> None:
    if references is None:
        references = references_by(options.references)
    first = options.references == "auto"
    report = store_reading(reading, options.out, options.label_settings(), references=references, isolated_first=first)
    print(f"{options.out}: " + "\n  ".join([*report.lines(), f"hash {report.hash[:16]}"]))


def _keys(options: FrameOptions) -> FrameKeys:
    return FrameKeys(
        energy=options.energy_key,
        forces=options.force_key,
        stress=options.stress_key,
        virial=options.virial_key,
        charges=options.charge_key,
        group=options.group_key,
    )
