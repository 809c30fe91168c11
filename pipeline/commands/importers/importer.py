"""Formats that `latentlaw import-dataset` reads: a name, what is asked, and a function of that.

    @importer("rmd17", RMD17Options)                       # in pipeline/commands/importers/rmd17.py
    def rmd17(options): store_labels(read_rmd17(options.files), options)

A new format is one file here; all modules of the folder are imported, so they import readers inside their functions:
help and completion load nothing heavy.
"""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.commands.options.declaring import Options
from pipeline.runtime.terminal_text import printable

if TYPE_CHECKING:
    from pipeline.commands.options.datasets import LabelOptions
    from stores.importers.label_store import References
    from stores.importers.labelled import Reading

__all__ = ["Importer", "importer", "importers", "store_labels"]


class Importer(NamedTuple):
    """`help` stands in the list of formats; without it the first line of the options' docstring."""

    options: type[Options]
    read: Callable[[Any], None]
    help: str


_IMPORTERS: dict[str, Importer] = {}
Made = Callable[[Any], None]


def importer(name: str, options: type[Options], *, help: str = "") -> Callable[[Made], Made]:
    """Decorator. Raises ValueError for a name that is taken."""

    def register(read: Made) -> Made:
        if name in _IMPORTERS:
            raise ValueError(f"importer: found two formats {name!r}, expected distinct names; rename one")
        _IMPORTERS[name] = Importer(options, read, help)
        return read

    return register


def importers() -> dict[str, Importer]:
    """All formats by name."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)], "pipeline.commands.importers."):
        importlib.import_module(module.name)
    return dict(_IMPORTERS)


def store_labels(reading: "Reading", options: "LabelOptions", references: "References | None" = None) -> None:
    """Write the store of labelled atoms and print what was used, ignored and dropped."""
    from pipeline.atoms.reference_choice import references_by
    from stores.importers.label_store import store_reading

    if references is None:
        references = references_by(options.references)
    first = options.references == "auto"
    report = store_reading(reading, options.out, options.label_settings(), references=references, isolated_first=first)
    print(printable(f"{options.out}: " + "\n  ".join([*report.lines(), f"hash {report.hash[:16]}"])))
