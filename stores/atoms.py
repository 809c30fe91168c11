"""Schema of stores of labelled atoms, `data/molecules.zarr`, `data/aluminium.zarr`, `data/qm9.zarr` and imported ones.

Molecules and crystals of any size lie side by side (CSR). Configuration m owns the rows
first_atom[m] .. first_atom[m] + n_atoms[m] of the arrays per atom, in the order of m.

    per configuration   n_atoms, first_atom, cell, pbc, energy, stress, group, source, provenance, status, failure
    per atom            number, position, force, charge

    energy[m]      the one whose negative gradient the forces are: with smeared occupations the free energy
    cell[m, k]     lattice vector k; zeros where no direction is periodic
    stress[m]      dE/dstrain / volume, positive under tension (ASE's sign); of fully periodic cells only
    group[m]       split by it: frames of one trajectory and copies of one molecule share it
    provenance[m]  JSON object of who labelled it and how; its "level" is the same in the whole store

A label that nobody gave is NaN, in a whole configuration or not at all. What could not be labelled keeps its row:
status 1, the reason in `failure`, NaN as labels. Attributes: `level` (level of theory in one line),
`reference_energies` (JSON {symbol: eV}, energies of single atoms to subtract; {} where none), `settings` (JSON).
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from models.frames import Frames, IntArray
from stores.atom_facts import FACTS
from stores.outcome import FAILED, FAILURE_STATED, OK, outcome_variables
from stores.schema import StoreSchema, Variable
from stores.zarr_store import open_store

__all__ = ["ATOMS", "LabelledAtoms", "columns_of", "dataset_of", "frames_of", "load_atoms", "place_after", "tiny"]

COLUMNS = {  # column of a store -> array of Frames, where they are the same
    "cell": "cells_A",
    "pbc": "pbc",
    "energy": "energies_eV",
    "stress": "stresses_eV_A3",
    "group": "groups",
    "source": "sources",
    "provenance": "provenances",
    "failure": "failures",
    "position": "positions_A",
    "force": "forces_eV_A",
    "charge": "charges_e",
}
CONFIG = ("config",)
ATOM = ("atom",)


@dataclass(frozen=True, kw_only=True)
class LabelledAtoms:
    """What `load_atoms` reads: the frames that have labels, and what the store says of all of them."""

    frames: Frames  # without provenances
    row: IntArray  # (M,) row of the store
    level: str
    reference_energies_eV: Mapping[int, float]  # atomic number -> eV


def columns_of(frames: Frames) -> dict[str, NDArray[Any]]:
    """Columns of these frames; `first_atom` counts from the first of them (see `place_after`)."""
    renamed = {column: getattr(frames, name) for column, name in COLUMNS.items()}
    return renamed | {
        "number": frames.numbers.astype(np.int16),
        "n_atoms": frames.n_atoms.astype(np.int32),
        "first_atom": frames.first_atom,
        "status": np.where(frames.failures == "", OK, FAILED).astype(np.int8),
    }


def place_after(columns: dict[str, NDArray[Any]], n_before: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """The same columns with offsets for a place behind `n_before` rows (by dimension) of a store."""
    return columns | {"first_atom": columns["first_atom"] + n_before.get("atom", 0)}


def dataset_of(columns: Mapping[str, NDArray[Any]], attributes: Mapping[str, str]) -> xr.Dataset:
    """Columns in memory as a dataset that `write_store` takes."""
    texts = {name: columns[name].astype(object) for name in ("source", "provenance", "failure")}
    return xr.Dataset({v.name: (v.dims, ({**columns, **texts})[v.name], v.attrs) for v in VARIABLES}, attrs=attributes)


def frames_of(dataset: xr.Dataset, rows: Iterable[int] | None = None) -> Frames:
    """Frames of these rows, of all by default, in their order."""
    frames = _frames(dataset, lambda name: dataset[name].values)
    return frames if rows is None else frames.select(np.asarray(list(rows), dtype=np.int64))


def load_atoms(store: str | Path | xr.Dataset) -> LabelledAtoms:
    """Every frame that was labelled; failed rows are left out.

    Raises SchemaError for a store of another kind, ValueError where no row was labelled.
    """
    from ase.data import atomic_numbers

    dataset = store if isinstance(store, xr.Dataset) else open_store(store, ATOMS)
    labelled = dataset["status"].values == OK
    if not labelled.any():
        raise ValueError(f"atoms store: found no labelled configuration among {labelled.size}; look at `failure`")
    references = json.loads(dataset.attrs["reference_energies"])
    silent = ("provenance", "failure")
    frames = _frames(dataset, lambda name: np.full(labelled.size, "") if name in silent else dataset[name].values)
    return LabelledAtoms(
        frames=frames if labelled.all() else frames.select(labelled),
        row=np.flatnonzero(labelled),
        level=str(dataset.attrs["level"]),
        reference_energies_eV={atomic_numbers[symbol]: float(energy) for symbol, energy in references.items()},
    )


def _frames(dataset: xr.Dataset, column: Callable[[str], NDArray[Any]]) -> Frames:
    named = {name: column(source) for source, name in COLUMNS.items()}
    texts = {name: np.array([*named[name]], dtype=np.str_) for name in ("sources", "provenances", "failures")}
    counts = {"numbers": column("number").astype(np.int64), "n_atoms": column("n_atoms").astype(np.int64)}
    return Frames(**named | texts | counts)


def _variable(
    name: str,
    dims: tuple[str, ...],
    dtype: str,
    units: str,
    description: str,
    **rules: Any,  # noqa: ANN401 - fields of Variable
) -> Variable:
    return Variable(name=name, dims=dims, dtype=dtype, units=units, description=description, **rules)


VARIABLES = (
    _variable("n_atoms", CONFIG, "int32", "dimensionless", "number of atoms", low=1),
    _variable("first_atom", CONFIG, "int64", "dimensionless", "row of its first atom", low=0),
    _variable("cell", ("config", "vector", "xyz"), "float64", "A", "lattice vectors, zeros where open"),
    _variable("pbc", ("config", "vector"), "bool", "dimensionless", "directions that repeat"),
    _variable("energy", CONFIG, "float64", "eV", "energy whose gradient the forces are", nan_allowed=True),
    _variable(
        "stress",
        ("config", "vector", "xyz"),
        "float64",
        "eV/A^3",
        "dE/dstrain / volume, NaN where not given",
        nan_allowed=True,
    ),
    _variable("group", CONFIG, "int64", "dimensionless", "trajectory or molecule; split by it", low=0),
    _variable("source", CONFIG, "str", "dimensionless", "file and record, or how it was made"),
    _variable("provenance", CONFIG, "str", "dimensionless", "JSON object: level, engine, version, settings"),
    *outcome_variables("labelled", dim="config"),
    _variable("number", ATOM, "int16", "dimensionless", "atomic number", low=1, high=118),
    _variable("position", ("atom", "xyz"), "float64", "A", "position"),
    _variable("force", ("atom", "xyz"), "float64", "eV/A", "force, NaN where not given", nan_allowed=True),
    _variable("charge", ATOM, "float64", "e", "Mulliken charge, NaN where not given", nan_allowed=True),
)

ATOMS = StoreSchema(
    name="atoms",
    version="1",
    coordinates=(),
    variables=VARIABLES,
    facts=(FAILURE_STATED, *FACTS),
    attributes=("level", "reference_energies", "settings"),
)


def tiny() -> xr.Dataset:
    """A valid example: water with all labels, an aluminium crystal with stress, a failed hydrogen molecule."""
    known = {"level": "example", "engine": "none"}
    water = Frames.one(
        numbers=np.array([8, 1, 1]),
        positions_A=np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]]),
        energy_eV=-2000.0,
        forces_eV_A=np.array([[0.0, 0.0, 0.5], [0.0, 0.1, -0.25], [0.0, -0.1, -0.25]]),
        charges_e=np.array([-0.6, 0.3, 0.3]),
        source="example water",
        provenance=known,
    )
    crystal = Frames.one(
        numbers=np.array([13]),
        positions_A=np.zeros((1, 3)),
        cell_A=2.025 * (1 - np.eye(3)),
        energy_eV=-3.7,
        forces_eV_A=np.zeros((1, 3)),
        stress_eV_A3=0.01 * np.eye(3),
        group=1,
        source="example crystal",
        provenance=known,
    )
    failed = Frames.one(
        numbers=np.array([1, 1]),
        positions_A=np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 3.0]]),
        group=2,
        source="example failure",
        provenance=known,
        failure="example",
    )
    attributes = {"level": "example", "reference_energies": "{}", "settings": "{}"}
    return dataset_of(columns_of(Frames.concatenate([water, crystal, failed])), attributes)
