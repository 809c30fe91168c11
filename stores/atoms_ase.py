"""A frame of an atoms store as ase.Atoms and back, exactly: `from_ase(to_ase(frame))` is the frame.

    energy, free_energy, forces, stress, charges    results of a SinglePointCalculator, left out where not given
    info                                            group, source, provenance (JSON), status, failure

Coming from ASE, the free energy is preferred to the energy, for the forces are its gradient. The cell of open systems
says nothing and is dropped. No calculator is run: only results that are there count.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from models.frames import Frames
from stores.outcome import FAILED, OK

if TYPE_CHECKING:
    import ase

__all__ = ["from_ase", "full_stress", "to_ase"]

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def to_ase(frame: Frames) -> "ase.Atoms":
    """One frame with its labels as results of a SinglePointCalculator."""
    import ase
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = ase.Atoms(numbers=frame.numbers, positions=frame.positions_A, cell=frame.cell_A, pbc=frame.pbc[0])
    stress = frame.stress_eV_A3
    results: dict[str, Any] = {
        "energy": frame.energy_eV,
        "free_energy": frame.energy_eV,
        "forces": frame.forces_eV_A,
        "stress": np.nan if stress is None else np.array([stress[axes] for axes in VOIGT]),
        "charges": frame.charges_e,
    }
    if given := {name: values for name, values in results.items() if not np.isnan(values).all()}:
        atoms.calc = SinglePointCalculator(atoms, **given)
    atoms.info = {
        "group": frame.group,
        "source": frame.source,
        "provenance": str(frame.provenances[0]),
        "status": FAILED if frame.failure else OK,
        "failure": frame.failure,
    }
    return atoms


def from_ase(
    atoms: "ase.Atoms", *, group: int = 0, source: str = "", provenance: Mapping[str, Any] | None = None
) -> Frames:
    """The frame of these atoms and the results of their calculator; what `info` says wins over the arguments."""
    results = {} if atoms.calc is None else atoms.calc.results
    stress, known = results.get("stress"), atoms.info.get("provenance")
    return Frames.one(
        numbers=atoms.numbers,
        positions_A=atoms.positions,
        cell_A=np.asarray(atoms.cell),
        pbc=[bool(axis) for axis in atoms.pbc],
        energy_eV=float(results.get("free_energy", results.get("energy", np.nan))),
        forces_eV_A=results.get("forces"),
        stress_eV_A3=None if stress is None else full_stress(np.asarray(stress, dtype=np.float64)),
        charges_e=results.get("charges"),
        group=int(atoms.info.get("group", group)),
        source=str(atoms.info.get("source", source)),
        provenance=json.loads(known or "{}") if isinstance(known, str) else dict(known or provenance or {}),
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
