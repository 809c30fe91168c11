"""What lanes bring to the report, found without a table: pages, headline numbers, rows of the README's table.

To add a lane: write a module in `pipeline/<lane>/report/` with a function under `@report_page`. All modules of these
folders are imported, so nothing else is edited.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pipeline.report.page import LaneReport, ResultRow

__all__ = [
    "HEADLINES",
    "PAGES",
    "RESULTS",
    "Headline",
    "Page",
    "headline_numbers",
    "registered",
    "report_page",
    "result_rows",
]

Page = Callable[[Path, int], LaneReport]  # top folder, points drawn in a scatter plot at most
Headline = Callable[[Path], Mapping[str, int | float | None]]
Results = Callable[[Path], Sequence[ResultRow]]
LANE_FOLDERS = "pipeline.*.report"
PAGES: dict[str, tuple[int, Page]] = {}
HEADLINES: dict[str, tuple[int, Headline]] = {}
RESULTS: dict[str, tuple[int, Results]] = {}
Entry = TypeVar("Entry", Page, Headline, Results)


def report_page(name: str, *, order: int) -> Callable[[Page], Page]:
    """Register the page of a lane; pages stand in the order of their numbers."""
    return _adding_to(PAGES, name, order)


def headline_numbers(name: str, *, order: int) -> Callable[[Headline], Headline]:
    """Register what a lane adds to reports/metrics/headline.json."""
    return _adding_to(HEADLINES, name, order)


def result_rows(name: str, *, order: int) -> Callable[[Results], Results]:
    """Register what a lane adds to the README's table of results, from committed metrics alone."""
    return _adding_to(RESULTS, name, order)


def _adding_to(entries: dict[str, tuple[int, Entry]], name: str, order: int) -> Callable[[Entry], Entry]:
    def register(entry: Entry) -> Entry:
        entries[name] = order, entry
        return entry

    return register


def registered(entries: Mapping[str, tuple[int, Entry]]) -> list[Entry]:
    """Entries of all lanes in their order, after importing all modules of the lanes' report folders."""
    for folder in sorted(Path(__file__).parents[2].glob(LANE_FOLDERS.replace(".", "/"))):
        package = LANE_FOLDERS.replace("*", folder.parent.name)
        for module in pkgutil.iter_modules([str(folder)], f"{package}."):
            importlib.import_module(module.name)
    return [entry for _, entry in sorted(entries.values(), key=lambda pair: pair[0])]
