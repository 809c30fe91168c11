"""How wide and how far-sighted a potential is, as params, and the Config they make for given data.

The two networks by name; every one listed here can be trained by pipeline.commands.train_potential and the stage
`potential`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from models.networks.potentials.ani import ANI
from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.potential import PotentialNetwork
from models.settings import Some, settings

__all__ = ["NETWORKS", "ANIParams", "HIPNNParams", "NetworkParams"]


@settings
class HIPNNParams:
    """HIP-NN; see models.networks.potentials.hipnn."""

    cutoff_A: PositiveFloat = 5.5
    soft_min_A: PositiveFloat = 0.75
    soft_max_A: PositiveFloat = 4.5
    n_features: PositiveInt = 20
    n_sensitivities: PositiveInt = 20
    n_interactions: PositiveInt = 2
    n_onsite: NonNegativeInt = 3

    def config(self, species: Sequence[int], references: Sequence[float], scale_eV: float) -> HIPNN.Config:
        """For these elements, their reference energies and an energy scale."""
        return HIPNN.Config(
            species=tuple(species),
            reference_energies_eV=tuple(references),
            energy_scale_eV=scale_eV,
            cutoff_A=self.cutoff_A,
            soft_min_A=self.soft_min_A,
            soft_max_A=self.soft_max_A,
            n_features=self.n_features,
            n_sensitivities=self.n_sensitivities,
            n_interactions=self.n_interactions,
            n_onsite=self.n_onsite,
        )


@settings
class ANIParams:
    """ANI: symmetry functions of `preset`, hidden layers alike for all elements."""

    preset: Literal["ani1x", "ani_al"] = "ani1x"
    cutoff_A: PositiveFloat = 5.2
    angular_cutoff_A: PositiveFloat = 3.5
    hidden: Some[PositiveInt] = (96, 64, 32)

    def config(self, species: Sequence[int], references: Sequence[float], scale_eV: float) -> Any:  # noqa: ANN401
        """For these elements, their reference energies and an energy scale (an ANI.Config)."""
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


NetworkParams = HIPNNParams | ANIParams
NETWORKS: dict[str, tuple[type[PotentialNetwork], type[HIPNNParams] | type[ANIParams]]] = {
    "hipnn": (HIPNN, HIPNNParams),
    "ani": (ANI, ANIParams),
}


def _stretched(shifts: tuple[float, ...], old: float, new: float) -> tuple[float, ...]:
    """The same first shift, the others spread up to the new cutoff."""
    return tuple(shifts[0] + (s - shifts[0]) * (new - shifts[0]) / (old - shifts[0]) for s in shifts)
