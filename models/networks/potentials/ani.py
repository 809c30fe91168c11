"""ANI: the energy of an atom from its environment vector, by one small network per element.

    E_i = scale * net_{element of i}(G_i)          G: models.networks.potentials.aev, activation CELU(0.1)

Smith, Isayev and Roitberg, Chem. Sci. 8, 3192 (2017). `Config.ani1x` has the settings of ANI-1x (Smith et al.,
J. Chem. Phys. 148, 241733 (2018)), `Config.ani_al` those of ANI-Al (Smith et al., Nat. Commun. 12, 1257 (2021)).

The environment vectors have no weights. On CPUs fused kernels evaluate them and their products with Jacobians
(models.networks.potentials.aev_function); elsewhere plain torch does. Shape suffixes: N atoms, H pairs, F features, 3
Cartesian.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from models.networks.potentials.aev import AEVSettings, environment_vectors
from models.networks.potentials.aev_function import fused_environment_vectors, kernels_serve
from models.networks.potentials.dual_layers import along
from models.networks.potentials.graph import Graph
from models.networks.potentials.potential import POTENTIALS, ArchitectureSettings, PotentialNetwork
from models.settings import Some, settings

__all__ = ["ANI", "ANIParams"]

ANI1X_HIDDEN = {1: (160, 128, 96), 6: (144, 112, 96), 7: (128, 112, 96), 8: (128, 112, 96)}


@dataclass(frozen=True, kw_only=True)
class _Config:
    """Symmetry functions, networks and units."""

    species: tuple[int, ...]  # atomic numbers
    cutoff_A: float  # of the radial part
    radial_eta: float  # 1/A^2
    radial_shifts_A: tuple[float, ...]
    angular_cutoff_A: float
    angular_eta: float  # 1/A^2
    angular_shifts_A: tuple[float, ...]
    zeta: float
    angles: tuple[float, ...]  # rad
    hidden: tuple[tuple[int, ...], ...]  # widths of each element's network, in the order of `species`
    reference_energies_eV: tuple[float, ...]  # of each element, added outside the network
    energy_scale_eV: float = 1.0
    kernels: Literal["auto", "numba", "torch"] = "auto"  # auto: numba on CPUs

    def __post_init__(self) -> None:
        for name in ("species", "radial_shifts_A", "angular_shifts_A", "angles", "reference_energies_eV"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "hidden", tuple(tuple(widths) for widths in self.hidden))
        n = len(self.species)
        problems = []
        if n == 0 or len(set(self.species)) != n or min(self.species, default=1) < 1:
            problems.append(f"species: found {self.species}, expected different atomic numbers, at least one")
        if len(self.hidden) != n or len(self.reference_energies_eV) != n:
            problems.append(
                f"hidden and reference_energies_eV: found {len(self.hidden)} and {len(self.reference_energies_eV)} "
                f"entries, expected one for each of the {n} species"
            )
        if not 0 < self.angular_cutoff_A <= self.cutoff_A:
            problems.append(
                f"cutoffs: found angular {self.angular_cutoff_A} A, radial {self.cutoff_A} A; "
                "expected 0 < angular <= radial"
            )
        shifts = (self.radial_shifts_A, self.angular_shifts_A, self.angles)
        if not all(shifts) or min(self.radial_eta, self.angular_eta, self.zeta) <= 0:
            problems.append("symmetry functions: expected at least one shift of each kind, eta and zeta above 0")
        if any(width < 1 for widths in self.hidden for width in widths):
            problems.append(f"hidden: found {self.hidden}, expected widths of at least 1")
        if not self.energy_scale_eV > 0:
            problems.append(f"energy_scale_eV: found {self.energy_scale_eV}, expected more than 0")
        if self.kernels not in ("auto", "numba", "torch"):
            problems.append(f"kernels: found {self.kernels!r}, expected 'auto', 'numba' or 'torch'")
        if problems:
            raise ValueError("ANI.Config: " + "; ".join(problems))

    @classmethod
    def ani1x(
        cls,
        *,
        species: tuple[int, ...] = (1, 6, 7, 8),
        reference_energies_eV: tuple[float, ...] | None = None,
        energy_scale_eV: float = 1.0,
        kernels: Literal["auto", "numba", "torch"] = "auto",
    ) -> "_Config":
        """ANI-1x; elements that it does not have get networks of the size of oxygen's."""
        return cls(
            species=species,
            cutoff_A=5.2,
            radial_eta=16.0,
            radial_shifts_A=_spaced(0.9, 5.2, 16),
            angular_cutoff_A=3.5,
            angular_eta=8.0,
            angular_shifts_A=_spaced(0.9, 3.5, 4),
            zeta=32.0,
            angles=_angles(8),
            hidden=tuple(ANI1X_HIDDEN.get(number, ANI1X_HIDDEN[8]) for number in species),
            reference_energies_eV=reference_energies_eV or (0.0,) * len(species),
            energy_scale_eV=energy_scale_eV,
            kernels=kernels,
        )

    @classmethod
    def ani_al(
        cls,
        *,
        species: tuple[int, ...] = (13,),
        reference_energies_eV: tuple[float, ...] | None = None,
        energy_scale_eV: float = 1.0,
        kernels: Literal["auto", "numba", "torch"] = "auto",
    ) -> "_Config":
        """ANI-Al; also for other metals, which it was not made for."""
        return cls(
            species=species,
            cutoff_A=7.0,
            radial_eta=43.9,
            radial_shifts_A=_spaced(1.25, 7.0, 32),
            angular_cutoff_A=5.0,
            angular_eta=6.5,
            angular_shifts_A=_spaced(1.25, 5.0, 8),
            zeta=69.4,
            angles=_angles(8),
            hidden=((96, 96, 64),) * len(species),
            reference_energies_eV=reference_energies_eV or (0.0,) * len(species),
            energy_scale_eV=energy_scale_eV,
            kernels=kernels,
        )

    @property
    def environment(self) -> AEVSettings:
        return AEVSettings(
            n_species=len(self.species),
            radial_cutoff_A=self.cutoff_A,
            radial_eta=self.radial_eta,
            radial_shifts_A=self.radial_shifts_A,
            angular_cutoff_A=self.angular_cutoff_A,
            angular_eta=self.angular_eta,
            angular_shifts_A=self.angular_shifts_A,
            zeta=self.zeta,
            angles=self.angles,
        )


def _spaced(start: float, stop: float, n: int) -> tuple[float, ...]:
    """n values from start on, `stop` being the next one."""
    return tuple(start + (stop - start) / n * i for i in range(n))


def _angles(n: int) -> tuple[float, ...]:
    return tuple(math.pi / n * (i + 0.5) for i in range(n))


@settings
class ANIParams(ArchitectureSettings):
    """Symmetry functions of `preset`, spread over other cutoffs; hidden layers alike for all elements."""

    preset: Literal["ani1x", "ani_al"] = "ani1x"
    cutoff_A: PositiveFloat = 5.2
    angular_cutoff_A: PositiveFloat = 3.5
    hidden: Some[PositiveInt] = (96, 64, 32)

    def config(self, species: Sequence[int], references: Sequence[float], scale_eV: float) -> _Config:
        """For these elements, their reference energies and an energy scale."""
        make = ANI.Config.ani1x if self.preset == "ani1x" else ANI.Config.ani_al
        published = make(species=tuple(species), reference_energies_eV=tuple(references), energy_scale_eV=scale_eV)
        shifts, angular = published.radial_shifts_A, published.angular_shifts_A
        return replace(
            published,
            cutoff_A=self.cutoff_A,
            radial_shifts_A=_stretched(shifts, published.cutoff_A, self.cutoff_A),
            angular_cutoff_A=self.angular_cutoff_A,
            angular_shifts_A=_stretched(angular, published.angular_cutoff_A, self.angular_cutoff_A),
            hidden=(self.hidden,) * len(species),
        )

    @classmethod
    def suited(cls, *, metal: bool, cutoff_A: float | None, width: int) -> Self:
        """The published symmetry functions, whatever the width."""
        published = cls(preset="ani_al", cutoff_A=7.0, angular_cutoff_A=5.0) if metal else cls()
        cutoff_A = cutoff_A or published.cutoff_A
        return replace(published, cutoff_A=cutoff_A, angular_cutoff_A=min(published.angular_cutoff_A, cutoff_A))


@POTENTIALS.register("ani", settings=ANIParams)
class ANI(PotentialNetwork):
    """One energy term; weights start normal with variance 1/inputs, biases at zero."""

    Config = _Config

    def __init__(self, config: _Config) -> None:
        super().__init__(config)
        self.environment = config.environment
        self.networks = nn.ModuleList(_network(self.environment.n_features, widths) for widths in config.hidden)

    def energy_terms(self, graph: Graph, vectors_H3: Tensor) -> Tensor:
        return self.terms_of_descriptors(graph, self.descriptors(graph, vectors_H3))

    def descriptors(self, graph: Graph, vectors_H3: Tensor) -> Tensor:
        """Environment vectors of the atoms, (N, F)."""
        fused = self.config.kernels != "torch" and kernels_serve(vectors_H3)
        if self.config.kernels == "numba" and not fused:
            raise ValueError(
                f"ANI with kernels='numba': found {vectors_H3.dtype} vectors on {vectors_H3.device}, expected float32 "
                "or float64 on a CPU with numba installed; 'auto' takes what is there"
            )
        evaluate = fused_environment_vectors if fused else environment_vectors
        return evaluate(self.environment, graph, self.species_N(graph), vectors_H3)

    def terms_of_descriptors(self, graph: Graph, descriptors: Tensor) -> Tensor:
        """Energies of the atoms from their environment vectors, (N, 1)."""
        energies_N1: Tensor = self.config.energy_scale_eV * self._energies(self.species_N(graph), descriptors)
        return energies_N1

    def terms_along(
        self, graph: Graph, descriptors: Tensor, direction: Tensor
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Terms and their derivatives along `direction`, group of atoms by group: (rows, terms, derivatives).

        A group is at most half of the atoms, so that values and tangents take the memory of one plain evaluation.
        """
        species_N = self.species_N(graph)
        most = (len(species_N) + 1) // 2
        for index, network in enumerate(self.networks):
            assert isinstance(network, nn.Sequential)
            for rows in torch.nonzero(species_N == index).flatten().split(most):
                value, slope = along(network, descriptors[rows], direction[rows])
                yield rows, self.config.energy_scale_eV * value, self.config.energy_scale_eV * slope

    def _energies(self, species_N: Tensor, features_NF: Tensor) -> Tensor:
        """Each element's network on its own atoms, sorted by element; (N, 1)."""
        if len(self.networks) == 1:
            energies: Tensor = self.networks[0](features_NF)
            return energies
        order = torch.argsort(species_N, stable=True)
        counts = torch.bincount(species_N, minlength=len(self.networks)).tolist()
        groups = torch.split(features_NF.index_select(0, order), counts)
        parts = [network(group) for network, group in zip(self.networks, groups, strict=True) if len(group)]
        return torch.cat(parts).index_select(0, torch.argsort(order))


def _stretched(shifts: tuple[float, ...], old: float, new: float) -> tuple[float, ...]:
    """The same first shift, the others spread up to the new cutoff."""
    return tuple(shifts[0] + (s - shifts[0]) * (new - shifts[0]) / (old - shifts[0]) for s in shifts)


def _network(n_features: int, widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n_in, n_out in zip((n_features, *widths[:-1]), widths, strict=True):
        layers += [_linear(n_in, n_out), nn.CELU(0.1)]
    return nn.Sequential(*layers, _linear(widths[-1] if widths else n_features, 1))


def _linear(n_in: int, n_out: int) -> nn.Linear:
    layer = nn.Linear(n_in, n_out)
    nn.init.normal_(layer.weight, std=n_in**-0.5)
    nn.init.zeros_(layer.bias)
    return layer
