"""Lay lane pages out as one HTML file that needs nothing beside itself."""

import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from pipeline.report.page import LanePage

__all__ = ["physics", "render"]

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
    environment.filters["physics"] = physics
    return environment.get_template(TEMPLATE.name).render(lanes=lanes, title=title)


def physics(text: str | Markup) -> Markup:
    """Escaped text with T_K, n_d, eps_d and Gamma as they are written in physics; Markup passes as it is."""
    if isinstance(text, Markup):
        return text
    written = re.sub(r"\bGamma\b", "Γ", re.sub(r"\beps_d\b", "ε_d", str(escape(text))))
    return Markup(re.sub(r"(?<![A-Za-z_])(T|n|ε|S)_(K|d|z)(?![A-Za-z_])", r"\1<sub>\2</sub>", written))
