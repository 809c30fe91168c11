"""Section on all networks that were trained: nothing is shown for the best seed only."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report_pages.page import Notice, Section, Table, number

__all__ = ["seed_section"]


def seed_section(metrics: Mapping[str, Any]) -> Section:
    """`metrics` are those of reports/metrics/spectrum_vae.json; `seeds` holds one record per trained network."""
    seeds = metrics["seeds"]
    records = [r for r in seeds if isinstance(r, Mapping)] if isinstance(seeds, Sequence) else []
    if not records:
        block: Table | Notice = Notice(text="reports/metrics/spectrum_vae.json records no single networks.")
    else:
        columns = list(dict.fromkeys(key for record in records for key in record))
        block = Table(
            columns=[column.replace("_", " ") for column in columns],
            rows=[[_cell(record.get(column)) for column in columns] for record in records],
            highlighted=frozenset(i for i, record in enumerate(records) if record.get("selected")),
            caption="Every network that was trained; highlighted, the ones chosen by criteria that see spectra only.",
        )
    return Section(anchor="spectra-seeds", title="Seeds", blocks=[block])


def _cell(value: Any) -> str:  # noqa: ANN401 - JSON
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) or value is None:
        return number(value)
    if isinstance(value, list):
        return ", ".join(_cell(item) for item in value)
    return str(value).replace("_", " ")
