"""Atoms as a network sees them: a batch of configurations, molecules and crystals side by side, and their neighbours.

A pair of neighbours is listed once, from atom `first` to atom `second` (or to its periodic image), and owns one vector

    v = r_second + shift . cell - r_first                                                                       [A]

All that a potential knows of positions are these vectors: forces, the virial and every displaced evaluation follow from
dE/dv (models.networks.potentials.potential). Atoms look at their neighbours through slots, in rows of equal length, so
that sums over neighbours are batched matrix products; an empty slot points at pair H and atom N, one past the last.

Shape suffixes: M configurations, N atoms, H pairs, K slots of an atom, 3 Cartesian.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from models.networks.potentials.neighbours import Neighbours, sorted_ends

__all__ = ["Configuration", "Graph", "collate", "pair_vectors"]


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One molecule or periodic cell with its pairs within the cutoff (arrays, float64). Not periodic: cell of zeros."""

    numbers: np.ndarray  # (n_atoms,) atomic numbers
    positions_A: np.ndarray  # (n_atoms, 3)
    cell_A: np.ndarray  # (3, 3), rows are lattice vectors
    neighbours: Neighbours


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Topology of a batch. It holds no positions, so it serves every displaced evaluation near the same ones."""

    numbers_N: Tensor  # int64, atomic numbers
    config_N: Tensor  # int64, configuration of each atom, ascending
    n_atoms_M: Tensor  # int64
    volume_M: Tensor  # float, A^3; NaN where not periodic in all three directions
    first_H: Tensor  # int64, atom
    second_H: Tensor  # int64, atom
    config_H: Tensor  # int64, configuration of each pair, ascending
    slot_pair_NK: Tensor  # int64, pair of each slot; H where empty
    slot_atom_NK: Tensor  # int64, atom at its other end; N where empty
    slot_sign_NK: Tensor  # float, +1 where the pair's vector points away from this atom, -1 towards it, 0 where empty
    ends_2H: Tensor  # int64, the two slots of each pair, counted through rows: at its first atom, at its second

    @property
    def n_configs(self) -> int:
        return len(self.n_atoms_M)

    @property
    def n_atoms(self) -> int:
        return len(self.numbers_N)

    @property
    def n_pairs(self) -> int:
        return len(self.first_H)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Graph":
        """Same graph on `device`; floating point fields as `dtype`."""
        moved = {}
        for field in fields(self):
            tensor = getattr(self, field.name)
            moved[field.name] = tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)
        return replace(self, **moved)

    def sum_over_atoms(self, values_N: Tensor) -> Tensor:
        """Sum of a quantity over the atoms of each configuration, (N, ...) -> (M, ...)."""
        total = values_N.new_zeros((self.n_configs, *values_N.shape[1:]))
        return total.index_add(0, self.config_N, values_N)


def collate(configurations: Sequence[Configuration], dtype: torch.dtype = torch.float32) -> tuple[Graph, Tensor]:
    """Graph of these configurations and the vectors of its pairs (H, 3).

    Vectors are computed in float64 and rounded once. Raises ValueError for no configurations.
    """
    if not configurations:
        raise ValueError("found no configurations, expected at least one")
    n_atoms = np.array([len(c.numbers) for c in configurations], dtype=np.int64)
    n_pairs = np.array([len(c.neighbours.first) for c in configurations], dtype=np.int64)
    first_atom = np.concatenate([[0], np.cumsum(n_atoms)[:-1]])
    first_H = _joined([c.neighbours.first for c in configurations], first_atom)
    second_H = _joined([c.neighbours.second for c in configurations], first_atom)
    total_atoms, total_pairs = int(n_atoms.sum()), len(first_H)
    end, n_slots = sorted_ends(first_H, second_H, total_atoms)
    shape = (total_atoms, int(n_slots.max(initial=0)))
    row = np.repeat(np.arange(total_atoms), n_slots)
    slot = np.arange(2 * total_pairs) + (np.arange(total_atoms) * shape[1] - np.cumsum(n_slots) + n_slots)[row]
    slot_pair = np.full(shape, total_pairs, dtype=np.int64)
    slot_atom = np.full(shape, total_atoms, dtype=np.int64)
    slot_sign = np.zeros(shape, dtype=np.int8)
    ends = np.empty(2 * total_pairs, dtype=np.int64)
    slot_pair.ravel()[slot] = end % max(total_pairs, 1)
    slot_atom.ravel()[slot] = np.concatenate([second_H, first_H])[end]
    slot_sign.ravel()[slot] = np.where(end < total_pairs, 1, -1)
    ends[end] = slot
    volumes = np.abs(np.linalg.det(np.stack([c.cell_A for c in configurations])))
    graph = Graph(
        numbers_N=torch.from_numpy(np.concatenate([c.numbers for c in configurations]).astype(np.int64)),
        config_N=torch.from_numpy(np.repeat(np.arange(len(n_atoms)), n_atoms)),
        n_atoms_M=torch.from_numpy(n_atoms),
        volume_M=torch.tensor([v if v > 0 else np.nan for v in volumes], dtype=dtype),
        first_H=torch.from_numpy(first_H),
        second_H=torch.from_numpy(second_H),
        config_H=torch.from_numpy(np.repeat(np.arange(len(n_pairs)), n_pairs)),
        slot_pair_NK=torch.from_numpy(slot_pair),
        slot_atom_NK=torch.from_numpy(slot_atom),
        slot_sign_NK=torch.from_numpy(slot_sign).to(dtype),
        ends_2H=torch.from_numpy(ends.reshape(2, total_pairs)),
    )
    vectors = [pair_vectors(c.positions_A, c.cell_A, c.neighbours) for c in configurations]
    return graph, torch.from_numpy(np.concatenate(vectors)).to(dtype)


def pair_vectors(positions_A: np.ndarray, cell_A: np.ndarray, neighbours: Neighbours) -> np.ndarray:
    """Vectors of all pairs, (n_pairs, 3) float64; positions may have moved since the list was made (skin)."""
    vectors = positions_A[neighbours.second] - positions_A[neighbours.first] + neighbours.shift @ cell_A
    return np.asarray(vectors, dtype=np.float64)


def _joined(atoms: Sequence[np.ndarray], first_atom: np.ndarray) -> np.ndarray:
    return np.concatenate([a + start for a, start in zip(atoms, first_atom, strict=True)]).astype(np.int64)
