"""The command line: `latentlaw`, or `python -m latentlaw`."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
