"""Columns of numbers that a user gives to a command: a text, a CSV file or an NPZ.

text, CSV   one row a line; numbers parted by blanks, commas or semicolons; # begins a comment; the first row may be
            names
NPZ         one array for each column, by its name
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.commands.options.declaring import is_number
from stores.importers.foreign_files import npz_arrays

__all__ = ["read_columns"]

Floats = NDArray[np.float64]
MOST_PROBLEMS = 5  # of one file in a message


def read_columns(path: Path, layouts: Sequence[tuple[str, ...]]) -> dict[str, Floats]:
    """Arrays (n_rows,) by the names of the one of `layouts` that fits; these differ in their number of columns.

    Raises ValueError that lists what is wrong: the file and the line of what is no number.
    """
    if not path.is_file():
        there = "a folder" if path.is_dir() else "no such file"
        raise ValueError(f"{path}: found {there}, expected a file with columns {described(layouts)}")
    return from_npz(path, layouts) if path.suffix.lower() == ".npz" else from_text(path, layouts)


def described(layouts: Sequence[tuple[str, ...]]) -> str:
    return " or ".join(", ".join(layout) for layout in layouts)


def from_npz(path: Path, layouts: Sequence[tuple[str, ...]]) -> dict[str, Floats]:
    try:
        arrays = npz_arrays(path)
    except Exception as error:  # damaged files raise errors of many kinds
        raise ValueError(f"{path}: cannot be read as NPZ ({error}); expected what numpy.savez writes") from None
    layout = next((names for names in layouts if set(names) <= set(arrays)), None)
    if layout is None:
        raise ValueError(f"{path}: found arrays {', '.join(arrays) or 'none'}, expected {described(layouts)}")
    strange = [name for name in layout if arrays[name].dtype.kind not in "iuf"]
    if strange:
        raise ValueError(f"{path}: found no real numbers in {', '.join(strange)}, expected real numbers")
    return {name: arrays[name].astype(np.float64) for name in layout}


def from_text(path: Path, layouts: Sequence[tuple[str, ...]]) -> dict[str, Floats]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: found bytes that are no text, expected text, CSV or NPZ") from None
    rows = [(number, words) for number, line in enumerate(lines, start=1) if (words := words_of(line))]
    if rows and not any(is_number(word) for word in rows[0][1]):
        rows = rows[1:]
    widths = {len(layout): layout for layout in layouts}
    fitting = widths.get(len(rows[0][1])) if rows else None
    layout = fitting or layouts[0]
    expected = described([fitting] if fitting else layouts)
    problems = [f"{path}: found no rows of numbers, expected columns {described(layouts)}"] if not rows else []
    for number, words in rows:
        strange = [repr(word) for word in words if not is_number(word)]
        if strange:
            problems.append(f"{path}:{number}: found {', '.join(strange)}, expected numbers")
        elif fitting is None or len(words) != len(layout):
            problems.append(f"{path}:{number}: found {len(words)} numbers, expected columns {expected}")
    if len(problems) > MOST_PROBLEMS:
        problems[MOST_PROBLEMS:] = [f"{path}: {len(problems) - MOST_PROBLEMS} more lines like these"]
    if problems:
        raise ValueError("\n  ".join(problems))
    table = np.array([[float(word) for word in words] for _, words in rows])
    return dict(zip(layout, table.T.copy(), strict=True))


def words_of(line: str) -> list[str]:
    """Two commas with nothing between them hold an empty word."""
    text = line.partition("#")[0].strip()
    return re.split(r"\s*[,;]\s*|\s+", text) if text else []
