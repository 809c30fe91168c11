"""The README's table of results and that of docs/protocol.md, written from the committed metrics of the default run.

Lanes register their rows, which say the weakest thing that was measured: held-out rows, intervals where they were
estimated, raw beside centred baselines, and what went wrong beside what went well.

    python -m pipeline.report.readme_table           exits 1 where one of them differs
    python -m pipeline.report.readme_table --write   brings both up to date
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.report.page import ResultRow
from pipeline.report.registry import RESULTS, registered
from pipeline.report.replication_table import COLUMNS, claim_cells, read_replication
from stores.atomic import write_text

__all__ = ["main", "pages", "rows", "table", "with_table"]

README, PROTOCOL = Path("README.md"), Path("docs/protocol.md")
ASCII = str.maketrans(
    {"\u2212": "-", "\u00a0": " ", "\u202f": ",", "\u2011": "-", "\u201c": '"', "\u201d": '"', "|": "\\|"}
)


def main() -> int:
    parser = argparse.ArgumentParser(description="The tables of results, from the committed metrics.")
    parser.add_argument("--write", action="store_true", help="bring the pages up to date (default: compare)")
    write = parser.parse_args().write
    status = 0
    for page, wanted in pages(Path.cwd()).items():
        if write:
            write_text(page, wanted)
        elif page.read_text(encoding="utf-8") != wanted:
            print(f"{page}: its table is not that of reports/metrics; run this with --write", file=sys.stderr)
            status = 1
    return status


def pages(root: Path) -> dict[Path, str]:
    """Every page with its table as it should be."""
    results = table([("", "result", "judged by"), *rows(root)])
    replication = read_replication(root)
    claims = "Not run yet." if replication is None else table([COLUMNS, *claim_cells(replication.claims)])
    tables = {README: ("results", results), PROTOCOL: ("replication", claims)}
    return {
        page: with_table((root / page).read_text(encoding="utf-8"), lines, page, mark)
        for page, (mark, lines) in tables.items()
    }


def rows(root: Path) -> list[ResultRow]:
    return [row for lane in registered(RESULTS) for row in lane(root)]


def table(lines: Sequence[Sequence[str]]) -> str:
    """In Markdown; the first line is the head."""
    head, *content = lines
    cells = [head, ["---"] * len(head), *content]
    return "\n".join(f"| {' | '.join(cell.translate(ASCII) for cell in line)} |" for line in cells)


def with_table(text: str, lines: str, page: Path = README, mark: str = "results") -> str:
    """The text with the table between the markers. Raises ValueError where they are missing."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"{page}: found no {begin} before {end}, expected each once; put them around the table")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{lines}\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    sys.exit(main())
