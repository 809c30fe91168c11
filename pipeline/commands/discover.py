"""Find what varies in the user's own curves or images: report.html, discover.json and latents.zarr in a folder."""

import sys

from pipeline.commands.options.discover import DiscoverOptions
from pipeline.discover.folder import DataSet, discover_in

__all__ = ["main"]


def main(options: DiscoverOptions) -> None:
    asked = DataSet(
        data=str(options.data),
        array=options.array,
        inputs=tuple(options.input_names),
        known=tuple(options.known_names),
        units=options.units,
        group=options.group,
        axis=options.axis,
        symmetry=options.symmetry,
        quick=options.quick,
        seed=options.seed,
        drop_not_finite=options.drop_not_finite,
    )
    record = discover_in(asked, options.out, lambda line: print(f"discover: {line}", file=sys.stderr, flush=True))
    print(f"{options.out}/report.html: {record['active_latents']} active latents of {record['n_rows']} rows")
