"""`latentlaw experiments`: the table of `dvc exp show`, with the columns that tell experiments apart.

By itself DVC shows a column for every parameter and every file, some 750 here. Left are the name, the day, the numbers
of the headline and the parameters, where they differ.
"""

from pathlib import Path

from pipeline.commands.options.clone import ExperimentsOptions
from pipeline.commands.repro import run_dvc
from pipeline.runtime.content_key import PACKAGES

__all__ = ["FILES", "main"]

FILES = rf"({'|'.join(sorted((*PACKAGES, 'data', 'reports', 'runs')))})/|Executor$|State$"


def main(options: ExperimentsOptions) -> int:
    if not Path("dvc.yaml").is_file():
        raise FileNotFoundError(
            f"found no dvc.yaml in {Path.cwd()}; expected the top folder of the clone. Go there first"
        )
    return run_dvc(["exp", "show", "--only-changed", "--no-pager", "--drop", FILES, *options.words])
