"""What of the files became labels of the store and what did not, for the report and for the store's own attributes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stores.importers.labelled import LabelUse

__all__ = ["dropped_in_short", "label_uses"]

MAX_NAMES = 100
COLUMN = {"energy": "energy", "forces": "force", "stress": "stress", "charges": "charge"}


def label_uses(
    columns: Mapping[str, NDArray[Any]], keys: Mapping[str, str], units: Mapping[str, str]
) -> tuple[LabelUse, ...]:
    """One line for each label that a store can have."""
    uses = []
    for label, name in COLUMN.items():
        values = columns[name]
        given = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if label in ("forces", "charges"):
            given = given[columns["first_atom"]]
        there = int(given.sum())
        uses.append(
            LabelUse(label=label, key=keys.get(label, ""), n_records=there, units=units[label] if there else "")
        )
    return tuple(uses)


def dropped_in_short(dropped: Mapping[str, Sequence[str]], files: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Reason -> how many records and the first of them, named by file, not by where the file lay."""
    folders = {f"{file}, ": len(file) - len(Path(file).name) for file in files}

    def short(name: str) -> str:
        return next((name[length:] for begin, length in folders.items() if name.startswith(begin)), name)

    return {
        reason: {"records": len(names), "first": [short(name) for name in names[:MAX_NAMES]]}
        for reason, names in dropped.items()
    }
