"""HIP-NN with tensor sensitivities: interaction layers that feel directions, not distances alone.

Chigaev, Smith, Anaya, Nebgen, Bettencourt, Barros, Lubbers, J. Chem. Phys. 158, 184108 (2023), arXiv:2212.03195.

HIP-NN (models.networks.potentials.hipnn) with another interaction layer. With the messages

    m_ij  = sum_v s_v(r_ij) V_v z_j                      (F,), sensitivities s and weights V as in HIP-NN

and the unit vector n = r_ij / |r_ij| from atom i to its neighbour j, an atom collects three moments,

    S_i   = sum_j m_ij                                   scalar
    v_i   = sum_j n m_ij                                 vector, l = 1
    Q_i   = sum_j (n n^T - 1/3) m_ij                     quadrupole, symmetric and without trace, l = 2

and what enters the network is invariant: the moments' lengths, with learnt scales t of each feature,

    a_i   = S_i + t^1 sqrt(|v_i|^2 + c) + t^2 sqrt(|Q_i|^2 + c) + W z_i + B          |Q|^2 = sum_ab Q_ab^2

of which the term of t^2 is there with l_max = 2 only. The cusp of a length where a moment vanishes (a lone atom, a site
with inversion or cubic symmetry) is rounded off by c > 0, so that forces and their derivatives exist everywhere. All
moments share V. Sets of distances that HIP-NN cannot tell apart differ in their angles: |v|^2 and |Q|^2 are sums over
pairs of neighbours of cos(angle) and cos^2(angle) - 1/3.

Q is kept as its five components in an orthonormal basis of such tensors, so that |Q|^2 is the sum of their squares.
Messages are made where they come from, V z first and then a product with s for each slot, and carried over to the other
end as F numbers. So directions cost a product with these F numbers alone: nothing is as wide as all sensitivities times
all components, as sums of stacked sensitivities are.

    c      Config.cusp_regularisation        t^1, t^2   TensorInteraction.vector_scale, .quadrupole_scale

Shape suffixes: N atoms, K slots, L = N K, H pairs, S sensitivities, F features (E in front of a layer), C components of
the moments (1 of the scalar, 3 of the vector, 5 of the quadrupole).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.potentials.graph import Graph
from models.networks.potentials.hipnn import HIPNN, HIPNNParams, Interaction
from models.networks.potentials.pair_slots import in_slots, other_end, other_slot
from models.networks.potentials.potential import POTENTIALS
from models.settings import settings

__all__ = ["HIPNNTS", "HIPNNTSParams"]

N_COMPONENTS = (1, 3, 5)  # of the moments l = 0, 1, 2


@settings
class HIPNNTSParams(HIPNNParams):
    """As of HIP-NN, and the highest tensor sensitivity."""

    l_max: Literal[1, 2] = 1
    cusp_regularisation: PositiveFloat = 1e-6

    def config(self, species: Sequence[int], references: Sequence[float], scale_eV: float) -> "HIPNNTS.Config":
        """For these elements, their reference energies and an energy scale."""
        return HIPNNTS.Config(
            species=tuple(species),
            reference_energies_eV=tuple(references),
            energy_scale_eV=scale_eV,
            **asdict(self),
        )


@POTENTIALS.register("hipnn_ts", settings=HIPNNTSParams)
class HIPNNTS(HIPNN):
    """HIP-NN whose interaction layers are tensor-sensitive."""

    reads_slots_of_neighbours: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config(HIPNN.Config):
        """HIP-NN's, and the tensor sensitivities: 1 for vectors, 2 for quadrupoles as well."""

        l_max: int = 1
        cusp_regularisation: float = 1e-6  # of squared lengths of moments

        def problems(self) -> list[str]:
            """What is wrong with the values, one sentence each."""
            problems = super().problems()
            if self.l_max not in (1, 2):
                problems.append(f"l_max: found {self.l_max}, expected 1 or 2 (HIPNN is the network without)")
            if not self.cusp_regularisation > 0:
                problems.append(
                    f"cusp_regularisation: found {self.cusp_regularisation}, expected more than 0; without it forces "
                    "of symmetric sites do not exist"
                )
            return problems

    def interaction(self, n_in: int, n_out: int, config: Config) -> "TensorInteraction":
        """A layer that takes features, what `geometry` gives, and the graph."""
        return TensorInteraction(n_in, n_out, config)

    def geometry(self, graph: Graph, vectors_H3: Tensor) -> "Directions":
        """What the interaction layers know of the pairs."""
        distance_H = vectors_H3.square().sum(dim=1).sqrt()
        tensors_HC = _tensors(vectors_H3 / distance_H[:, None], self.config.l_max)
        # The vector of a pair points away from its first atom and towards its second: so does what is odd in it.
        odd_C = torch.zeros(tensors_HC.shape[1], dtype=torch.bool, device=vectors_H3.device)
        odd_C[1:4] = True
        sign_NKC = torch.where(odd_C, graph.slot_sign_NK[:, :, None].to(vectors_H3.dtype), 1.0)
        tensors_NKC = in_slots(tensors_HC, graph) * sign_NKC
        return Directions(
            distance_H=distance_H, tensors_NCK=tensors_NKC.transpose(1, 2), other_slot_L=other_slot(graph)
        )


@dataclass(frozen=True, kw_only=True)
class Directions:
    """Pairs as the interaction layers see them, the same in all of them."""

    distance_H: Tensor
    tensors_NCK: Tensor  # 1, n and n n^T - 1/3 of the neighbour in each slot; zeros where empty
    other_slot_L: Tensor


class TensorInteraction(Interaction):
    """a_i = S_i + t^1 sqrt(|v_i|^2 + c) + t^2 sqrt(|Q_i|^2 + c) + W z_i + B."""

    def __init__(self, n_in: int, n_out: int, config: HIPNNTS.Config) -> None:
        super().__init__(n_in, n_out, config)
        self.cusp_regularisation = config.cusp_regularisation
        self.vector_scale = nn.Parameter(torch.randn(n_out))
        if config.l_max == 2:
            self.quadrupole_scale = nn.Parameter(torch.randn(n_out))
        else:
            self.register_parameter("quadrupole_scale", None)

    def forward(self, z_NE: Tensor, geometry: Directions, graph: Graph) -> Tensor:  # type: ignore[override]
        """(N, F)."""
        moments_NCF = geometry.tensors_NCK @ self.messages(z_NE, geometry, graph)
        moments = moments_NCF.split(N_COMPONENTS[: 2 if self.quadrupole_scale is None else 3], dim=1)
        summed: Tensor = moments[0][:, 0] + F.linear(z_NE, self.self_weight.weight, self.self_weight.bias)
        for scale_F, moment_NCF in zip((self.vector_scale, self.quadrupole_scale), moments[1:], strict=False):
            length_NF = (moment_NCF.square().sum(dim=1) + self.cusp_regularisation).sqrt()
            summed = summed + scale_F * length_NF
        return summed

    def messages(self, z_NE: Tensor, geometry: Directions, graph: Graph) -> Tensor:
        """m_ij in the slot of neighbour j of atom i, (N, K, F)."""
        sense_NKS = in_slots(self.sensitivity(geometry.distance_H), graph)
        sent_NSF = (z_NE @ self.weight.view(z_NE.shape[1], -1)).view(len(z_NE), sense_NKS.shape[2], -1)
        return other_end(sense_NKS @ sent_NSF, geometry.other_slot_L)


def _tensors(n_H3: Tensor, l_max: int) -> Tensor:
    """1, n and, in an orthonormal basis, n n^T - 1/3, (H, C)."""
    x, y, z = n_H3.unbind(dim=1)
    components = [torch.ones_like(x), x, y, z]
    if l_max == 2:
        off_diagonal = [math.sqrt(2) * x * y, math.sqrt(2) * y * z, math.sqrt(2) * x * z]
        components += [*off_diagonal, math.sqrt(0.5) * (x * x - y * y), math.sqrt(1.5) * (z * z - 1 / 3)]
    return torch.stack(components, dim=1)
