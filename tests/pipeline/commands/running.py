"""`latentlaw` in the process of the test."""

from unittest.mock import patch

import typer

from pipeline import cli
from pipeline.runtime.stage import OptionsError

__all__ = ["run"]

UsageError = typer.BadParameter.__base__


def run(*words: object) -> int:
    """The exit status. Raises what the command raises, OptionsError where its options are wrong."""
    with patch.object(cli, "perform", lambda name, function, options: function(options)):
        try:
            cli.app(list(map(str, words)), standalone_mode=False)
        except UsageError as error:
            raise OptionsError(error.format_message()) from error
        except SystemExit as left:
            return int(left.code or 0)
    return 0
