"""Curves of a training, written by DVCLive while it goes on: FOLDER/metrics.json and FOLDER/plots/metrics/*.tsv."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvclive.lightning import DVCLiveLogger

__all__ = ["live_curves"]


@contextlib.contextmanager
def live_curves(folder: Path, *, resumed: bool) -> Iterator["DVCLiveLogger"]:
    """A logger that writes into `folder`: begun anew, or gone on with where the training goes on from a checkpoint."""
    from dvclive.lightning import DVCLiveLogger  # takes a second to import
    from dvclive.live import Live

    live = Live(str(folder), resume=resumed, save_dvc_exp=False, dvcyaml=None, report=None)
    yield DVCLiveLogger(experiment=live, save_dvc_exp=False, dvcyaml=None, report=None)
    live.end()  # type: ignore[no-untyped-call]
