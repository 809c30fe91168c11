"""Atomic environment vectors: what an ANI network knows of the neighbourhood of an atom.

With unit-free cutoff f(r) = [1 + cos(pi r / R)] / 2 for r < R, atom i has a radial part for every element s, and an
angular part for every pair of elements s <= t, summed over neighbours j and pairs of neighbours j < k,

    G_a(s)    = sum_j  exp[-eta_R (r_ij - R_a)^2] f_R(r_ij) / 4
    G_az(s,t) = sum_jk 2 [(1 + cos(theta - theta_z)) / 2]^zeta exp[-eta_A ((r_ij + r_ik)/2 - R_a)^2] f_A(r_ij) f_A(r_ik)

and cos theta = 0.95 cos(angle j-i-k), which keeps acos smooth where atoms are in line. Smith, Isayev and Roitberg,
Chem. Sci. 8, 3192 (2017), eqs. 2 to 4; the factors 1/4, 2 and 0.95 are NeuroChem's, so weights carry over.

Features: radial (element, shift), then angular (pair of elements, radial shift, angle). Pairs of elements are ordered
(0,0), (0,1), ..., (1,1), ...: the upper triangle, row by row.

Shape suffixes: N atoms, H pairs, E ends of pairs within the angular cutoff, T triples, 3 Cartesian, F features.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.networks.potentials.graph import Graph

__all__ = ["AEVSettings", "environment_vectors"]

COSINE_FACTOR = 0.95


@dataclass(frozen=True, kw_only=True)
class AEVSettings:
    """Symmetry functions; their number is the length of the vector."""

    n_species: int
    radial_cutoff_A: float
    radial_eta: float  # 1/A^2
    radial_shifts_A: tuple[float, ...]
    angular_cutoff_A: float
    angular_eta: float  # 1/A^2
    angular_shifts_A: tuple[float, ...]
    zeta: float
    angles: tuple[float, ...]  # rad

    @property
    def n_radial(self) -> int:
        return self.n_species * len(self.radial_shifts_A)

    @property
    def n_features(self) -> int:
        n_pairs = self.n_species * (self.n_species + 1) // 2
        return self.n_radial + n_pairs * len(self.angular_shifts_A) * len(self.angles)

    def pair_index(self) -> list[list[int]]:
        """Place of each pair of elements among the angular blocks, symmetric."""
        n = self.n_species
        return [[min(s, t) * n - min(s, t) * (min(s, t) - 1) // 2 + abs(s - t) for t in range(n)] for s in range(n)]


def environment_vectors(settings: AEVSettings, graph: Graph, species_N: Tensor, vectors_H3: Tensor) -> Tensor:
    """Environment vectors (N, F) in plain torch: any device, any floating point type, any derivative.

    `species_N` counts elements from 0; `graph` must hold all pairs within the radial cutoff (more do no harm).
    """
    distance_H = torch.linalg.vector_norm(vectors_H3, dim=1)
    radial = _radial(settings, graph, species_N, distance_H)
    return torch.cat([radial, _angular(settings, graph, species_N, vectors_H3, distance_H)], dim=1)


def _radial(settings: AEVSettings, graph: Graph, species_N: Tensor, distance_H: Tensor) -> Tensor:
    near = _within(distance_H, settings.radial_cutoff_A)
    distance = distance_H[near, None]
    shifts = distance.new_tensor(settings.radial_shifts_A)
    gauss = torch.exp(-settings.radial_eta * (distance - shifts) ** 2)
    terms = 0.25 * gauss * _cutoff(distance, settings.radial_cutoff_A)
    first, second = graph.first_H[near], graph.second_H[near]
    sums = terms.new_zeros((graph.n_atoms * settings.n_species, len(shifts)))
    sums = sums.index_add(0, first * settings.n_species + species_N[second], terms)
    sums = sums.index_add(0, second * settings.n_species + species_N[first], terms)
    return sums.reshape(graph.n_atoms, settings.n_radial)


def _angular(settings: AEVSettings, graph: Graph, species_N: Tensor, vectors_H3: Tensor, distance_H: Tensor) -> Tensor:
    near = _within(distance_H, settings.angular_cutoff_A)
    centre_E, order = torch.sort(torch.cat([graph.first_H[near], graph.second_H[near]]), stable=True)
    species_E = species_N[torch.cat([graph.second_H[near], graph.first_H[near]])[order]]
    vectors, distance = vectors_H3[near], distance_H[near]
    vectors_E3 = torch.cat([vectors, -vectors])[order]
    distance_E = torch.cat([distance, distance])[order]
    left_T, right_T = _pairs_of_ends(centre_E, graph.n_atoms)

    cosine_T = (vectors_E3[left_T] * vectors_E3[right_T]).sum(dim=1) / (distance_E[left_T] * distance_E[right_T])
    theta_T1 = torch.acos(COSINE_FACTOR * cosine_T)[:, None]
    mean_T1 = ((distance_E[left_T] + distance_E[right_T]) / 2)[:, None]
    cutoff_E = _cutoff(distance_E, settings.angular_cutoff_A)
    weight_T1 = (cutoff_E[left_T] * cutoff_E[right_T])[:, None]
    angles, shifts = theta_T1.new_tensor(settings.angles), mean_T1.new_tensor(settings.angular_shifts_A)
    angle_terms = 2 * ((1 + torch.cos(theta_T1 - angles)) / 2) ** settings.zeta
    shift_terms = torch.exp(-settings.angular_eta * (mean_T1 - shifts) ** 2) * weight_T1

    pair_index = torch.tensor(settings.pair_index(), device=species_E.device)
    n_blocks = settings.n_species * (settings.n_species + 1) // 2
    block_T = centre_E[left_T] * n_blocks + pair_index[species_E[left_T], species_E[right_T]]
    terms = (shift_terms[:, :, None] * angle_terms[:, None, :]).flatten(1)
    sums = terms.new_zeros((graph.n_atoms * n_blocks, terms.shape[1])).index_add(0, block_T, terms)
    return sums.reshape(graph.n_atoms, -1)


def _within(distance_H: Tensor, cutoff_A: float) -> Tensor:
    # A distance that is not a number counts as near: it must reach the result, not vanish from it.
    return torch.nonzero(~(distance_H.detach() >= cutoff_A)).flatten()


def _cutoff(distance: Tensor, cutoff_A: float) -> Tensor:
    return 0.5 * torch.cos(math.pi / cutoff_A * distance) + 0.5


def _pairs_of_ends(centre_E: Tensor, n_atoms: int) -> tuple[Tensor, Tensor]:
    """All pairs of ends, left before right, that share their centre; `centre_E` ascends."""
    counts = torch.bincount(centre_E, minlength=n_atoms)
    last_E = torch.cumsum(counts, 0)[centre_E]
    end = torch.arange(len(centre_E), device=centre_E.device)
    n_partners_E = last_E - end - 1
    left = torch.repeat_interleave(end, n_partners_E)
    first_triple_E = torch.cumsum(n_partners_E, 0) - n_partners_E
    right = left + 1 + torch.arange(len(left), device=left.device) - first_triple_E[left]
    return left, right
