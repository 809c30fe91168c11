"""Start a training from a trained potential: its architecture, elements, baseline and weights.

Member k goes on from member k of the source. Of a source with fewer members they are taken in turn: the new ones then
differ in the order of their batches alone, and their spread says less than that of members with starts of their own.

Reference energies are those of the source, so that before the first step the new potential is the old one. Refitted,
they are moved by the energies of the elements that explain best what the source is off on the new training set,

    e0(Z) + d(Z),    d = argmin sum_m rho( (E_m - E_source,m - sum_i d(Z_i)) / n_m ),    rho of Huber,

as labels of another level of theory ask for (models.physics.atoms.reference_energies).

A member ends with the weights of the source where no epoch has a lower validation loss than they have.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.frames import Frames
from models.networks.potentials.baseline import potential_hash
from models.networks.potentials.ensemble import Ensemble, load_potential
from models.networks.potentials.potential import PotentialNetwork
from models.training.potentials.configurations import with_neighbours
from models.training.potentials.ensembles import Prediction, Weights, mean_prediction, predict, references_of
from pipeline.atoms.potential_data import TrainingData

__all__ = ["Source", "source_of"]

BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Source:
    """A trained potential to start from."""

    folder: Path
    hash: str
    ensemble: Ensemble

    @property
    def config(self) -> Any:  # noqa: ANN401 - the Config of its network
        return self.ensemble.members[0].config

    def problems(self, *, model: str | None, cutoff_A: float | None, width: int | None) -> list[str]:
        """What a user states of the architecture, None where nothing, and the source contradicts."""
        stated = {"--model": model, "--cutoff": cutoff_A, "--features": width}
        mine = {
            "--model": self.ensemble.info["model"],
            "--cutoff": self.ensemble.cutoff_A,
            "--features": getattr(self.config, "n_features", width),
        }
        return [
            f"{option}: found {stated[option]}, expected {value}, that of --from {self.folder}; leave it out"
            for option, value in mine.items()
            if stated[option] is not None and stated[option] != value
        ]

    def data(self, data: TrainingData, *, refit: bool) -> TrainingData:
        """The same sets with elements and reference energies of the source, or with refitted ones.

        Raises ValueError for elements that the source does not know.
        """
        from ase.data import chemical_symbols

        if unknown := [chemical_symbols[number] for number in data.species if number not in self.ensemble.species]:
            known = [chemical_symbols[number] for number in self.ensemble.species]
            raise ValueError(
                f"--from {self.folder}: found the elements {', '.join(unknown)} in the data, expected some of "
                f"{', '.join(known)}, which the source knows; train from scratch, or leave these configurations out"
            )
        references = tuple(float(energy) for energy in self.config.reference_energies_eV)
        if refit:
            off = data.train.energies_eV - self.predictions(data.train).energies_eV
            shifts = dict(zip(data.species, references_of(replace(data.train, energies_eV=off)), strict=True))
            references = tuple(e + shifts.get(z, 0.0) for z, e in zip(self.ensemble.species, references, strict=True))
        return replace(data, species=self.ensemble.species, reference_energies_eV=references)

    def predictions(self, frames: Frames) -> Prediction:
        """Of its networks, without its baseline: energies and forces that labels less the baseline's compare with."""
        predictions = []
        for member in self.ensemble.members:
            dtype = next(member.parameters()).dtype
            predictions.append(predict(member, with_neighbours(frames, member.config, dtype), BATCH))
        return mean_prediction(predictions)

    def weights(self, n_members: int, dtype: torch.dtype) -> list[Weights]:
        """Of each new member."""
        weights = [_weights(member, dtype) for member in self.ensemble.members]
        return [weights[number % len(weights)] for number in range(n_members)]


def source_of(folder: Path, *, allow_baseline: str) -> Source:
    """Raises what `load_potential` raises, ValueError for members of different architectures."""
    ensemble = load_potential(folder, allow_baseline=allow_baseline)
    if any(member.config != ensemble.members[0].config for member in ensemble.members):
        raise ValueError(f"--from {folder}: found members of different settings, expected one architecture")
    return Source(folder=folder, hash=potential_hash(folder), ensemble=ensemble)


def _weights(member: PotentialNetwork, dtype: torch.dtype) -> Weights:
    tensors = {name: tensor.detach().cpu() for name, tensor in member.state_dict().items()}
    moved = {name: t.to(dtype) if t.is_floating_point() else t for name, t in tensors.items()}
    return {name: np.array(tensor.numpy()) for name, tensor in moved.items()}
