"""`latentlaw`: all commands, one line each. Nothing heavy is imported before a command begins.

A command is what it is asked (a class in pipeline.commands.options) and a function of that (in pipeline.commands).
Adding one is a line here; a format of `import-dataset` is a file in pipeline/commands/importers/.
Exit status: 0, 1 after an error that is explained, 2 for wrong options, 130 after Ctrl-C.
"""

import importlib
import sys
from collections.abc import Callable
from typing import Any

import typer

from pipeline.commands.importers.importer import importers
from pipeline.commands.options.active_learning import ActiveLearningOptions
from pipeline.commands.options.clone import (
    DiffOptions,
    DoctorOptions,
    ExperimentsOptions,
    ProfileOptions,
    PublishOptions,
    ReplicateOptions,
    ReproOptions,
    ValidateOptions,
)
from pipeline.commands.options.declaring import Options, declared, function_of
from pipeline.commands.options.discover import DiscoverOptions
from pipeline.commands.options.dmft import DMFTOptions
from pipeline.commands.options.images import EmbedOptions
from pipeline.commands.options.impurity import ImpurityOptions
from pipeline.commands.options.potentials import BenchmarkOptions, ExportOptions, PredictOptions, TrainOptions
from pipeline.commands.options.quickstart import QuickstartOptions
from pipeline.commands.options.shards import StatusOptions, WorkOptions
from pipeline.commands.options.submit import SubmitOptions
from pipeline.runtime.extras import explained_by_extra

__all__ = ["app", "main"]

COMMANDS: dict[str, tuple[type[Options], str]] = {  # name -> what it is asked, module of pipeline.commands: function
    "quickstart": (QuickstartOptions, "quickstart:main"),
    "repro": (ReproOptions, "repro:main"),
    "profile": (ProfileOptions, "profile:main"),
    "submit": (SubmitOptions, "submit:main"),
    "work": (WorkOptions, "work:main"),
    "status": (StatusOptions, "status:main"),
    "replicate": (ReplicateOptions, "replicate:main"),
    "doctor": (DoctorOptions, "doctor:main"),
    "validate": (ValidateOptions, "validate:main"),
    "diff": (DiffOptions, "diff:main"),
    "experiments": (ExperimentsOptions, "experiments:main"),
    "publish": (PublishOptions, "publish:main"),
    "solve-impurity": (ImpurityOptions, "solve_impurity:main"),
    "dmft": (DMFTOptions, "dmft:main"),
    "discover": (DiscoverOptions, "discover:main"),
    "embed-images": (EmbedOptions, "embed_images:main"),
    "train-potential": (TrainOptions, "train_potential:main"),
    "active-learning": (ActiveLearningOptions, "active_learning:main"),
    "predict": (PredictOptions, "predict:main"),
    "export-potential": (ExportOptions, "export_potential:main"),
    "benchmark-potential": (BenchmarkOptions, "benchmark_potential:main"),
}
IMPORT_HELP = """Turn data in a public format into a validated store.

Atoms become labelled configurations in A, eV, eV/A: keys, units, what to keep together in splits and reference energies
are options. Records that cannot be used stop the import with one message, or are left out and named with --drop-bad.
What was used, ignored and dropped is printed as a table and kept in the store's attribute `imported`.
"""


def main() -> None:
    """The console script."""
    try:
        app(prog_name="latentlaw")
    except ModuleNotFoundError as error:
        missing = explained_by_extra(error)
        if missing is None:
            raise
        sys.exit(f"latentlaw: {missing}")


def _begin(name: str, target: str) -> Callable[[Options], None]:
    """The function of a command, imported only when it is called."""

    def run(options: Options) -> None:
        sys.exit(perform(name, getattr(importlib.import_module(f"pipeline.commands.{module}"), function), options))

    module, _, function = target.partition(":")
    return run


def _import(name: str, read: Callable[[Any], None]) -> Callable[[Options], None]:
    """The function of a format."""
    return lambda options: sys.exit(perform(f"import-dataset {name}", read, options))


def perform(name: str, function: Callable[[Any], int | None], options: Options) -> int:
    """Run a command and return its exit status; an error that is explained becomes one message."""
    try:
        return function(options) or 0
    except (Exception, KeyboardInterrupt) as error:
        from pipeline.runtime.stage import explained

        return explained(name, error)


def _app() -> typer.Typer:
    plain: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False, "no_args_is_help": True}
    settings = {"help_option_names": ["--help", "-h"]}
    app = typer.Typer(help="Simulated physics in, laws out.", context_settings=settings, **plain)
    formats = typer.Typer(help=IMPORT_HELP, context_settings=settings, **plain)
    for name, (options, target) in COMMANDS.items():
        app.command(name, **declared(options))(function_of(options, _begin(name, target)))
    for name, (options, read, help_text) in importers().items():
        keywords = declared(options) | ({"help": help_text} if help_text else {})
        formats.command(name, **keywords)(function_of(options, _import(name, read)))
    app.add_typer(formats, name="import-dataset")
    return app


app = _app()

if __name__ == "__main__":
    main()
