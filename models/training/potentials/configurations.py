"""Labelled frames as tensors, their neighbours found once, and batches of them cut in microseconds.

Frames (models.frames) hold the atoms of all configurations one after another. `with_neighbours` searches the pairs of
each configuration once and lays them out flat in the same way; a batch is then a few gathers, on the CPU or on the GPU
where the arrays lie, and equals what models.networks.potentials.graph.collate makes of the same configurations.

    about 5 kB a molecule of QM9 in float32: its 110,000 training molecules take half a gigabyte

Suffixes: M configurations, A atoms of all of them, P pairs of all of them, L slots taken (two a pair); in a batch
M, N atoms, H pairs, K slots of an atom.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.frames import CONTACT_A, Frames
from models.networks.potentials.graph import Graph, pair_vectors
from models.networks.potentials.neighbours import find_neighbours, sorted_ends
from models.networks.potentials.potential import PotentialConfig
from models.training.potentials.labelled import Labelled

__all__ = ["ConfigurationSet", "with_neighbours"]


@dataclass(frozen=True, kw_only=True)
class ConfigurationSet:
    """What `with_neighbours` makes: batches by row numbers. Atom numbers inside are those of the configuration."""

    numbers_A: Tensor  # int16
    n_slots_A: Tensor  # int32
    forces_A3: Tensor
    first_P: Tensor  # int32
    second_P: Tensor  # int32
    vectors_P3: Tensor
    slot_pair_L: Tensor  # int32, slots of an atom one after another
    slot_atom_L: Tensor  # int32
    slot_sign_L: Tensor  # int8
    energy_M: Tensor  # without reference energies
    stress_M33: Tensor
    volume_M: Tensor
    n_atoms_M: NDArray[np.int64]  # these five stay on the CPU: shapes of a batch are known without asking the GPU
    n_pairs_M: NDArray[np.int64]
    first_atom_M: NDArray[np.int64]
    first_pair_M: NDArray[np.int64]
    width_M: NDArray[np.int64]  # slots of the atom with most neighbours

    def __len__(self) -> int:
        return len(self.n_atoms_M)

    @property
    def n_bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in self._tensors().values())

    def to(self, device: torch.device | str) -> "ConfigurationSet":
        """The same on `device`; batches are then made there."""
        moved: dict[str, Any] = {name: tensor.to(device) for name, tensor in self._tensors().items()}
        return replace(self, **moved)

    def batch(self, rows: Sequence[int] | NDArray[np.integer]) -> Labelled:
        """The configurations of these rows side by side. Raises ValueError for no rows."""
        if len(rows) == 0:
            raise ValueError("found no configurations, expected at least one")
        device, dtype = self.energy_M.device, self.energy_M.dtype
        row_M = np.asarray(rows, dtype=np.int64)
        n_atoms, n_pairs = self.n_atoms_M[row_M], self.n_pairs_M[row_M]
        total_atoms, total_pairs, width = int(n_atoms.sum()), int(n_pairs.sum()), int(self.width_M[row_M].max())
        first_atom, first_pair = _starts(n_atoms), _starts(n_pairs)

        def on_device(values: NDArray[np.int64]) -> Tensor:
            return torch.from_numpy(values).to(device, non_blocking=True)

        atoms = on_device(_ranges(self.first_atom_M[row_M], n_atoms))
        pairs = on_device(_ranges(self.first_pair_M[row_M], n_pairs))
        slots = on_device(_ranges(2 * self.first_pair_M[row_M], 2 * n_pairs))
        atom_of_H = on_device(np.repeat(first_atom, n_pairs))
        atom_of_L = on_device(np.repeat(first_atom, 2 * n_pairs))
        pair_of_L = on_device(np.repeat(first_pair, 2 * n_pairs))
        n_slots_N = self.n_slots_A[atoms].long()
        before_N = torch.arange(total_atoms, device=device) * width - (n_slots_N.cumsum(0) - n_slots_N)
        place_L = torch.arange(2 * total_pairs, device=device)
        place_L = place_L + before_N.repeat_interleave(n_slots_N, output_size=2 * total_pairs)
        shape = (total_atoms, width)
        size = total_atoms * width
        slot_pair = torch.full((size,), total_pairs, dtype=torch.int64, device=device)
        slot_atom = torch.full((size,), total_atoms, dtype=torch.int64, device=device)
        slot_sign = torch.zeros(size, dtype=dtype, device=device)
        sign_L = self.slot_sign_L[slots]
        pair_L = self.slot_pair_L[slots] + pair_of_L
        ends = torch.empty(2 * total_pairs, dtype=torch.int64, device=device)
        graph = Graph(
            numbers_N=self.numbers_A[atoms].long(),
            config_N=on_device(np.repeat(np.arange(len(row_M)), n_atoms)),
            n_atoms_M=on_device(n_atoms),
            volume_M=self.volume_M[on_device(row_M)],
            first_H=self.first_P[pairs] + atom_of_H,
            second_H=self.second_P[pairs] + atom_of_H,
            config_H=on_device(np.repeat(np.arange(len(row_M)), n_pairs)),
            slot_pair_NK=slot_pair.index_copy_(0, place_L, pair_L).view(shape),
            slot_atom_NK=slot_atom.index_copy_(0, place_L, self.slot_atom_L[slots] + atom_of_L).view(shape),
            slot_sign_NK=slot_sign.index_copy_(0, place_L, sign_L.to(dtype)).view(shape),
            ends_2H=ends.index_copy_(0, pair_L + total_pairs * (sign_L < 0), place_L).view(2, total_pairs),
        )
        return Labelled(
            graph=graph,
            vectors_H3=self.vectors_P3[pairs],
            energy_M=self.energy_M[on_device(row_M)],
            forces_N3=self.forces_A3[atoms],
            stress_M33=self.stress_M33[on_device(row_M)],
        )

    def _tensors(self) -> dict[str, Tensor]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def with_neighbours(frames: Frames, config: PotentialConfig, dtype: torch.dtype = torch.float32) -> ConfigurationSet:
    """Find the pairs that a potential of this Config sees; energies lose its reference energies, in float64.

    Raises ValueError that lists unknown elements, frames with atoms closer than 0.3 A and periodic cells without
    volume.
    """
    if len(frames) == 0:
        raise ValueError("found no configurations, expected at least one")
    unknown = sorted(set(frames.species) - set(config.species))
    if unknown:
        raise ValueError(f"found elements with atomic numbers {unknown}, expected some of {sorted(config.species)}")
    pieces_M = [_pairs(frames, row, start, config.cutoff_A) for row, start in enumerate(frames.first_atom)]
    _check_distances(pieces_M)
    n_pairs_M = np.array([len(pieces["first"]) for pieces in pieces_M], dtype=np.int64)
    width_M = np.array([pieces["n_slots"].max(initial=0) for pieces in pieces_M], dtype=np.int64)
    joined = {name: torch.from_numpy(np.concatenate([p[name] for p in pieces_M])) for name in _PIECES}
    volume_M = np.abs(np.linalg.det(frames.cells_A)) * frames.pbc.all(axis=1)
    reference_M = frames.counts(config.species) @ np.asarray(config.reference_energies_eV, dtype=np.float64)
    return ConfigurationSet(
        numbers_A=torch.from_numpy(frames.numbers.astype(np.int16)),
        n_slots_A=joined["n_slots"],
        forces_A3=torch.tensor(frames.forces_eV_A, dtype=dtype),
        first_P=joined["first"],
        second_P=joined["second"],
        vectors_P3=joined["vectors"].to(dtype),
        slot_pair_L=joined["slot_pair"],
        slot_atom_L=joined["slot_atom"],
        slot_sign_L=joined["slot_sign"],
        energy_M=torch.tensor(frames.energies_eV - reference_M, dtype=dtype),
        stress_M33=torch.tensor(frames.stresses_eV_A3, dtype=dtype),
        volume_M=torch.tensor(np.where(volume_M > 0, volume_M, np.nan), dtype=dtype),
        n_atoms_M=frames.n_atoms.astype(np.int64),
        n_pairs_M=n_pairs_M,
        first_atom_M=frames.first_atom,
        first_pair_M=_starts(n_pairs_M),
        width_M=width_M,
    )


_PIECES = ("first", "second", "vectors", "n_slots", "slot_pair", "slot_atom", "slot_sign")


def _pairs(frames: Frames, row: int, start: int, cutoff_A: float) -> dict[str, NDArray[np.generic]]:
    """Pairs of one frame in the compact types in which they are kept."""
    atoms = slice(start, start + int(frames.n_atoms[row]))
    positions, cell = frames.positions_A[atoms], frames.cells_A[row]
    try:
        near = find_neighbours(positions, cell, frames.pbc[row], cutoff_A)
    except ValueError as error:
        raise ValueError(f"configuration {row}: {error}") from None
    end, n_slots = sorted_ends(near.first, near.second, len(positions))
    n_pairs = len(near.first)
    return {
        "first": near.first.astype(np.int32),
        "second": near.second.astype(np.int32),
        "vectors": pair_vectors(positions, cell, near),
        "n_slots": n_slots.astype(np.int32),
        "slot_pair": (end % max(n_pairs, 1)).astype(np.int32),
        "slot_atom": np.concatenate([near.second, near.first])[end].astype(np.int32),
        "slot_sign": np.where(end < n_pairs, 1, -1).astype(np.int8),
    }


def _check_distances(pieces_M: Sequence[dict[str, NDArray[np.generic]]]) -> None:
    least = [np.linalg.norm(pieces["vectors"], axis=1).min(initial=np.inf) for pieces in pieces_M]
    bad = [f"{row} ({distance:.3f} A)" for row, distance in enumerate(least) if distance < CONTACT_A]
    if bad:
        raise ValueError(
            f"found atoms closer than {CONTACT_A} A in {len(bad)} configurations: {', '.join(bad[:10])}"
            f"{' ...' if len(bad) > 10 else ''}; correct or remove them, and check that positions are in A"
        )


def _starts(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64) if len(counts) else np.zeros(0, np.int64)


def _ranges(starts: NDArray[np.integer], counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """start, start + 1, ... of each, one after another."""
    shift = np.repeat(np.asarray(starts, dtype=np.int64) - _starts(counts), counts)
    return shift + np.arange(len(shift), dtype=np.int64)
