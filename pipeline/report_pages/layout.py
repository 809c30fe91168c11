"""Lay lane pages out as one HTML file that needs nothing beside itself."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.report_pages.page import LanePage

__all__ = ["render"]

TEMPLATE = Path(__file__).with_name("report.html.j2")


def render(lanes: Sequence[LanePage], *, title: str) -> str:
    """The page; the same lanes give the same bytes. Text is escaped, a name that the template lacks is an error."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(TEMPLATE.name).render(lanes=lanes, title=title)
