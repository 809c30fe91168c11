"""What a page of the report is made of. A lane hands back one `LaneReport`; the template lays its page out.

Lanes register theirs: pipeline/report/registry.py. Text may say T_K, n_d, eps_d or Gamma: the layout writes them as
physicists do. Text is escaped by the template; `Markup`, made by the figure code, passes as it is.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup
from matplotlib.figure import Figure

from pipeline.report.drawing import inline_svg

__all__ = [
    "Block",
    "KeyNumber",
    "LanePage",
    "LaneReport",
    "Notice",
    "Paragraph",
    "Picture",
    "ResultRow",
    "Section",
    "Table",
    "csv_table",
    "in_order",
    "number",
    "picture",
    "r_squared",
    "value_with_interval",
]


@dataclass(frozen=True, kw_only=True)
class Picture:
    svg: Markup  # inline <svg>
    caption: str
    kind: Literal["picture"] = "picture"


@dataclass(frozen=True, kw_only=True)
class Table:
    columns: Sequence[str]
    rows: Sequence[Sequence[str | Markup]]
    caption: str = ""
    highlighted: frozenset[int] = frozenset()  # rows to draw the eye to
    details: Sequence[Markup] = ()  # one for every row, laid out below it over the full width
    kind: Literal["table"] = "table"


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    text: str | Markup
    kind: Literal["paragraph"] = "paragraph"


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something a reader has to know: a goal not reached, a part that is missing and how to get it."""

    text: str
    kind: Literal["notice"] = "notice"


Block = Picture | Table | Paragraph | Notice


@dataclass(frozen=True, kw_only=True)
class KeyNumber:
    value: str
    label: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    anchor: str
    title: str
    blocks: Sequence[Block]
    introduction: str = ""


@dataclass(frozen=True, kw_only=True)
class LanePage:
    name: str  # also the anchor
    title: str
    finding: str  # one sentence, drawn from the metrics
    key_numbers: Sequence[KeyNumber]
    lead: Picture | Notice
    sections: Sequence[Section]
    provenance: Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class LaneReport:
    """One lane's page, its pictures for the README by name, and CSV tables for `dvc plots` by name."""

    page: LanePage
    pictures: Mapping[str, Figure]
    tables: Mapping[str, str]


ResultRow = tuple[str, str, str]  # what, result, how it is judged


def picture(figure: Figure, *, name: str, description: str, caption: str) -> Picture:
    """`name` prefixes the ids of the figure, `description` is read where it cannot be seen."""
    return Picture(svg=inline_svg(figure, name=name, description=description), caption=caption)


def number(value: float | int | None, digits: int = 3) -> str:
    """For reading: thin-spaced thousands for integers, `digits` significant digits otherwise, a dash for nothing."""
    if value is None or value != value:
        return "\u2013"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f")
    text = f"{value:.{digits}g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        return f"{mantissa}·10{str(int(exponent)).translate(SUPERSCRIPTS)}".replace("-", "\u2212")
    return text.replace("-", "\u2212")


def r_squared(value: float | None) -> str:
    """Cut, not rounded, after the fifth digit: an imperfect fit never reads as 1."""
    if value is None or value != value or value < 0.99:
        return number(value)
    return f"{math.floor(value * 1e5) / 1e5:.5f}"


SUPERSCRIPTS = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


def value_with_interval(value: float | None, low: float | None, high: float | None, digits: int = 3) -> str:
    if low is None or high is None:
        return number(value, digits)
    return f"{number(value, digits)} [{number(low, digits)},\u00a0{number(high, digits)}]"


def in_order(given: Iterable[str], known: Iterable[str]) -> list[str]:
    """Known names first, in their order."""
    names = list(given)
    first = [name for name in known if name in names]
    return first + [name for name in names if name not in first]


def csv_table(names: Sequence[str], rows: Iterable[Iterable[float]]) -> str:
    """A small table for `dvc plots show` and `dvc plots diff`."""
    lines = [",".join(names), *(",".join(f"{value:.6g}" for value in row) for row in rows)]
    return "\n".join(lines) + "\n"
