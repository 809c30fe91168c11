"""How every stage ends: errors that a user can cure as one message without a traceback, Ctrl-C with a way to go on."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from pipeline.shards import GenerationError
from stores.schema import SchemaError

__all__ = ["run_stage", "write_metrics"]

INTERRUPTED = 130  # what shells report for a process that Ctrl-C ended


def run_stage(name: str, main: Callable[[], None], *, also_told: tuple[type[Exception], ...] = ()) -> NoReturn:
    """Run the stage and exit: 0, 1 after a told error, 130 after Ctrl-C. An unforeseen error keeps its traceback.

    `also_told`: errors of this stage that explain themselves, such as a missing optional program.
    """
    told: tuple[type[Exception], ...] = (
        ValueError,
        ConnectionError,
        FileNotFoundError,
        GenerationError,
        SchemaError,
        *also_told,
    )
    try:
        main()
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted. Finished shards are kept: run the same command again to go on.", file=sys.stderr)
        _leave(INTERRUPTED)
    except told as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)


def write_metrics(path: Path, values: Mapping[str, object]) -> None:
    """Write a small JSON file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _leave(status: int) -> NoReturn:
    """Exit without waiting for worker threads: nothing is left to be saved."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
