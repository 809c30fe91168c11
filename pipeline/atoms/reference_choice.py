"""Reference energies of atoms, chosen by name: of isolated atoms in the data, fitted, of QM9's own level, or given."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.physics.atoms.reference_energies import b3lyp_atoms, least_squares, robust
from stores.importers.label_store import References

__all__ = ["references_by"]


def references_by(method: str, *, energy: str = "U0") -> References | None:
    """Reference energies of the elements in the data by one of the methods, `b3lyp` for QM9's `energy`.

    Raises ValueError for a method that is not known.
    """
    if method == "none":
        return None
    if method in ("auto", "least_squares"):
        return lambda numbers, counts, energies: least_squares(numbers, counts, energies).as_mapping()
    if method == "robust":
        return lambda numbers, counts, energies: robust(numbers, counts, energies).as_mapping()
    return _given(b3lyp_atoms(energy) if method == "b3lyp" else _parsed(method))


def _given(energies: Mapping[int, float]) -> References:
    def of_elements(
        numbers: NDArray[np.int64], counts: NDArray[np.int64], labels: NDArray[np.float64]
    ) -> dict[int, float]:
        if missing := [int(number) for number in numbers if int(number) not in energies]:
            raise ValueError(f"references: found none for the elements {missing}, expected all; add them")
        return {int(number): energies[int(number)] for number in numbers}

    return of_elements


def _parsed(text: str) -> dict[int, float]:
    from ase.data import atomic_numbers

    energies = {}
    for word in text.split(","):
        symbol, _, energy = word.partition("=")
        try:
            energies[int(atomic_numbers[symbol.strip()])] = float(energy)
        except (KeyError, ValueError):
            raise ValueError(
                f"references: found {word!r}, expected least_squares, robust, auto, none, or SYMBOL=ENERGY,... like "
                "H=-13.6"
            ) from None
    return energies
