"""Formats that ASE reads: extended XYZ, its databases and trajectories, output of DFT programs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pipeline.commands.importers.importer import importer, store_labels
from pipeline.commands.options.datasets import FrameOptions
from pipeline.commands.options.declaring import Option

if TYPE_CHECKING:
    from stores.importers.extxyz import FrameKeys

__all__ = ["OutputOptions"]


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


@dataclass(frozen=True, kw_only=True)
class OutputOptions(FrameOptions):
    """Output of DFT programs: OUTCAR, vasprun.xml, pw.x."""

    program_format: Annotated[
        str | None,
        Option(
            "such as vasp-out, vasp-xml, espresso-out", names="stores.importers.dft_output:PROGRAM_FORMATS",
            metavar="NAME", unset="by name and content of each file",
        ),
    ] = None  # fmt: skip


@importer("dft-output", OutputOptions)
def dft_output(options: OutputOptions) -> None:
    from stores.importers.dft_output import read_dft_output

    store_labels(read_dft_output(options.files, _keys(options), program_format=options.program_format), options)


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
