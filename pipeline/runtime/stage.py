"""How every stage ends: errors that a user can cure as one message without a traceback, Ctrl-C with a way to go on."""

import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from pipeline.runtime.check_params import wrong_params
from pipeline.runtime.interrupts import interrupted
from pipeline.runtime.kept_results import GenerationError
from pipeline.runtime.terminal_text import printable
from stores.schema import SchemaError

__all__ = ["INTERRUPTED", "OptionsError", "explained", "run_stage"]

INTERRUPTED = 130  # what shells report for a process that Ctrl-C ended
WRONG_OPTIONS = 2
EXPLAINED = (ValueError, ConnectionError, FileNotFoundError, GenerationError, SchemaError)


class OptionsError(ValueError):
    """The command line does not fit; the message lists every problem."""


def run_stage(name: str, main: Callable[[], None], *, also_explained: tuple[type[Exception], ...] = ()) -> NoReturn:
    """Run the stage and exit: 0, 1 after an error that explains itself, 2 where options are wrong, 130 after Ctrl-C.

    An unforeseen error keeps its traceback. A `main` without arguments is a stage, which has no options: words after
    its name are refused, and --help prints its description.

    Beside dvc.yaml a stage begins only when params.yaml fits all stages: what follows must not fail on it hours later.
    `also_explained`: errors of this stage that explain themselves, such as a missing optional program.
    """
    words = sys.argv[1:]
    if words and not inspect.signature(main).parameters:
        _answer(name, words, inspect.getmodule(main))
    try:
        if Path("dvc.yaml").is_file() and (wrong := wrong_params(Path.cwd())):
            raise ValueError(wrong)
        main()
    except (Exception, KeyboardInterrupt) as error:
        sys.exit(explained(name, error, also_explained))
    sys.exit(0)


def explained(name: str, error: BaseException, also_explained: tuple[type[Exception], ...] = ()) -> int:
    """The exit status after an error that a user can cure, which is printed as one message; raises any other."""
    if isinstance(error, KeyboardInterrupt | SystemError) and interrupted(error):
        print(f"\n{name}: interrupted. Finished shards are kept: run the same command again to go on.", file=sys.stderr)
        _leave(INTERRUPTED)
    if not isinstance(error, (*EXPLAINED, *also_explained)):
        raise error
    print(printable(f"{name}: {error}"), file=sys.stderr)
    return WRONG_OPTIONS if isinstance(error, OptionsError) else 1


def _answer(name: str, words: list[str], module: ModuleType | None) -> NoReturn:
    if {"-h", "--help"}.intersection(words):
        print(inspect.getdoc(module))
        sys.exit(0)
    problem = f"found {' '.join(words)}, expected no options; its settings stand in params.yaml, section {name}"
    print(f"{name}: {problem}", file=sys.stderr)
    sys.exit(WRONG_OPTIONS)


def _leave(status: int) -> NoReturn:
    """Exit without waiting for worker threads: nothing is left to be saved."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
