"""The smallest potential with all parts of one: learnable Morse pairs, a one-body term, a many-body square of pairs."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from models.networks.potentials.graph import Configuration, collate
from models.networks.potentials.neighbours import find_neighbours
from models.networks.potentials.potential import POTENTIALS, PotentialNetwork
from models.registry import Entry


class Morse(PotentialNetwork):
    """E^0 = bias of the element; E^1 = sum of pairs; E^2 = E^1 squared, with a cosine cutoff."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        species: tuple[int, ...]
        cutoff_A: float = 5.0
        energy_scale_eV: float = 1.0
        reference_energies_eV: tuple[float, ...] = ()

        def __post_init__(self):
            object.__setattr__(self, "species", tuple(self.species))
            reference = tuple(self.reference_energies_eV) or tuple(-2.0 * z for z in self.species)
            object.__setattr__(self, "reference_energies_eV", reference)

    def __init__(self, config):
        super().__init__(config)
        self.bias = nn.Parameter(torch.rand(len(config.species)))
        self.depth, self.width, self.length_A = (nn.Parameter(x + 0.1 * torch.rand(())) for x in (0.3, 1.2, 2.5))

    def energy_terms(self, graph, vectors_H3):
        r_H = torch.linalg.vector_norm(vectors_H3, dim=1)
        window = (0.5 + 0.5 * torch.cos(math.pi * r_H / self.config.cutoff_A)) * (r_H < self.config.cutoff_A)
        decay = torch.exp(-self.width * (r_H - self.length_A))
        pair_H = 0.5 * self.depth * (decay**2 - 2 * decay) * window
        pairs_N = vectors_H3.new_zeros(graph.n_atoms)
        pairs_N = pairs_N.index_add(0, graph.first_H, pair_H).index_add(0, graph.second_H, pair_H)
        terms = [self.bias[self.species_N(graph)], pairs_N, 0.05 * pairs_N**2]
        return torch.stack(terms, dim=1) * self.config.energy_scale_eV


def known_to_folders(monkeypatch):
    """Let potential.json name it."""
    POTENTIALS.names()
    monkeypatch.setitem(POTENTIALS._entries, "morse", Entry(make=Morse, settings=None))


def morse_members(n_members, dtype=torch.float64, **config):
    members = []
    for seed in range(n_members):
        torch.manual_seed(seed)
        members.append(Morse(Morse.Config(**{"species": (1, 6, 8, 13), **config})).to(dtype))
    return members


def configuration(atoms, cutoff_A):
    """Configuration of ase.Atoms, open or periodic."""
    cell = np.asarray(atoms.cell) if atoms.pbc.any() else np.zeros((3, 3))
    near = find_neighbours(atoms.positions, cell, atoms.pbc, cutoff_A)
    return Configuration(numbers=atoms.numbers, positions_A=atoms.positions, cell_A=cell, neighbours=near)


def batch(all_atoms, cutoff_A, dtype=torch.float64):
    return collate([configuration(atoms, cutoff_A) for atoms in all_atoms], dtype)
