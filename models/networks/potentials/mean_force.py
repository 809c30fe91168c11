"""The mean force of an ensemble, the one that drives its dynamics, with what members share evaluated once.

    F = -d/dr (1/E) sum_members E_member

Members of an ANI ensemble see the same environment vectors, which cost far more than their small networks: they are
computed once, and gone back through once. Of other architectures the mean energy is differentiated.

Shape suffixes: N atoms, H pairs, F features, 3 Cartesian.
"""

import torch
from torch import Tensor

from models.networks.potentials.aev import environment_vectors
from models.networks.potentials.aev_function import fused_environment_vectors, kernels_serve
from models.networks.potentials.ani import ANI
from models.networks.potentials.ensemble import Ensemble
from models.networks.potentials.graph import Graph
from models.networks.potentials.potential import forces_of

__all__ = ["mean_forces"]


def mean_forces(ensemble: Ensemble, graph: Graph, vectors_H3: Tensor) -> Tensor:
    """Forces (N, 3) [eV/A] in the dtype of the members."""
    with torch.enable_grad():
        vectors_H3 = vectors_H3.detach().requires_grad_(True)
        total = _energy_sum(ensemble, graph, vectors_H3) / len(ensemble.members)
        (gradient_H3,) = torch.autograd.grad(total, vectors_H3)
    return forces_of(graph, gradient_H3)


def _energy_sum(ensemble: Ensemble, graph: Graph, vectors_H3: Tensor) -> Tensor:
    """Over atoms and members."""
    alike = [member for member in ensemble.members if isinstance(member, ANI)]
    first = alike[0] if alike else None
    if (
        first is None
        or len(alike) < len(ensemble.members)
        or any((m.environment, m.config.kernels) != (first.environment, first.config.kernels) for m in alike)
    ):
        return torch.stack([member.energy_terms(graph, vectors_H3).sum() for member in ensemble.members]).sum()
    species_N = first.species_N(graph)
    fused = first.config.kernels != "torch" and kernels_serve(vectors_H3)
    features = fused_environment_vectors if fused else environment_vectors
    features_NF = features(first.environment, graph, species_N, vectors_H3)
    return torch.stack([(m.config.energy_scale_eV * m._energies(species_N, features_NF)).sum() for m in alike]).sum()
