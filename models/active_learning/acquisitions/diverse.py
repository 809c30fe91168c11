"""Acquisition `diverse`: what an ensemble is uncertain of, unlike each other and unlike what is labelled.

    duplicates    fingerprint of a frame: mean and standard deviation over atoms of symmetry functions; two frames
                  a, b are |f_a - f_b| / sqrt(|f_a| |f_b|) apart, and near-duplicates below a bound are left out
    selection     greedy: always the frame with the largest (spread / threshold) x (distance to what is labelled or
                  chosen)^weight, up to a quota

Symmetry functions are those of models.networks.potentials.aev, chosen here once for metals and molecules alike,
whatever the potential is. Everything is a pure function of its arguments; ties go to the earlier frame.
"""

import numpy as np
import torch
from pydantic import NonNegativeFloat

from models.active_learning.acquisition import ACQUISITIONS, Selection
from models.frames import FloatArray, Frames
from models.networks.potentials.aev import AEVSettings, environment_vectors
from models.networks.potentials.graph import Configuration, collate
from models.networks.potentials.neighbours import find_neighbours
from models.settings import settings

__all__ = ["Diverse", "fingerprint", "fingerprint_distance", "fingerprints", "select"]

CUTOFF_A = 6.0
ANGULAR_CUTOFF_A = 4.5


@ACQUISITIONS.register("diverse")
@settings
class Diverse:
    """At most `quota` frames, none nearer than `least_distance` to a labelled or another chosen one.

    `diversity` is the exponent of the distance in the order of selection.
    """

    least_distance: NonNegativeFloat
    diversity: NonNegativeFloat

    def choose(self, candidates: Frames, ratios: FloatArray, labelled: Frames, quota: int) -> Selection:
        """`ratios` (M,) are spread / threshold of the candidates."""
        return select(
            fingerprints(candidates),
            ratios,
            fingerprints(labelled),
            quota=quota,
            least_distance=self.least_distance,
            diversity=self.diversity,
        )


def fingerprints(frames: Frames) -> FloatArray:
    """(M, n_features): independent of rotation, translation, the order of atoms and repeats of the cell."""
    return np.stack([fingerprint(frame) for frame in frames])


def fingerprint(frame: Frames) -> FloatArray:
    """(n_features,) of one frame."""
    species = np.unique(frame.numbers)
    near = find_neighbours(frame.positions_A, frame.cells_A[0], frame.pbc[0], CUTOFF_A)
    one = Configuration(numbers=frame.numbers, positions_A=frame.positions_A, cell_A=frame.cells_A[0], neighbours=near)
    graph, vectors_H3 = collate([one], torch.float64)
    species_N = torch.from_numpy(np.searchsorted(species, frame.numbers))
    features = environment_vectors(_settings(len(species)), graph, species_N, vectors_H3).numpy()
    return np.concatenate([features.mean(axis=0), features.std(axis=0)])


def fingerprint_distance(one: FloatArray, others: FloatArray) -> FloatArray:
    """Of one fingerprint (F,) to several (M, F); relative, so without unit."""
    lengths = np.linalg.norm(one) * np.linalg.norm(others, axis=1)
    return np.asarray(np.linalg.norm(others - one, axis=1) / np.sqrt(np.maximum(lengths, 1e-300)))


def select(
    candidates: FloatArray,  # (n, F) fingerprints
    ratios: FloatArray,  # (n,) spread / threshold
    known: FloatArray,  # (m, F) of what is labelled
    *,
    quota: int,
    least_distance: float,
    diversity: float,
) -> Selection:
    """At most `quota` candidates, none nearer than `least_distance` to a known or another chosen one."""
    nearest = np.full(len(candidates), np.inf)
    for other in known:
        nearest = np.minimum(nearest, fingerprint_distance(other, candidates))
    free = np.ones(len(candidates), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < quota and (free & (nearest >= least_distance)).any():
        far = np.where(np.isfinite(nearest), nearest, 1.0)
        score = np.where(free & (nearest >= least_distance), ratios * far**diversity, -np.inf)
        best = int(score.argmax())
        chosen.append(best)
        free[best] = False
        nearest = np.minimum(nearest, fingerprint_distance(candidates[best], candidates))
    duplicates = [int(i) for i in np.flatnonzero(free & (nearest < least_distance))]
    return Selection(chosen=chosen, duplicates=duplicates)


def _settings(n_species: int) -> AEVSettings:
    return AEVSettings(
        n_species=n_species,
        radial_cutoff_A=CUTOFF_A,
        radial_eta=8.0,
        radial_shifts_A=tuple(np.arange(1.0, CUTOFF_A, 0.5).tolist()),
        angular_cutoff_A=ANGULAR_CUTOFF_A,
        angular_eta=2.0,
        angular_shifts_A=(2.0, 3.25),
        zeta=8.0,
        angles=tuple((np.pi * (np.arange(4) + 0.5) / 4).tolist()),
    )
