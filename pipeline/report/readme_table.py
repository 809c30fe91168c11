"""The README's table of results, written from the committed metrics of the default run.

Lanes register their rows, which say the weakest thing that was measured: held-out rows, intervals where they were
estimated, raw beside centred baselines, and what went wrong beside what went well.

    python -m pipeline.report.readme_table           exits 1 where README.md differs
    python -m pipeline.report.readme_table --write   brings README.md up to date
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.report.page import RESULTS, ResultRow, registered
from stores.atomic import write_text

__all__ = ["main", "rows", "table", "with_table"]

README = Path("README.md")
BEGIN, END = "<!-- results -->", "<!-- /results -->"
ASCII = str.maketrans({"\u2212": "-", "\u00a0": " ", "\u202f": ",", "\u2011": "-", "|": "\\|"})


def main() -> int:
    parser = argparse.ArgumentParser(description="The README's table of results, from the committed metrics.")
    parser.add_argument("--write", action="store_true", help="bring README.md up to date (default: compare)")
    write = parser.parse_args().write
    text = README.read_text(encoding="utf-8")
    wanted = with_table(text, table(rows(Path.cwd())))
    if write:
        write_text(README, wanted)
    elif text != wanted:
        print(f"{README}: its table of results is not that of reports/metrics; run this with --write", file=sys.stderr)
        return 1
    return 0


def rows(root: Path) -> list[ResultRow]:
    return [row for lane in registered(RESULTS) for row in lane(root)]


def table(content: Sequence[ResultRow]) -> str:
    lines = [("", "result", "judged by"), ("---", "---", "---"), *content]
    return "\n".join(f"| {' | '.join(cell.translate(ASCII) for cell in line)} |" for line in lines)


def with_table(text: str, lines: str) -> str:
    """The text with the table between the markers. Raises ValueError where they are missing."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{README}: found no {BEGIN} before {END}, expected each once; put them around the table")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{lines}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    sys.exit(main())
