"""A trained potential as an ASE calculator: relaxations, dynamics, phonons, whatever takes `atoms.calc`.

    atoms.calc = PotentialCalculator("runs/potential/molecules_hipnn")
    atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    atoms.calc.results["forces_spread"]             how far the members of the ensemble disagree

Pairs are searched within cutoff + skin and kept until an atom has moved by half the skin, or the cell, the elements or
the boundaries have changed. That is exact: no pair can have come within the cutoff unseen, and potentials give nothing
to pairs beyond it.

A baseline that the potential was trained above (models.networks.potentials.baseline) is added to all that ASE asks for.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ase
import numpy as np
import torch
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.data import chemical_symbols
from numpy.typing import NDArray

from models.frames import CONTACT_A
from models.networks.potentials.ensemble import Ensemble, EnsemblePrediction, load_potential
from models.networks.potentials.graph import Configuration, Graph, collate
from models.networks.potentials.neighbours import find_neighbours

__all__ = ["PotentialCalculator", "check_distances", "check_structure", "configuration_of"]

ASE_PROPERTIES = ("energy", "free_energy", "energies", "forces", "stress")
OWN_PROPERTIES = (
    "energy_spread",
    "energy_spread_per_atom",
    "energies_members",
    "forces_spread",
    "forces_spread_mean",
    "forces_spread_max",
    "forces_members",
    "hierarchicality",
)
VOIGT = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Known:
    """The pairs of the last search and what they hold for."""

    numbers: NDArray[np.int64]
    positions_A: FloatArray
    cell_A: FloatArray
    pbc: NDArray[np.bool_]
    first: NDArray[np.int64]  # (n_pairs,)
    second: NDArray[np.int64]
    offset_A: FloatArray  # (n_pairs, 3), shift . cell
    graph: Graph


class PotentialCalculator(Calculator):
    """Results in eV and A, shapes in brackets; n atoms, m members.

    ASE's: energy, free_energy (the same), energies (n,), forces (n, 3), stress (6,), only where periodic in all
    directions. The ensemble's: energy_spread, energy_spread_per_atom, energies_members (m,), forces_spread (n, 3),
    forces_spread_mean and forces_spread_max over components, forces_members (m, n, 3). Of the hierarchy:
    hierarchicality (n,). Spreads are population standard deviations, zero for one member. There are no energies where
    a baseline does not divide its own among atoms, and no stress where it has none.
    """

    implemented_properties = [*ASE_PROPERTIES, *OWN_PROPERTIES]  # noqa: RUF012 - as ASE declares it

    def __init__(
        self,
        potential: Ensemble | Path | str,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        skin_A: float = 0.3,
        n_threads: int | None = None,
        allow_baseline: str = "",
    ) -> None:
        """`potential`: an ensemble, which is copied, or the folder of one. `n_threads`: torch's, left alone if None.

        `allow_baseline`: the calculator that a folder's baseline may be, "module:calculator", where it is not a known
        one: importing it runs its code. Raises ValueError for a negative skin, and what `load_potential` raises.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        if not skin_A >= 0:
            raise ValueError(f"skin_A: found {skin_A}, expected 0 or more")
        if n_threads is not None:
            torch.set_num_threads(n_threads)
        if isinstance(potential, Ensemble):
            loaded = copy.deepcopy(potential)
        else:
            loaded = load_potential(potential, allow_baseline=allow_baseline)
        self.ensemble = loaded.to(device, dtype)
        if loaded.baseline is not None:
            lacking = loaded.baseline.lacks(["energies", "stress"])
            self.implemented_properties = [name for name in self.implemented_properties if name not in lacking]
        self.skin_A = skin_A
        self.n_searches = 0
        self._device, self._dtype = torch.device(device), dtype
        self._known: Known | None = None

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Everything at once. Raises ValueError for NaN positions, unknown elements and atoms nearer than 0.3 A."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        if atoms is None:
            raise ValueError("calculate: found no atoms, expected ase.Atoms")
        periodic = bool(atoms.pbc.all())
        if "stress" in properties and not periodic:
            raise PropertyNotImplementedError(
                f"stress: found pbc {atoms.pbc.tolist()}, expected a cell periodic in all directions; "
                "set atoms.pbc = True, with vacuum in the cell where there is a surface"
            )
        baseline = self.ensemble.baseline
        if baseline is not None and (lacking := baseline.lacks([p for p in ("energies", "stress") if p in properties])):
            raise PropertyNotImplementedError(
                f"{' and '.join(lacking)}: found none of the baseline {baseline.name}, expected some to add to "
                "those of the network; train above a baseline that has them"
            )
        check_structure(atoms, self.ensemble.species)
        known = self._pairs(atoms)
        positions = atoms.positions
        vectors = positions.take(known.second, axis=0) - positions.take(known.first, axis=0) + known.offset_A
        check_distances(vectors, known.first, known.second)
        vectors_H3 = torch.from_numpy(vectors).to(self._device, self._dtype)
        results = _results(self.ensemble.evaluate(known.graph, vectors_H3, [atoms]), periodic)
        if baseline is not None:
            unknown = [name for name in ("energies", "stress") if np.isnan(results.get(name, 0.0)).all()]
            results = {name: value for name, value in results.items() if name not in unknown}
        self.results = results

    def _pairs(self, atoms: ase.Atoms) -> Known:
        if self._known is None or not _still_holds(self._known, atoms, self.skin_A):
            self._known = self._search(atoms)
            self.n_searches += 1
        return self._known

    def _search(self, atoms: ase.Atoms) -> Known:
        configuration = configuration_of(atoms, self.ensemble.cutoff_A + self.skin_A)
        near, cell = configuration.neighbours, configuration.cell_A
        graph, _ = collate([configuration], self._dtype)
        return Known(
            numbers=atoms.numbers.copy(),
            positions_A=atoms.positions.copy(),
            cell_A=atoms.cell.array.copy(),
            pbc=atoms.pbc.copy(),
            first=near.first,
            second=near.second,
            offset_A=near.shift @ cell,
            graph=graph.to(self._device),
        )


def configuration_of(atoms: ase.Atoms, cutoff_A: float) -> Configuration:
    """These atoms and their pairs under their boundaries; an open direction may have no lattice vector."""
    cell = atoms.cell.complete().array if atoms.pbc.any() else np.zeros((3, 3))
    near = find_neighbours(atoms.positions, cell, atoms.pbc, cutoff_A)
    return Configuration(numbers=atoms.numbers, positions_A=atoms.positions, cell_A=cell, neighbours=near)


def check_structure(atoms: ase.Atoms, species: Sequence[int], where: str = "atoms") -> None:
    """Raise ValueError where a potential of these elements has nothing to say; `where` begins the message."""
    problems = []
    if len(atoms) == 0:
        problems.append("found no atoms, expected at least one")
    if unknown := sorted(set(atoms.numbers.tolist()) - set(species)):
        known = [chemical_symbols[number] for number in species]
        problems.append(
            f"found the elements {[chemical_symbols[number] for number in unknown]}, this potential knows {known}; "
            "train one on data that has them"
        )
    if not np.isfinite(atoms.positions).all():
        broken = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
        problems.append(
            f"found positions that are not finite (atom {broken[0]}, {len(broken)} in all), expected numbers in A; "
            "dynamics that blew up need a shorter time step"
        )
    if problems:
        raise ValueError(f"{where}: " + "; ".join(problems))


def check_distances(
    vectors_A: FloatArray, first: NDArray[np.int64], second: NDArray[np.int64], where: str = "atoms"
) -> None:
    """Raise ValueError where two atoms are nearer than `CONTACT_A`."""
    squares = np.einsum("ij,ij->i", vectors_A, vectors_A)
    if len(squares) and squares[nearest := int(squares.argmin())] < CONTACT_A**2:
        raise ValueError(
            f"{where}: found atoms {first[nearest]} and {second[nearest]} {np.sqrt(squares[nearest]):.3g} A apart, "
            f"expected at least {CONTACT_A} A; are positions in A, is the cell that of these atoms?"
        )


def _still_holds(known: Known, atoms: ase.Atoms, skin_A: float) -> bool:
    if len(known.numbers) != len(atoms) or skin_A == 0:
        return False
    moved = atoms.positions - known.positions_A
    return bool(
        np.einsum("ij,ij->i", moved, moved).max() < (0.5 * skin_A) ** 2
        and np.array_equal(known.cell_A, atoms.cell.array)
        and np.array_equal(known.pbc, atoms.pbc)
        and np.array_equal(known.numbers, atoms.numbers)
    )


def _results(prediction: EnsemblePrediction, periodic: bool) -> dict[str, float | FloatArray]:
    results: dict[str, float | FloatArray] = {
        "energy": float(prediction.energy_M[0]),
        "free_energy": float(prediction.energy_M[0]),
        "energies": _array(prediction.energy_N),
        "forces": _array(prediction.forces_N3),
        "energy_spread": float(prediction.energy_spread_M[0]),
        "energy_spread_per_atom": float(prediction.energy_spread_per_atom_M[0]),
        "energies_members": _array(prediction.energy_EM[:, 0]),
        "forces_spread": _array(prediction.forces_spread_N3),
        "forces_spread_mean": float(prediction.forces_spread_mean_M[0]),
        "forces_spread_max": float(prediction.forces_spread_max_M[0]),
        "forces_members": _array(prediction.forces_EN3),
        "hierarchicality": _array(prediction.hierarchicality_N),
    }
    if periodic:
        results["stress"] = _array(prediction.stress_M33[0])[VOIGT]
    return results


def _array(values: torch.Tensor) -> FloatArray:
    return values.double().cpu().numpy()
