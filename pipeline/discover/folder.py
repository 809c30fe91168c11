"""From a file of curves or images to a folder: report.html, discover.json and latents.zarr.

The steps between are those of pipeline.discover.study. The command `latentlaw discover` and the stage `discover` make
the same folder of the same `DataSet`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import xarray as xr
from pydantic import Field, NonNegativeInt

from models.settings import settings
from pipeline.discover.page import page_of
from pipeline.discover.study import FULL, QUICK, Study, result, study
from pipeline.discover.units import group_columns, read_units
from pipeline.runtime.records import write_json
from stores.atomic import write_text
from stores.building import building
from stores.discovered import DISCOVERED
from stores.importers.curves import read_curves
from stores.zarr_store import write_store

__all__ = ["DataSet", "discover_in"]

KIND = "discovery"


@settings
class DataSet:
    """An array of a file and what is known of its rows: the words of `latentlaw discover`."""

    data: str
    array: str
    inputs: Annotated[tuple[str, ...], Field(strict=False)]
    known: Annotated[tuple[str, ...], Field(strict=False)]
    units: str
    group: str | None
    axis: Literal["linear", "log", "symlog"]
    symmetry: Literal["none", "mirror"]
    quick: bool
    seed: NonNegativeInt
    drop_not_finite: bool


def discover_in(asked: DataSet, out: Path, report: Callable[[str], None]) -> dict[str, Any]:
    """Write the folder `out`, whole or not at all, and return the content of its discover.json.

    Raises ValueError or FileNotFoundError where the data or the words do not fit, before anything is trained.
    """
    torch.set_num_threads(1)
    table = read_curves(
        Path(asked.data),
        asked.array,
        [*asked.inputs, *asked.known],
        group=asked.group,
        drop_not_finite=asked.drop_not_finite,
    )
    if table.n_dropped:
        report(f"{asked.data}: left out {table.n_dropped} rows that failed or hold values that are not finite")
    inputs = {name: table.columns[name] for name in asked.inputs}
    studied = study(
        table,
        group_columns(inputs, read_units(asked.units)) if asked.units else inputs,
        budget=QUICK if asked.quick else FULL,
        symmetry=asked.symmetry,
        seed=asked.seed,
        report=report,
    )
    record = result(studied)
    with building(out, KIND) as written:
        written.mkdir()
        write_json(written / "discover.json", record, digits=6, sort_keys=False)
        write_text(written / "report.html", page_of(studied, name=Path(asked.data).name, scale=asked.axis))
        write_store(written / "latents.zarr", DISCOVERED, latents_of(studied, asked.data))
    return record


def latents_of(study: Study, source: str) -> xr.Dataset:
    columns = {
        "group": study.table.groups,
        "split": study.split_N,
        "latent_mean": study.mean_NL,
        "latent_std": study.std_NL,
        "kl": study.kl_L,
        "quantity": np.column_stack(list(study.table.columns.values())),
    }
    attributes = {
        "latent_names": json.dumps(list(study.names)),
        "quantities": json.dumps(list(study.table.columns)),
        "source": source,
    }
    return DISCOVERED.dataset(columns, attributes)
