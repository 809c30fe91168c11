"""Write params.yaml at another size: a profile of profiles/, or `default` for what the last commit has.

python -m pipeline.commands.profile tiny [--overwrite]
"""

import argparse
import sys
from pathlib import Path

from pipeline.runtime.params import ParamsError
from pipeline.runtime.profiles import DEFAULT, profile_names, write_profile

__all__ = ["main"]


def main() -> int:
    root = Path.cwd()
    parser = argparse.ArgumentParser(prog="latentlaw profile", description=__doc__.partition("\n")[0])
    parser.add_argument("name", help=f"one of {', '.join([DEFAULT, *profile_names(root)])}")
    parser.add_argument("--overwrite", action="store_true", help="lose edits of params.yaml that are not committed")
    options = parser.parse_args()
    try:
        written = write_profile(options.name, root, overwrite=options.overwrite)
    except ParamsError as error:
        print(f"profile: {error}", file=sys.stderr)
        return 1
    print(f"{written.name}: profile {options.name}; `latentlaw repro` runs it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
