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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores.atom_facts import FACTS
from stores.manifest import canonical_json
from stores.outcome import FAILED, FAILURE_TOLD, OK, outcome_variables
from stores.schema import StoreSchema, Variable

__all__ = ["ATOMS", "AtomsRecord", "columns_of", "dataset_of", "place_after", "records_of", "tiny"]

CONFIG = ("config",)
ATOM = ("atom",)


@dataclass(frozen=True, kw_only=True, eq=False)
class AtomsRecord:
    """One configuration with its labels; arrays are made float64 and checked for their shape.

    Raises ValueError that lists every array of a wrong shape.
    """

    numbers: NDArray[Any]  # (n_atoms,) atomic numbers
    positions_A: NDArray[Any]  # (n_atoms, 3)
    cell_A: NDArray[Any] | None = None  # (3, 3); None: open, stored as zeros
    pbc: tuple[bool, bool, bool] | None = None  # None: periodic in all directions where a cell is given
    energy_eV: float = np.nan
    forces_eV_A: NDArray[Any] | None = None  # (n_atoms, 3)
    stress_eV_A3: NDArray[Any] | None = None  # (3, 3)
    charges_e: NDArray[Any] | None = None  # (n_atoms,)
    group: int = 0
    source: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    status: int = OK
    failure: str = ""

    def __post_init__(self) -> None:
        n_atoms = int(np.size(self.numbers))
        shapes = {
            "numbers": (n_atoms,),
            "positions_A": (n_atoms, 3),
            "cell_A": (3, 3),
            "forces_eV_A": (n_atoms, 3),
            "stress_eV_A3": (3, 3),
            "charges_e": (n_atoms,),
        }
        problems = []
        for name, shape in shapes.items():
            given = getattr(self, name)
            if given is not None:
                array = np.asarray(given, dtype=np.int16 if name == "numbers" else np.float64)
                object.__setattr__(self, name, array)
                if array.shape != shape:
                    problems.append(f"{name}: found shape {array.shape}, expected {shape}")
        if n_atoms == 0:
            problems.append("numbers: found no atoms, expected at least one")
        if problems:
            raise ValueError(f"record {self.source or '(no source)'}: " + "; ".join(problems))
        pbc = (self.cell_A is not None,) * 3 if self.pbc is None else self.pbc
        object.__setattr__(self, "pbc", tuple(bool(axis) for axis in pbc))
        object.__setattr__(self, "energy_eV", float(self.energy_eV))

    @property
    def periodic(self) -> tuple[bool, bool, bool]:
        """`pbc` as stored, never None."""
        return self.pbc or (False, False, False)


def columns_of(records: Sequence[AtomsRecord]) -> dict[str, NDArray[Any]]:
    """Columns of these records; `first_atom` counts from the first of them (see `place_after`)."""
    n_atoms = np.array([record.numbers.size for record in records], dtype=np.int32)
    cells = [np.zeros((3, 3)) if r.cell_A is None or not any(r.periodic) else r.cell_A for r in records]

    def atoms(of: Callable[[AtomsRecord], Any], shape: tuple[int, ...]) -> NDArray[Any]:
        rows = [np.full((r.numbers.size, *shape), np.nan) if of(r) is None else of(r) for r in records]
        return np.concatenate(rows) if rows else np.zeros((0, *shape))

    return {
        "n_atoms": n_atoms,
        "first_atom": np.cumsum(n_atoms, dtype=np.int64) - n_atoms,
        "cell": np.array(cells, dtype=np.float64).reshape(-1, 3, 3),
        "pbc": np.array([r.periodic for r in records], dtype=bool).reshape(-1, 3),
        "energy": np.array([r.energy_eV for r in records], dtype=np.float64),
        "stress": np.array(
            [np.full((3, 3), np.nan) if r.stress_eV_A3 is None else r.stress_eV_A3 for r in records], dtype=np.float64
        ).reshape(-1, 3, 3),
        "group": np.array([r.group for r in records], dtype=np.int64),
        "source": _text(r.source for r in records),
        "provenance": _text(canonical_json(dict(r.provenance)) for r in records),
        "status": np.array([r.status for r in records], dtype=np.int8),
        "failure": _text(r.failure for r in records),
        "number": atoms(lambda r: r.numbers, ()).astype(np.int16),
        "position": atoms(lambda r: r.positions_A, (3,)),
        "force": atoms(lambda r: r.forces_eV_A, (3,)),
        "charge": atoms(lambda r: r.charges_e, ()),
    }


def place_after(columns: dict[str, NDArray[Any]], n_before: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """The same columns with offsets for a place behind `n_before` rows (by dimension) of a store."""
    return columns | {"first_atom": columns["first_atom"] + n_before.get("atom", 0)}


def dataset_of(columns: Mapping[str, NDArray[Any]], attributes: Mapping[str, str]) -> xr.Dataset:
    """Columns in memory as a dataset that `write_store` takes."""
    texts = {name: columns[name].astype(object) for name in ("source", "provenance", "failure")}
    return xr.Dataset({v.name: (v.dims, ({**columns, **texts})[v.name], v.attrs) for v in VARIABLES}, attrs=attributes)


def records_of(dataset: xr.Dataset, rows: Iterable[int] | None = None) -> list[AtomsRecord]:
    """Records of these rows, of all by default, in their order."""
    chosen = np.arange(dataset.sizes["config"]) if rows is None else np.asarray(list(rows), dtype=np.int64)
    per_config = {v.name: dataset[v.name].values for v in VARIABLES if v.dims[0] == "config"}
    per_atom = {v.name: dataset[v.name].values for v in VARIABLES if v.dims[0] == "atom"}
    records = []
    for row in chosen.tolist():
        told = {name: values[row] for name, values in per_config.items()}
        atoms = slice(int(told["first_atom"]), int(told["first_atom"]) + int(told["n_atoms"]))
        own = {name: values[atoms] for name, values in per_atom.items()}
        records.append(
            AtomsRecord(
                numbers=own["number"],
                positions_A=own["position"],
                cell_A=told["cell"] if told["pbc"].any() else None,
                pbc=tuple(told["pbc"].tolist()),
                energy_eV=told["energy"],
                forces_eV_A=_given(own["force"]),
                stress_eV_A3=_given(told["stress"]),
                charges_e=_given(own["charge"]),
                group=int(told["group"]),
                source=str(told["source"]),
                provenance=json.loads(str(told["provenance"])),
                status=int(told["status"]),
                failure=str(told["failure"]),
            )
        )
    return records


def _given(values: NDArray[Any]) -> NDArray[Any] | None:
    return None if np.isnan(values).all() else values


def _text(words: Iterable[str]) -> NDArray[Any]:
    return np.array([*words], dtype=np.str_)


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
    facts=(FAILURE_TOLD, *FACTS),
    attributes=("level", "reference_energies", "settings"),
)


def tiny() -> xr.Dataset:
    """A valid example: water with all labels, an aluminium crystal with stress, a failed hydrogen molecule."""
    told = {"level": "example", "engine": "none"}
    water = AtomsRecord(
        numbers=np.array([8, 1, 1]),
        positions_A=np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]]),
        energy_eV=-2000.0,
        forces_eV_A=np.array([[0.0, 0.0, 0.5], [0.0, 0.1, -0.25], [0.0, -0.1, -0.25]]),
        charges_e=np.array([-0.6, 0.3, 0.3]),
        source="example water",
        provenance=told,
    )
    crystal = AtomsRecord(
        numbers=np.array([13]),
        positions_A=np.zeros((1, 3)),
        cell_A=2.025 * (1 - np.eye(3)),
        energy_eV=-3.7,
        forces_eV_A=np.zeros((1, 3)),
        stress_eV_A3=0.01 * np.eye(3),
        group=1,
        source="example crystal",
        provenance=told,
    )
    failed = AtomsRecord(
        numbers=np.array([1, 1]),
        positions_A=np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 3.0]]),
        group=2,
        source="example failure",
        provenance=told,
        status=FAILED,
        failure="example",
    )
    attributes = {"level": "example", "reference_energies": "{}", "settings": "{}"}
    return dataset_of(columns_of([water, crystal, failed]), attributes)
