"""Formats that ASE reads: extended XYZ, its databases and trajectories."""

from typing import TYPE_CHECKING

from pipeline.commands.importers.importer import importer, store_labels
from pipeline.commands.options.datasets import FrameOptions

if TYPE_CHECKING:
    from stores.importers.extxyz import FrameKeys

__all__: list[str] = []


@importer("extxyz", FrameOptions, help="Extended XYZ, also .gz.")
def extxyz(options: FrameOptions) -> None:
    from stores.importers.extxyz import read_extxyz

    store_labels(read_extxyz(options.files, _keys(options)), options)


@importer("ase-db", FrameOptions, help="Databases of ASE.")
def ase_db(options: FrameOptions) -> None:
    from stores.importers.ase_db import read_ase_db

    store_labels(read_ase_db(options.files, _keys(options)), options)


@importer("traj", FrameOptions, help="Trajectories of ASE (.traj).")
def traj(options: FrameOptions) -> None:
    from stores.importers.ase_db import read_traj

    store_labels(read_traj(options.files, _keys(options)), options)


def _keys(options: FrameOptions) -> "FrameKeys":
    from stores.importers.extxyz import FrameKeys

    return FrameKeys(
        energy=options.energy_key,
        forces=options.force_key,
        stress=options.stress_key,
        virial=options.virial_key,
        charges=options.charge_key,
        group=options.group_key,
    )
