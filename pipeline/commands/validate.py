"""Are these stores valid? Lists every violation with its place; the checks are those of stores.validate."""

from pipeline.commands.options.clone import ValidateOptions
from stores.validate import report

__all__ = ["main"]


def main(options: ValidateOptions) -> int:
    return max([report(path, options.manifest) for path in options.paths])
