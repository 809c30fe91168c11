"""HIP-NN, the hierarchically interacting particle neural network.

Lubbers, Smith, Barros, J. Chem. Phys. 148, 241715 (2018).

Features z of an atom start as its element (one-hot) and go through blocks of one interaction layer and some on-site
layers. An interaction layer lets atoms see each other through sensitivity functions of the distance,

    s_v(r) = exp(-(1/r - 1/mu_v)^2 sigma_v^2 / 2) cos^2(pi r / 2 R_c)      for r < R_c, else 0
    a_i    = sum_j sum_v s_v(r_ij) V_v z_j + W z_i + B

with learnt mu, sigma, V, W, B. Every layer is a residual one, z -> M z + R softplus(a) + c, with M only where the width
changes. After block n a linear readout gives the term E_i^n of the hierarchy, and the energy is the sum of all terms,

    E = sum_i sum_n E_i^n          n = 0 .. n_interactions; E^0 knows the element alone

so that a small E^n of high n tells that the expansion has converged (models.networks.potentials.hierarchicality).

    mu_v, sigma_v, R_c   Sensitivity.mu_A, .sigma_A, cutoff_A      V      Interaction.weight, rows (feature in, v)

Shape suffixes: N atoms, K slots, H pairs, S sensitivities, F features (E in front of a layer), T terms.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.potentials.graph import Graph
from models.networks.potentials.neighbour_sums import environment_sum
from models.networks.potentials.potential import POTENTIALS, ArchitectureSettings, PotentialNetwork
from models.settings import settings

__all__ = ["HIPNN", "HIPNNParams", "Interaction"]

HIGHER_TERMS = 1e-2  # start of the readouts of E^1, E^2 ..., relative to the usual one: the hierarchy begins ordered


@settings
class HIPNNParams(ArchitectureSettings):
    """How wide and how far-sighted it is, as params; the data state the rest of its Config."""

    learning_rate: ClassVar[float] = 1e-2
    cutoff_A: PositiveFloat = 5.5
    soft_min_A: PositiveFloat = 0.75
    soft_max_A: PositiveFloat = 4.5
    n_features: PositiveInt = 20
    n_sensitivities: PositiveInt = 20
    n_interactions: PositiveInt = 2
    n_onsite: NonNegativeInt = 3

    def config(self, species: Sequence[int], references: Sequence[float], scale_eV: float) -> "HIPNN.Config":
        """For these elements, their reference energies and an energy scale."""
        return HIPNN.Config(
            species=tuple(species),
            reference_energies_eV=tuple(references),
            energy_scale_eV=scale_eV,
            **asdict(self),
        )

    @classmethod
    def suited(cls, *, metal: bool, cutoff_A: float | None, width: int) -> Self:
        """For metals as in its ANI-Al example."""
        cutoff_A = cutoff_A or (7.0 if metal else 5.5)
        return cls(
            cutoff_A=cutoff_A,
            soft_min_A=1.25 if metal else 0.75,
            soft_max_A=0.85 * cutoff_A,
            n_features=width,
            n_interactions=1 if metal else 2,
        )


@POTENTIALS.register("hipnn", settings=HIPNNParams)
class HIPNN(PotentialNetwork):
    """Atomic energies in n_interactions + 1 terms, each after one more block."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Which elements, how far, how wide. Energies in eV, lengths in A."""

        species: tuple[int, ...]  # atomic numbers
        cutoff_A: float = 6.5
        soft_min_A: float = 0.75  # mu of the nearest and the farthest sensitivity at the start
        soft_max_A: float = 5.5
        n_features: int = 20
        n_sensitivities: int = 20
        n_interactions: int = 2
        n_onsite: int = 3
        energy_scale_eV: float = 1.0
        reference_energies_eV: tuple[float, ...] = ()

        def __post_init__(self) -> None:
            object.__setattr__(self, "species", tuple(self.species))
            reference = tuple(self.reference_energies_eV) or (0.0,) * len(self.species)
            object.__setattr__(self, "reference_energies_eV", reference)
            if problems := self.problems():
                raise ValueError(f"{type(self).__qualname__}: " + "; ".join(problems))

        def problems(self) -> list[str]:
            """What is wrong with the values, one sentence each."""
            problems, reference = [], self.reference_energies_eV
            if not self.species or len(set(self.species)) != len(self.species) or min(self.species) < 1:
                problems.append(f"species: found {self.species}, expected distinct atomic numbers")
            if len(reference) != len(self.species):
                problems.append(f"reference_energies_eV: found {len(reference)} values, expected {len(self.species)}")
            if not 0 < self.soft_min_A < self.soft_max_A:
                problems.append(f"soft_min_A, soft_max_A: found {self.soft_min_A}, {self.soft_max_A}, expected rising")
            if not self.soft_min_A < self.cutoff_A:
                problems.append(f"cutoff_A: found {self.cutoff_A}, expected more than soft_min_A")
            for name in ("n_features", "n_sensitivities", "n_interactions"):
                if getattr(self, name) < 1:
                    problems.append(f"{name}: found {getattr(self, name)}, expected at least 1")
            if self.n_onsite < 0 or not self.energy_scale_eV > 0:
                problems.append("expected n_onsite >= 0 and energy_scale_eV > 0")
            return problems

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        widths = [len(config.species)] + [config.n_features] * config.n_interactions
        self.blocks = nn.ModuleList(
            Block(self.interaction(n_in, n_out, config), n_in, n_out, config.n_onsite)
            for n_in, n_out in itertools.pairwise(widths)
        )
        readouts = [nn.Linear(width, 1, bias=term > 0) for term, width in enumerate(widths)]
        self.readouts = nn.ModuleList(readouts)
        with torch.no_grad():
            readouts[0].weight.zero_()  # E^0 is what the reference energies leave over
            for term, readout in enumerate(readouts[1:]):
                readout.weight.mul_(HIGHER_TERMS**term)
                readout.bias.zero_()

    def interaction(self, n_in: int, n_out: int, config: Any) -> nn.Module:  # noqa: ANN401 - the Config
        """A layer that takes features, what `geometry` gives, and the graph."""
        return Interaction(n_in, n_out, config)

    def geometry(self, graph: Graph, vectors_H3: Tensor) -> Any:  # noqa: ANN401 - what its interactions take
        """What the interaction layers know of the pairs: distances (H,) [A]."""
        return vectors_H3.square().sum(dim=1).sqrt()

    def energy_terms(self, graph: Graph, vectors_H3: Tensor) -> Tensor:
        """Terms E^0 .. of every atom, without reference energies, (N, T) [eV]."""
        features = self.features(graph, vectors_H3)
        terms = [readout(z) for readout, z in zip(self.readouts, features, strict=True)]
        scale: float = self.config.energy_scale_eV
        return torch.cat(terms, dim=1) * scale

    def features(self, graph: Graph, vectors_H3: Tensor) -> list[Tensor]:
        """Features of the atoms before the first block and after each, (N, n_species), (N, F), ..."""
        geometry = self.geometry(graph, vectors_H3)
        z = F.one_hot(self.species_N(graph), len(self.config.species)).to(vectors_H3.dtype)
        features = [z]
        for block in self.blocks:
            z = block(z, geometry, graph)
            features.append(z)
        return features


class Block(nn.Module):
    """One interaction layer, then the on-site layers."""

    def __init__(self, interaction: nn.Module, n_in: int, n_out: int, n_onsite: int) -> None:
        super().__init__()
        self.interaction = interaction
        self.interaction_residual = Residual(n_in, n_out)
        onsite = [nn.Linear(n_out, n_out) for _ in range(n_onsite)]
        self.onsite = nn.ModuleList(onsite)
        self.onsite_residual = nn.ModuleList(Residual(n_out, n_out) for _ in range(n_onsite))
        for layer in onsite:
            nn.init.xavier_normal_(layer.weight)

    def forward(self, z_NE: Tensor, geometry: Any, graph: Graph) -> Tensor:  # noqa: ANN401 - of HIPNN.geometry
        """Features of the block, (N, F)."""
        z_NF: Tensor = self.interaction_residual(self.interaction(z_NE, geometry, graph), z_NE)
        for layer, residual in zip(self.onsite, self.onsite_residual, strict=True):
            z_NF = residual(layer(z_NF), z_NF)
        return z_NF


class Residual(nn.Module):
    """M z + R softplus(a) + c; M is there only where the width changes."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.residual = nn.Linear(n_out, n_out)
        self.adjust = nn.Linear(n_in, n_out, bias=False) if n_in != n_out else None

    def forward(self, a_NF: Tensor, z_NE: Tensor) -> Tensor:
        """(N, F)."""
        carried: Tensor = z_NE if self.adjust is None else self.adjust(z_NE)
        return carried + F.linear(F.softplus(a_NF), self.residual.weight, self.residual.bias)


class Interaction(nn.Module):
    """a_i = sum_j sum_v s_v(r_ij) V_v z_j + W z_i + B."""

    def __init__(self, n_in: int, n_out: int, config: HIPNN.Config) -> None:
        super().__init__()
        self.sensitivity = Sensitivity(config)
        weight = torch.empty(config.n_sensitivities, n_out, n_in)
        nn.init.xavier_normal_(weight)
        self.weight = nn.Parameter(weight.permute(2, 0, 1).reshape(-1, n_out).contiguous())
        self.self_weight = nn.Linear(n_in, n_out)
        nn.init.xavier_normal_(self.self_weight.weight)

    def forward(self, z_NE: Tensor, distance_H: Tensor, graph: Graph) -> Tensor:
        """(N, F). Neighbours are summed first, weights come after: products of N small matrices, then of one large."""
        sense_HS = self.sensitivity(distance_H)
        environment = environment_sum(sense_HS, z_NE, graph)
        summed: Tensor = environment.flatten(1) @ self.weight
        return summed + F.linear(z_NE, self.self_weight.weight, self.self_weight.bias)


class Sensitivity(nn.Module):
    """s_v(r) with learnt centres mu and inverse widths sigma (A; a width in 1/r)."""

    def __init__(self, config: HIPNN.Config) -> None:
        super().__init__()
        self.cutoff_A = config.cutoff_A
        near_and_far = torch.linspace(1 / config.soft_max_A, 1 / config.soft_min_A, config.n_sensitivities)
        self.mu_A = nn.Parameter(1 / near_and_far)
        self.sigma_A = nn.Parameter(
            torch.full((config.n_sensitivities,), 2 * config.n_sensitivities * config.soft_min_A)
        )

    def forward(self, distance_H: Tensor) -> Tensor:
        """(H, S)."""
        inside = distance_H < self.cutoff_A
        window_H = torch.cos(distance_H * (0.5 * math.pi / self.cutoff_A)).square() * inside
        x_HS = torch.addmm(-self.sigma_A / self.mu_A, (1 / distance_H)[:, None], self.sigma_A[None])
        bell_HS: Tensor = Bell.apply(x_HS)
        return bell_HS * window_H[:, None]


class Bell(torch.autograd.Function):
    """exp(-x^2 / 2). exp(-40) is nothing beside 1; far below lie numbers without full precision, slow to handle."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.square().mul_(-0.5).clamp_(min=-40.0).exp_()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ANN401
        ctx.save_for_backward(inputs[0], output)
        ctx.save_for_forward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        x, bell = ctx.saved_tensors
        slope: Tensor = -(x * bell)
        return gradient * slope

    @staticmethod
    def jvp(ctx: Any, x_dot: Tensor) -> Tensor:  # noqa: ANN401
        x, bell = ctx.saved_tensors
        slope: Tensor = -(x * bell)
        return x_dot * slope
