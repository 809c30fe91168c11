"""Stage `discover`: what varies in a data set of this project or of the user, one stage for each (`foreach`).

    reads   params.yaml: discover; the file of the data set
    writes  runs/discovery/<name>                report.html, discover.json, latents.zarr
            reports/metrics/discover_<name>.json the same numbers

    python -m pipeline.discover.discover hubbard

It does what `latentlaw discover` does. To add a data set: its words in params.yaml, its name in dvc.yaml.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from models.settings import settings
from pipeline.discover.folder import DataSet, discover_in
from pipeline.runtime.params import load_params
from pipeline.runtime.records import write_json
from pipeline.runtime.stage import OptionsError, run_stage

__all__ = ["DiscoverParams", "main"]


@settings
class DiscoverParams:
    """Section `discover` of params.yaml."""

    data_sets: dict[str, DataSet]


def main(words: Sequence[str] | None = None) -> None:
    """`words`: the name of the data set (default: the command line). Raises ValueError where params.yaml has none."""
    data_sets = load_params(DiscoverParams, "discover").data_sets
    given = sys.argv[1:] if words is None else list(words)
    if len(given) != 1 or given[0] not in data_sets:
        raise OptionsError(f"found {' '.join(given) or 'no name'}, expected one data set: {', '.join(data_sets)}")
    name = given[0]
    out = Path(f"runs/discovery/{name}")
    record = discover_in(data_sets[name], out, lambda line: print(f"discover: {line}", flush=True))
    write_json(Path(f"reports/metrics/discover_{name}.json"), record, digits=6)
    print(f"{out}: {record['active_latents']} active latents of {record['n_rows']} rows", flush=True)


if __name__ == "__main__":
    run_stage("discover", main)
