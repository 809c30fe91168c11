"""A batch of configurations with what a quantum-mechanics engine said of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.networks.potentials.graph import Graph

__all__ = ["Labelled"]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Labels are NaN where missing. Suffixes as in models.networks.potentials.graph."""

    graph: Graph
    vectors_H3: Tensor  # [A]
    energy_M: Tensor  # without reference energies [eV]
    forces_N3: Tensor  # [eV/A]
    stress_M33: Tensor  # [eV/A^3]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Labelled":
        return Labelled(
            graph=self.graph.to(device=device, dtype=dtype),
            vectors_H3=self.vectors_H3.to(device=device, dtype=dtype),
            energy_M=self.energy_M.to(device=device, dtype=dtype),
            forces_N3=self.forces_N3.to(device=device, dtype=dtype),
            stress_M33=self.stress_M33.to(device=device, dtype=dtype),
        )
