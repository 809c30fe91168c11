"""What a page of the report is made of. A lane hands back one `LanePage`; the template lays it out.

Text may say T_K, n_d, eps_d or Gamma: the layout writes them as physicists do.

To add a lane: write `pipeline/report_pages/<lane>.py` with a function `(root, max_points) -> LaneReport` and name it in
`LANES` of pipeline/report/report.py. Text is escaped by the template; `Markup`, made by the figure code, passes as it
is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup
from matplotlib.figure import Figure

__all__ = [
    "KeyNumber",
    "LanePage",
    "LaneReport",
    "Notice",
    "Paragraph",
    "Picture",
    "Section",
    "Table",
    "number",
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


@dataclass(frozen=True, kw_only=True)
class KeyNumber:
    value: str
    label: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    anchor: str
    title: str
    blocks: Sequence[Picture | Table | Paragraph | Notice]
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
