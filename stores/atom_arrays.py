"""All labelled configurations of an atoms store as plain arrays, for training: read in whole columns, no records.

Suffixes: M configurations, N atoms in all.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores.atoms import ATOMS
from stores.outcome import OK
from stores.zarr_store import open_store

__all__ = ["AtomArrays", "load_atoms"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class AtomArrays:
    """Configurations side by side (CSR). Labels that were not given are NaN."""

    numbers: IntArray  # (N,) atomic numbers
    positions_A: FloatArray  # (N, 3)
    forces_eV_A: FloatArray  # (N, 3)
    charges_e: FloatArray  # (N,)
    first_atom: IntArray  # (M,)
    n_atoms: IntArray  # (M,)
    cell_A: FloatArray  # (M, 3, 3), zeros where open
    pbc: NDArray[np.bool_]  # (M, 3)
    energy_eV: FloatArray  # (M,)
    stress_eV_A3: FloatArray  # (M, 3, 3)
    group: IntArray  # (M,)
    row: IntArray  # (M,) row of the store
    level: str
    reference_energies_eV: Mapping[int, float]  # atomic number -> eV

    def __len__(self) -> int:
        return len(self.n_atoms)

    def atoms_of(self, config: int) -> slice:
        """Rows of the atoms of one configuration."""
        return slice(int(self.first_atom[config]), int(self.first_atom[config] + self.n_atoms[config]))

    def config_of_atoms(self) -> IntArray:
        """Configuration of each atom, (N,)."""
        return np.repeat(np.arange(len(self)), self.n_atoms)

    def composition(self) -> tuple[IntArray, IntArray]:
        """Atomic numbers that occur, ascending (Z,), and how many of each every configuration has (M, Z)."""
        elements, element = np.unique(self.numbers, return_inverse=True)
        flat = np.bincount(self.config_of_atoms() * len(elements) + element, minlength=len(self) * len(elements))
        return elements, flat.reshape(len(self), len(elements))

    def select(self, configs: NDArray[Any]) -> "AtomArrays":
        """These configurations alone, in this order; `configs` is a list of positions or a mask."""
        chosen = np.flatnonzero(configs) if np.asarray(configs).dtype == bool else np.asarray(configs, dtype=np.int64)
        n_atoms = self.n_atoms[chosen]
        first = np.cumsum(n_atoms) - n_atoms
        atoms = np.arange(int(n_atoms.sum())) + np.repeat(self.first_atom[chosen] - first, n_atoms)
        return AtomArrays(
            numbers=self.numbers[atoms],
            positions_A=self.positions_A[atoms],
            forces_eV_A=self.forces_eV_A[atoms],
            charges_e=self.charges_e[atoms],
            first_atom=first,
            n_atoms=n_atoms,
            cell_A=self.cell_A[chosen],
            pbc=self.pbc[chosen],
            energy_eV=self.energy_eV[chosen],
            stress_eV_A3=self.stress_eV_A3[chosen],
            group=self.group[chosen],
            row=self.row[chosen],
            level=self.level,
            reference_energies_eV=self.reference_energies_eV,
        )


def load_atoms(store: str | Path | xr.Dataset) -> AtomArrays:
    """Every configuration that was labelled; failed rows are left out.

    Raises SchemaError for a store of another kind, ValueError where no row was labelled.
    """
    from ase.data import atomic_numbers

    dataset = store if isinstance(store, xr.Dataset) else open_store(store, ATOMS)
    labelled = dataset["status"].values == OK
    if not labelled.any():
        raise ValueError(f"atoms store: found no labelled configuration among {labelled.size}; look at `failure`")
    references = json.loads(dataset.attrs["reference_energies"])
    everything = AtomArrays(
        numbers=dataset["number"].values.astype(np.int64),
        positions_A=dataset["position"].values,
        forces_eV_A=dataset["force"].values,
        charges_e=dataset["charge"].values,
        first_atom=dataset["first_atom"].values,
        n_atoms=dataset["n_atoms"].values.astype(np.int64),
        cell_A=dataset["cell"].values,
        pbc=dataset["pbc"].values,
        energy_eV=dataset["energy"].values,
        stress_eV_A3=dataset["stress"].values,
        group=dataset["group"].values,
        row=np.arange(labelled.size),
        level=str(dataset.attrs["level"]),
        reference_energies_eV={atomic_numbers[symbol]: float(energy) for symbol, energy in references.items()},
    )
    return everything if labelled.all() else everything.select(labelled)
