"""Energies and forces of a million atoms in bounded memory: spatial chunks, each with all that its energies depend on.

The energy of an atom depends on atoms up to L cutoffs away, L the number of interaction layers. A chunk is a set of
neighbouring atoms, its core; around it lies a halo, periodic images as atoms of their own. Then

    E = sum over chunks of E(core)        F_i = - sum over chunks, over all images i' of i in it,  dE(core)/dr_i'

is exact to rounding: forces on the halo are added where they belong, so that a halo of L cutoffs is enough (for forces
of the core alone it would take 2 L). Of the pairs only those are kept which the core can feel: with one layer the pairs
that touch the core.

Chunks come from halving the longest side of the system at its median, so that a core never has more than `chunk_atoms`
whatever the density, and memory grows with the chunk, not with the system (beside about 100 bytes an atom for results).
A baseline is asked for the whole system at once, and takes what memory it takes.

Suffixes: N atoms of the system, A atoms of a chunk (core first), H pairs, T energy terms.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import floor

import ase
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.networks.potentials.calculator import check_distances
from models.networks.potentials.ensemble import Ensemble, EnsemblePrediction, combine, with_baseline
from models.networks.potentials.graph import Configuration, Graph, collate
from models.networks.potentials.neighbours import Neighbours
from models.networks.potentials.potential import PotentialNetwork, Prediction, forces_of

__all__ = ["evaluate_in_chunks", "n_layers"]

FloatArray = NDArray[np.float64]
Indices = NDArray[np.int64]


def evaluate_in_chunks(
    ensemble: Ensemble,
    numbers: NDArray[np.integer],
    positions_A: FloatArray,
    cell_A: FloatArray,
    pbc: NDArray[np.bool_],
    *,
    chunk_atoms: int = 10_000,
    dtype: torch.dtype = torch.float64,
    progress: Callable[[int], None] | None = None,
) -> EnsemblePrediction:
    """What `ensemble.evaluate` gives of one configuration, computed chunk by chunk on the CPU; results are float64.

    Positions (n_atoms, 3), cell (3, 3) with lattice vectors as rows. `dtype` is the precision of the ensemble, which is
    moved to it; `progress` is given the number of atoms done. Raises ValueError for an unknown element, atoms nearer
    than 0.3 A, positions that are not finite, a periodic cell without volume and chunks of no atom, BaselineFailed.
    """
    system = _system(numbers, positions_A, cell_A, pbc, ensemble.cutoff_A * n_layers(ensemble), chunk_atoms)
    ensemble.to(dtype=dtype)
    sums = [_Sums(system) for _ in ensemble.members]
    done = 0
    for core_N in _cores(system, np.arange(len(numbers)), chunk_atoms):
        all_slots = ensemble.members[0].reads_slots_of_neighbours
        chunk = _chunk(system, core_N, ensemble.cutoff_A, n_layers(ensemble), all_slots=all_slots)
        graph, vectors_H3 = collate([chunk.configuration], dtype)
        graph = _with_loose_ends(graph, chunk.felt_A)
        for member, total in zip(ensemble.members, sums, strict=True):
            total.add(member, graph, vectors_H3, chunk)
        done += len(core_N)
        if progress is not None:
            progress(done)
    config_N = torch.zeros(len(numbers), dtype=torch.int64)
    prediction = combine([total.prediction() for total in sums], config_N, torch.tensor([len(numbers)]))
    if ensemble.baseline is None:
        return prediction
    atoms = ase.Atoms(numbers=numbers, positions=positions_A, cell=cell_A, pbc=pbc)
    volume_M = torch.tensor([system.volume_A3], dtype=torch.float64)
    return with_baseline(prediction, ensemble.baseline, [atoms], config_N, volume_M)


def n_layers(ensemble: Ensemble) -> int:
    """Interaction layers: how many cutoffs away an atom is felt."""
    return int(getattr(ensemble.members[0].config, "n_interactions", 1))


@dataclass(frozen=True, kw_only=True)
class _System:
    numbers: NDArray[np.int64]
    positions_A: FloatArray  # (N, 3), wrapped into the cell where periodic
    fractional: FloatArray  # (N, 3), in `basis`
    basis: FloatArray  # (3, 3), rows; orthonormal where the system is open
    height_A: FloatArray  # (3,), of the basis: fractional widths times it are distances between planes
    margin: FloatArray  # (3,), the reach in fractional coordinates
    pbc: NDArray[np.bool_]
    volume_A3: float  # NaN where not periodic in all directions


@dataclass(frozen=True, kw_only=True)
class _Chunk:
    configuration: Configuration
    parent_A: Tensor  # atom of the system
    felt_A: Tensor  # False for the outermost atoms, which are only looked at and have no slots unless these are read
    n_core: int


class _Sums:
    """Results of one member as chunks come in."""

    def __init__(self, system: _System) -> None:
        n_atoms = len(system.numbers)
        self.energy_N = torch.zeros(n_atoms, dtype=torch.float64)
        self.forces_N3 = torch.zeros((n_atoms, 3), dtype=torch.float64)
        self.terms_NT = torch.zeros((n_atoms, 0), dtype=torch.float64)
        self.virial_33 = torch.zeros((3, 3), dtype=torch.float64)
        self.volume_A3 = system.volume_A3

    def add(self, member: PotentialNetwork, graph: Graph, vectors_H3: Tensor, chunk: _Chunk) -> None:
        with torch.enable_grad():
            vectors_H3 = vectors_H3.detach().requires_grad_(True)
            terms_AT = member.energy_terms(graph, vectors_H3)[: chunk.n_core]
            if vectors_H3.numel() and terms_AT.requires_grad:
                (gradient_H3,) = torch.autograd.grad(terms_AT.sum(), vectors_H3)
            else:
                gradient_H3 = torch.zeros_like(vectors_H3)
        terms_AT = terms_AT.detach().double()
        core_A = chunk.parent_A[: chunk.n_core]
        if not self.terms_NT.shape[1]:
            self.terms_NT = self.terms_NT.new_zeros((len(self.energy_N), terms_AT.shape[1]))
        self.terms_NT[core_A] = terms_AT
        self.energy_N[core_A] = member.reference_N(graph)[: chunk.n_core] + terms_AT.sum(dim=1)
        self.forces_N3.index_add_(0, chunk.parent_A, forces_of(graph, gradient_H3).double())
        self.virial_33 += vectors_H3.detach().double().T @ gradient_H3.double()

    def prediction(self) -> Prediction:
        virial = (self.virial_33 + self.virial_33.T) / 2
        return Prediction(
            energy_M=self.energy_N.sum()[None],
            energy_N=self.energy_N,
            terms_NT=self.terms_NT,
            forces_N3=self.forces_N3,
            stress_M33=(virial / self.volume_A3)[None],
        )


def _system(
    numbers: NDArray[np.integer],
    positions_A: FloatArray,
    cell_A: FloatArray,
    pbc: NDArray[np.bool_],
    reach_A: float,
    chunk_atoms: int,
) -> _System:
    positions, cell = np.asarray(positions_A, dtype=np.float64), np.asarray(cell_A, dtype=np.float64)
    periodic = np.broadcast_to(np.asarray(pbc, dtype=bool), (3,))
    problems = []
    if chunk_atoms < 1:
        problems.append(f"chunk_atoms: found {chunk_atoms}, expected at least 1")
    if len(numbers) == 0 or positions.shape != (len(numbers), 3) or not np.isfinite(positions).all():
        problems.append(f"positions: found shape {positions.shape}, expected finite ({len(numbers)}, 3), at least one")
    if periodic.any() and not abs(np.linalg.det(cell)) > 0:
        problems.append(
            f"cell: found volume 0 with pbc {periodic.tolist()}, expected three independent lattice vectors"
        )
    if problems:
        raise ValueError("evaluate_in_chunks: " + "; ".join(problems))
    basis = cell if periodic.any() else np.eye(3)
    inverse = np.linalg.inv(basis)
    fractional = positions @ inverse
    image = np.where(periodic, np.floor(fractional), 0.0)
    image += periodic & (fractional - image >= 1.0)  # what lies within rounding below a lattice plane
    height = 1 / np.linalg.norm(inverse, axis=0)
    return _System(
        numbers=np.asarray(numbers, dtype=np.int64),
        positions_A=positions - image @ basis,
        fractional=fractional - image,
        basis=basis,
        height_A=height,
        margin=reach_A * (1 + 1e-9) / height,
        pbc=periodic,
        volume_A3=abs(float(np.linalg.det(cell))) if periodic.all() else float("nan"),
    )


def _cores(system: _System, atoms_N: Indices, chunk_atoms: int) -> Iterator[Indices]:
    """Halve until small enough."""
    if len(atoms_N) <= chunk_atoms:
        yield atoms_N
        return
    fractional = system.fractional[atoms_N]
    side = int(np.argmax(np.ptp(fractional, axis=0) * system.height_A))
    order = np.argpartition(fractional[:, side], len(atoms_N) // 2)
    yield from _cores(system, np.sort(atoms_N[order[: len(atoms_N) // 2]]), chunk_atoms)
    yield from _cores(system, np.sort(atoms_N[order[len(atoms_N) // 2 :]]), chunk_atoms)


def _chunk(system: _System, core_N: Indices, cutoff_A: float, layers: int, *, all_slots: bool) -> _Chunk:
    parent, position = _with_halo(system, core_N)
    first, second = _pairs(position, cutoff_A)
    felt = np.zeros(len(parent), dtype=bool)
    felt[: len(core_N)] = True
    for _ in range(layers - 1):
        touching = felt[first] | felt[second]
        felt[first[touching]] = felt[second[touching]] = True
    kept = felt[first] | felt[second]
    first, second = first[kept], second[kept]
    needed = np.zeros(len(parent), dtype=bool)
    needed[: len(core_N)] = needed[first] = needed[second] = True
    renumbered = np.cumsum(needed) - 1
    parent, position = parent[needed], position[needed]
    first, second = renumbered[first], renumbered[second]
    check_distances(position[second] - position[first], parent[first], parent[second])
    near = Neighbours(first=first, second=second, shift=np.zeros((len(first), 3), dtype=np.int64))
    return _Chunk(
        configuration=Configuration(
            numbers=system.numbers[parent], positions_A=position, cell_A=np.zeros((3, 3)), neighbours=near
        ),
        parent_A=torch.from_numpy(parent),
        felt_A=torch.from_numpy(felt[needed] | all_slots),
        n_core=len(core_N),
    )


def _with_loose_ends(graph: Graph, felt_A: Tensor) -> Graph:
    """Rows of atoms that are not felt are empty; ends there point at them, on which nothing of the core depends."""
    ends_2H = graph.ends_2H.clone()
    for end_H, atom_H in zip(ends_2H, (graph.first_H, graph.second_H), strict=True):
        loose = ~felt_A[atom_H]
        end_H[loose] = atom_H[loose] * graph.slot_pair_NK.shape[1]
    away_N1 = ~felt_A[:, None]
    return replace(
        graph,
        slot_pair_NK=graph.slot_pair_NK.masked_fill(away_N1, graph.n_pairs),
        slot_atom_NK=graph.slot_atom_NK.masked_fill(away_N1, graph.n_atoms),
        slot_sign_NK=graph.slot_sign_NK.masked_fill(away_N1, 0),
        ends_2H=ends_2H,
    )


def _pairs(position_A: FloatArray, cutoff_A: float) -> tuple[Indices, Indices]:
    from vesin import NeighborList

    search = NeighborList(cutoff=cutoff_A, full_list=False, sorted=True)
    first, second = search.compute(points=position_A, box=np.zeros((3, 3)), periodic=False, quantities="ij")
    return first.astype(np.int64), second.astype(np.int64)


def _with_halo(system: _System, core_N: Indices) -> tuple[Indices, FloatArray]:
    """Atoms and positions of core and halo, core first, images beside their originals."""
    low = system.fractional[core_N].min(axis=0) - system.margin
    high = system.fractional[core_N].max(axis=0) + system.margin
    parent, image = np.arange(len(system.numbers)), np.zeros((len(system.numbers), 3), dtype=np.int64)
    for side in range(3):
        shifts = range(floor(low[side]), floor(high[side]) + 1) if system.pbc[side] else range(1)
        coordinate = system.fractional[parent, side]
        chosen = [np.flatnonzero((coordinate + k >= low[side]) & (coordinate + k <= high[side])) for k in shifts]
        rows = np.concatenate(chosen)
        image = image[rows]
        image[:, side] = np.repeat(np.fromiter(shifts, dtype=np.int64), [len(part) for part in chosen])
        parent = parent[rows]
    in_core = np.zeros(len(system.numbers), dtype=bool)
    in_core[core_N] = True
    halo = ~(in_core[parent] & ~image.any(axis=1))
    parent_A = np.concatenate([core_N, parent[halo]])
    image_A = np.concatenate([np.zeros((len(core_N), 3), dtype=np.int64), image[halo]])
    return parent_A, system.positions_A[parent_A] + image_A @ system.basis
