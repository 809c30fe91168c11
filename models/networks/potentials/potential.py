"""Energy, forces and stress from any network that gives atomic energies as a function of pair vectors.

With g = dE/dv of every pair vector v (models.networks.potentials.graph):

    F_i = sum_{pairs with first = i} g - sum_{pairs with second = i} g            forces = -dE/dr      [eV/A]
    stress = (1/V) sum_pairs (v x g + g x v) / 2                                  dE/dstrain / V       [eV/A^3]

A potential is a network whose only argument is its frozen Config; E_i = e0(species) + sum_n terms_in. Reference
energies e0 are added in float64 outside the network: differences of total energies would drown in float32 otherwise.
Params choose it by name with an ArchitectureSettings of its own, from which the data make the Config.

Shape suffixes: M configurations, N atoms, H pairs, T energy terms of an atom, 3 Cartesian.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from models.networks.potentials.graph import Graph
from models.registry import Registry

__all__ = [
    "POTENTIALS",
    "ArchitectureSettings",
    "PotentialConfig",
    "PotentialNetwork",
    "Prediction",
    "evaluate",
    "forces_of",
    "stress_of",
]


@runtime_checkable
class PotentialConfig(Protocol):
    """What every potential's Config has: which elements, how far it sees, energies of free atoms."""

    @property
    def species(self) -> tuple[int, ...]: ...  # atomic numbers

    @property
    def cutoff_A(self) -> float: ...

    @property
    def reference_energies_eV(self) -> tuple[float, ...]: ...  # e0 of each species


@dataclass(frozen=True, kw_only=True)
class ArchitectureSettings(ABC):
    """How wide and how far-sighted a potential is, as params state it: a settings class beside each network."""

    learning_rate: ClassVar[float] = 3e-3  # the largest one, where a user states none

    @abstractmethod
    def config(self, species: Sequence[int], references: Sequence[float], scale_eV: float) -> Any:  # noqa: ANN401
        """The network's Config for these elements, their reference energies [eV] and an energy scale [eV]."""

    @classmethod
    @abstractmethod
    def suited(cls, *, metal: bool, cutoff_A: float | None, width: int) -> "ArchitectureSettings":
        """What suits a metal, or molecules, where a user states no more than a cutoff and a width."""


class PotentialNetwork(nn.Module, ABC):
    """Contract of a potential: subclasses take `config` and give `energy_terms`."""

    Config: type[Any]
    reads_slots_of_neighbours: ClassVar[bool] = False  # or only those of the atom itself: models...chunked
    species_index: Tensor  # by atomic number; -1: unknown
    reference_S: Tensor

    def __init__(self, config: Any) -> None:  # noqa: ANN401 - a PotentialConfig; each network has its own
        super().__init__()
        self.config = config
        n = max(config.species) + 1
        index = torch.full((n,), -1, dtype=torch.int64)
        index[torch.tensor(config.species)] = torch.arange(len(config.species))
        self.register_buffer("species_index", index, persistent=False)
        reference = torch.tensor(config.reference_energies_eV, dtype=torch.float64)
        self.register_buffer("reference_S", reference, persistent=False)

    @abstractmethod
    def energy_terms(self, graph: Graph, vectors_H3: Tensor) -> Tensor:
        """Energies of atoms without reference, one column per term of the model, (N, T) [eV]."""

    def descriptors(self, graph: Graph, vectors_H3: Tensor) -> Tensor:
        """What the weights act on: pair vectors, unless a network begins with descriptors of atoms without weights.

        Then it is those, (N, columns), and `terms_of_descriptors` goes on from there."""
        return vectors_H3

    def terms_of_descriptors(self, graph: Graph, descriptors: Tensor) -> Tensor:
        """`energy_terms` from `descriptors`."""
        return self.energy_terms(graph, descriptors)

    def forward(self, graph: Graph, vectors_H3: Tensor) -> Tensor:
        """The same as `energy_terms`."""
        return self.energy_terms(graph, vectors_H3)

    def species_N(self, graph: Graph) -> Tensor:
        """Position of each atom's element in Config.species. Raises ValueError for an element it does not know."""
        index = self.species_index
        inside = graph.numbers_N.clamp(max=len(index) - 1)
        species = torch.where(graph.numbers_N < len(index), index[inside], -1)
        if bool((species < 0).any()):
            unknown = sorted(set(graph.numbers_N[species < 0].tolist()))
            raise ValueError(
                f"found elements with atomic numbers {unknown}, this model knows {sorted(self.config.species)}; "
                "train one on data that has them"
            )
        return species

    def reference_N(self, graph: Graph) -> Tensor:
        """Reference energy of each atom, float64 (N,) [eV]."""
        return self.reference_S.double()[self.species_N(graph)]


# Network classes by name; their settings are ArchitectureSettings.
POTENTIALS = Registry[PotentialNetwork]("potential", package="models.networks.potentials")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Of one batch; `terms_NT` without reference energies, which `energy_M` and `energy_N` (float64) include."""

    energy_M: Tensor
    energy_N: Tensor
    terms_NT: Tensor
    forces_N3: Tensor
    stress_M33: Tensor  # NaN where the configuration is not periodic in all directions


def evaluate(model: PotentialNetwork, graph: Graph, vectors_H3: Tensor) -> Prediction:
    """Energies, forces and stress; no graph is kept for training."""
    with torch.enable_grad():
        vectors_H3 = vectors_H3.detach().requires_grad_(True)
        terms_NT = model.energy_terms(graph, vectors_H3)
        (gradient_H3,) = torch.autograd.grad(terms_NT.sum(), vectors_H3)
    energy_N = model.reference_N(graph) + terms_NT.detach().double().sum(dim=1)
    return Prediction(
        energy_M=graph.sum_over_atoms(energy_N),
        energy_N=energy_N,
        terms_NT=terms_NT.detach(),
        forces_N3=forces_of(graph, gradient_H3),
        stress_M33=stress_of(graph, vectors_H3.detach(), gradient_H3),
    )


def forces_of(graph: Graph, gradient_H3: Tensor) -> Tensor:
    """Forces (N, 3) from dE/dv of the pairs (H, 3)."""
    forces = gradient_H3.new_zeros((graph.n_atoms, 3))
    return forces.index_add(0, graph.first_H, gradient_H3).index_add(0, graph.second_H, -gradient_H3)


def stress_of(graph: Graph, vectors_H3: Tensor, gradient_H3: Tensor) -> Tensor:
    """Stress (M, 3, 3) from pair vectors and dE/dv; NaN without a volume."""
    virial_H33 = vectors_H3[:, :, None] * gradient_H3[:, None, :]
    virial = gradient_H3.new_zeros((graph.n_configs, 3, 3)).index_add(0, graph.config_H, virial_H33)
    open_M11 = torch.isnan(graph.volume_M)[:, None, None]  # kept out of the quotient, or their gradient is 0 * NaN
    stress = (virial + virial.transpose(1, 2)) / (2 * graph.volume_M.nan_to_num(1.0)[:, None, None])
    return torch.where(open_M11, torch.nan, stress)
