"""Write params.yaml at another size: a profile of profiles/, or `default` for what the last commit has."""

from pathlib import Path

from pipeline.commands.options.clone import ProfileOptions
from pipeline.runtime.profiles import write_profile

__all__ = ["main"]


def main(options: ProfileOptions) -> None:
    written = write_profile(options.name, Path.cwd(), overwrite=options.overwrite)
    print(f"{written.name}: profile {options.name}; `latentlaw repro` runs it")
