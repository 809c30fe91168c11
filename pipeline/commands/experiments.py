"""`latentlaw experiments`: the table of `dvc exp show`, with the columns that tell experiments apart.

By itself DVC shows a column for every parameter and every file, some 750 here, and has no setting for less. Left are
the name, the day, the numbers of the headline and the parameters, where they differ: at most MOST_COLUMNS. What does
not fit is named below the table.
"""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

from pipeline.commands.options.clone import ExperimentsOptions
from pipeline.commands.repro import run_dvc
from pipeline.runtime.content_key import PACKAGES

__all__ = ["FILES", "MOST_COLUMNS", "columns_to_show", "main"]

FILES = rf"({'|'.join(sorted((*PACKAGES, 'data', 'reports', 'runs')))})/|Executor$|State$"
MOST_COLUMNS = 15
LEAST_PARAMS = 5  # of those that differ, where numbers would take all the place
ALWAYS = ("Experiment", "Created")
OF_THE_NAME = ("rev", "typ", "parent")  # columns of a CSV that the table has in its first
HEADLINE = Path("reports/metrics/headline.json")
SHOW = ["exp", "show", "--only-changed", "--no-pager", "--drop", FILES]


def main(options: ExperimentsOptions) -> int:
    if not Path("dvc.yaml").is_file():
        raise FileNotFoundError(f"found no dvc.yaml in {Path.cwd()}, expected one; go to the top folder of the clone")
    command = [sys.executable, "-m", "dvc", *SHOW, *options.words, "--csv"]
    reply = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # its messages go to the terminal
    if reply.returncode:
        return reply.returncode
    columns = next(csv.reader(io.StringIO(reply.stdout)), [])
    numbers = list(json.loads(HEADLINE.read_text())) if HEADLINE.is_file() else []
    shown = columns_to_show(columns, numbers)
    hidden = [name for name in columns if name not in (*shown, *OF_THE_NAME)]
    drop = ["--drop", f"({'|'.join(map(re.escape, hidden))})$"] if hidden else []
    status = run_dvc([*SHOW, *drop, *options.words])
    if hidden:
        print(f"experiments: {len(hidden)} more columns differ: {', '.join(hidden)}", file=sys.stderr)
    return status


def columns_to_show(columns: list[str], numbers: list[str]) -> list[str]:
    """Those of the table: name and day, then as many numbers of the headline and parameters as there is place for."""
    n_free = MOST_COLUMNS - len(ALWAYS)
    metrics = [name for name in columns if name in numbers]
    params = [name for name in columns if name not in (*numbers, *ALWAYS, *OF_THE_NAME)]
    n_params = min(len(params), max(n_free - len(metrics), LEAST_PARAMS))
    return [*(name for name in columns if name in ALWAYS), *metrics[: n_free - n_params], *params[:n_params]]
