"""HDF5 files of the ANI family; see stores.importers.ani_h5."""

from dataclasses import dataclass

from pipeline.commands.importers.importer import importer, store_labels
from pipeline.commands.options.datasets import FilesOptions, ForceKey, Key, Level

__all__ = ["AniOptions"]


@dataclass(frozen=True, kw_only=True)
class AniOptions(FilesOptions):
    """HDF5 files of ANI-1x, COMP6, ANI-Al (pyanitools)."""

    energy_key: Key = None
    force_key: ForceKey = None
    level: Level = "wB97x/6-31G(d)"


@importer("ani-h5", AniOptions)
def ani_h5(options: AniOptions) -> None:
    from stores.importers.ani_h5 import read_ani_h5

    store_labels(read_ani_h5(options.files, energy_key=options.energy_key, force_key=options.force_key), options)
