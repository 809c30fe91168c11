"""What a potential is trained to lower: errors of energy, forces and stress, and the disorder of its hierarchy.

    L = w_E <phi(dE_m / n_m)> + w_F <phi(dF_ia)> + w_S <phi(V_m dS_mab / n_m)> + w_R <R_i>

with means over all labels that exist: configurations m, force components ia, stress components ab (as a virial per
atom, so that energies and stresses are of one size). phi is one of

    squared    x^2
    huber      x^2 up to `huber_delta`, then linear
    rmse_mae   sqrt<x^2> + <|x|> of the whole batch, HIP-NN's own
"""

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from models.networks.potentials.hierarchicality import hierarchicality_N
from models.settings import settings
from models.training.potentials.labelled import Labelled

__all__ = ["LossParts", "PotentialLoss"]


@dataclass(frozen=True, kw_only=True)
class LossParts:
    """The weighted sum, and the terms before weighting (0 where not asked for)."""

    total: Tensor
    energy: Tensor
    forces: Tensor
    stress: Tensor
    hierarchicality: Tensor


@settings
class PotentialLoss:
    """Weights of the terms; energies in eV, lengths in A."""

    energy: NonNegativeFloat = 1.0
    forces: NonNegativeFloat = 0.1
    stress: NonNegativeFloat = 0.0
    hierarchicality: NonNegativeFloat = 0.0
    kind: Literal["squared", "huber", "rmse_mae"] = "squared"
    huber_delta: PositiveFloat = 0.1

    def __post_init__(self) -> None:
        if not any((self.energy, self.forces, self.stress)):
            raise ValueError("PotentialLoss: found no weight of energy, forces or stress, expected one above 0")

    @property
    def needs_gradient(self) -> bool:
        """Forces or stress are trained, so dE/dv is needed."""
        return self.forces > 0 or self.stress > 0

    def parts(
        self, labelled: Labelled, terms_NT: Tensor, forces_N3: Tensor | None, stress_M33: Tensor | None
    ) -> LossParts:
        """Loss of predicted terms (N, T), forces and stress; forces and stress may be None where they weigh 0."""
        graph = labelled.graph
        zero = terms_NT.new_zeros(())
        energy = forces = stress = order = zero
        if self.energy:
            error_M = (graph.sum_over_atoms(terms_NT.sum(dim=1)) - labelled.energy_M) / graph.n_atoms_M
            energy = self._mean(error_M, labelled.energy_M)
        if self.forces and forces_N3 is not None:
            forces = self._mean(forces_N3 - labelled.forces_N3, labelled.forces_N3)
        if self.stress and stress_M33 is not None:
            per_atom = (graph.volume_M.nan_to_num(0.0) / graph.n_atoms_M)[:, None, None]
            stress = self._mean((stress_M33 - labelled.stress_M33) * per_atom, labelled.stress_M33)
        if self.hierarchicality:
            order = hierarchicality_N(terms_NT).mean()
        total = self.energy * energy + self.forces * forces + self.stress * stress + self.hierarchicality * order
        return LossParts(total=total, energy=energy, forces=forces, stress=stress, hierarchicality=order)

    def _mean(self, error: Tensor, label: Tensor) -> Tensor:
        """Over what is labelled, where a prediction that is not finite shows; elsewhere the gradient is 0, not NaN."""
        known = ~torch.isnan(label)
        n = known.sum().clamp(min=1)
        error = torch.where(known, error, 0)
        if self.kind == "rmse_mae":
            mean_square = error.square().sum() / n
            return torch.sqrt(mean_square + torch.finfo(error.dtype).tiny) + error.abs().sum() / n
        if self.kind == "huber":
            size, delta = error.abs(), self.huber_delta
            return torch.where(size <= delta, size.square(), delta * (2 * size - delta)).sum() / n
        return error.square().sum() / n
