"""Programs that ASE runs through files (VASP, CP2K, Quantum ESPRESSO): a folder for each calculation.

By default such a calculator works where Python runs. Calculations that are made side by side would then read each
other's files, and later ones begin from what earlier ones left.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["own_folder"]


@contextmanager
def own_folder(calculator: Any) -> Iterator[None]:  # noqa: ANN401 - any ASE calculator
    """An empty folder for what this calculator does here, removed afterwards, unless it has named one itself."""
    if Path(getattr(calculator, "directory", "none")) != Path():
        yield
        return
    with tempfile.TemporaryDirectory(prefix="ase-") as folder:
        calculator.directory = folder
        try:
            yield
        finally:
            calculator.directory = "."
