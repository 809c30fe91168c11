"""Records of an atoms store as ase.Atoms and back, exactly: `from_ase(to_ase(record))` is the record.

    energy, free_energy, forces, stress, charges    results of a SinglePointCalculator, left out where not given
    info                                            group, source, provenance (JSON), status, failure

Coming from ASE, the free energy is preferred to the energy, for the forces are its gradient. The cell of open systems
says nothing and is dropped. No calculator is run: only results that are there count.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from stores.atoms import AtomsRecord
from stores.manifest import canonical_json
from stores.outcome import OK

if TYPE_CHECKING:
    import ase

__all__ = ["from_ase", "full_stress", "to_ase"]

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def to_ase(record: AtomsRecord) -> "ase.Atoms":
    """The configuration with its labels as results of a SinglePointCalculator."""
    import ase
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = ase.Atoms(numbers=record.numbers, positions=record.positions_A, cell=record.cell_A, pbc=record.periodic)
    results: dict[str, Any] = {}
    if not np.isnan(record.energy_eV):
        results |= {"energy": record.energy_eV, "free_energy": record.energy_eV}
    if record.forces_eV_A is not None:
        results["forces"] = record.forces_eV_A
    if record.stress_eV_A3 is not None:
        results["stress"] = np.array([record.stress_eV_A3[axes] for axes in VOIGT])
    if record.charges_e is not None:
        results["charges"] = record.charges_e
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    atoms.info = {
        "group": record.group,
        "source": record.source,
        "provenance": canonical_json(dict(record.provenance)),
        "status": record.status,
        "failure": record.failure,
    }
    return atoms


def from_ase(
    atoms: "ase.Atoms", *, group: int = 0, source: str = "", provenance: Mapping[str, Any] | None = None
) -> AtomsRecord:
    """The record of these atoms and the results of their calculator; what `info` tells wins over the arguments."""
    results = {} if atoms.calc is None else atoms.calc.results
    stress = results.get("stress")
    told = atoms.info.get("provenance")
    pbc = tuple(bool(axis) for axis in atoms.pbc)
    return AtomsRecord(
        numbers=atoms.numbers,
        positions_A=atoms.positions,
        cell_A=np.asarray(atoms.cell) if any(pbc) else None,
        pbc=(pbc[0], pbc[1], pbc[2]),
        energy_eV=float(results.get("free_energy", results.get("energy", np.nan))),
        forces_eV_A=results.get("forces"),
        stress_eV_A3=None if stress is None else full_stress(np.asarray(stress, dtype=np.float64)),
        charges_e=results.get("charges"),
        group=int(atoms.info.get("group", group)),
        source=str(atoms.info.get("source", source)),
        provenance=json.loads(told) if isinstance(told, str) else dict(told or provenance or {}),
        status=int(atoms.info.get("status", OK)),
        failure=str(atoms.info.get("failure", "")),
    )


def full_stress(stress: np.ndarray) -> np.ndarray:
    """Stress as a symmetric (3, 3) array, from six components in Voigt's order or from (3, 3)."""
    if stress.shape == (6,):
        full = np.empty((3, 3))
        for value, (row, column) in zip(stress, VOIGT, strict=True):
            full[row, column] = full[column, row] = value
        return full
    if stress.size != 9:
        raise ValueError(f"stress: found shape {stress.shape}, expected (6,) in Voigt's order or (3, 3)")
    full = stress.reshape(3, 3)
    return np.asarray((full + full.T) / 2)
