"""Find what varies in the user's own curves or images: report.html, discover.json and latents.zarr in a folder.

The steps are those of pipeline.discover.study; this reads the file and writes what was found.
"""

import json
import sys

import numpy as np
import torch
import xarray as xr

from pipeline.commands.options.discover import DiscoverOptions
from pipeline.discover.page import page_of
from pipeline.discover.study import FULL, QUICK, Study, result, study
from pipeline.discover.units import group_columns, read_units
from pipeline.runtime.records import write_json
from stores.atomic import write_text
from stores.building import building
from stores.discovered import DISCOVERED
from stores.importers.curves import read_curves
from stores.zarr_store import write_store

__all__ = ["main"]

KIND = "discovery"


def main(options: DiscoverOptions) -> None:
    torch.set_num_threads(1)
    table = read_curves(
        options.data,
        options.array,
        [*options.input_names, *options.known_names],
        group=options.group,
        drop_not_finite=options.drop_not_finite,
    )
    if table.n_dropped:
        print(f"{options.data}: left out {table.n_dropped} rows with values that are not finite", file=sys.stderr)
    inputs = {name: table.columns[name] for name in options.input_names}
    found = study(
        table,
        group_columns(inputs, read_units(options.units)) if options.units else inputs,
        budget=QUICK if options.quick else FULL,
        symmetry=options.symmetry,
        seed=options.seed,
        report=lambda line: print(f"discover: {line}", file=sys.stderr, flush=True),
    )
    record = result(found)
    with building(options.out, KIND) as written:
        written.mkdir()
        write_json(written / "discover.json", record, digits=6, sort_keys=False)
        write_text(written / "report.html", page_of(found, name=options.data.name, scale=options.axis))
        write_store(written / "latents.zarr", DISCOVERED, latents_of(found, str(options.data)))
    print(f"{options.out}/report.html: {len(found.names)} active latents of {record['n_rows']} rows")


def latents_of(found: Study, source: str) -> xr.Dataset:
    columns = {
        "group": found.table.groups,
        "split": found.split_N,
        "latent_mean": found.mean_NL,
        "latent_std": found.std_NL,
        "kl": found.kl_L,
        "quantity": np.column_stack(list(found.table.columns.values())),
    }
    attributes = {
        "latent_names": json.dumps(list(found.names)),
        "quantities": json.dumps(list(found.table.columns)),
        "source": source,
    }
    return DISCOVERED.dataset(columns, attributes)
