"""npz files of revised MD17, and of MD17; see stores.importers.rmd17."""

from dataclasses import dataclass

from pipeline.commands.importers.importer import importer, store_labels
from pipeline.commands.options.datasets import FilesOptions, Level

__all__ = ["RMD17Options"]


@dataclass(frozen=True, kw_only=True)
class RMD17Options(FilesOptions):
    """npz files of revised MD17, and of MD17."""

    level: Level = "PBE/def2-SVP"


@importer("rmd17", RMD17Options)
def rmd17(options: RMD17Options) -> None:
    from stores.importers.rmd17 import read_rmd17

    store_labels(read_rmd17(options.files), options)
