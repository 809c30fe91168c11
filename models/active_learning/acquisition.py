"""Which of many frames to label next: those an ensemble is uncertain of, unlike each other and unlike what is known.

    thresholds    fixed, or factor x quantile of the spreads on a calibration set (the frames already labelled), so that
                  ensembles whose absolute spread differs need no tuning
    duplicates    fingerprint of a frame: mean and standard deviation over atoms of symmetry functions; two frames
                  a, b are |f_a - f_b| / sqrt(|f_a| |f_b|) apart, and near-duplicates below a bound are left out
    selection     greedy: always the frame with the largest (spread / threshold) x (distance to what is labelled or
                  chosen)^weight, up to a quota

Symmetry functions are those of models.networks.potentials.aev, chosen here once for metals and molecules alike,
whatever the potential is. Everything is a pure function of its arguments; ties go to the earlier frame.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from models.frames import FloatArray, Frames
from models.networks.potentials.aev import AEVSettings, environment_vectors
from models.networks.potentials.batched_dynamics import Thresholds
from models.networks.potentials.ensemble import SPREADS
from models.networks.potentials.graph import Configuration, collate
from models.networks.potentials.neighbours import find_neighbours

__all__ = [
    "Diverse",
    "Selection",
    "ThresholdRule",
    "calibrate",
    "fingerprint",
    "fingerprint_distance",
    "fingerprints",
    "select",
]

CUTOFF_A = 6.0
ANGULAR_CUTOFF_A = 4.5


@dataclass(frozen=True, kw_only=True)
class ThresholdRule:
    """`fixed` takes the three values; `quantile` takes factor x that quantile of the spreads on known frames."""

    kind: Literal["quantile", "fixed"] = "quantile"
    quantile: float = 0.9
    factor: float = 1.5
    energy_eV_atom: float = 0.01
    force_mean_eV_A: float = 0.05
    force_max_eV_A: float = 0.15

    def __post_init__(self) -> None:
        problems = []
        if self.kind not in ("quantile", "fixed"):
            problems.append(f"kind = {self.kind!r}: expected 'quantile' or 'fixed'")
        if not 0 < self.quantile <= 1:
            problems.append(f"quantile = {self.quantile!r}: expected 0 < quantile <= 1")
        for name in ("factor", "energy_eV_atom", "force_mean_eV_A", "force_max_eV_A"):
            if not 0 < getattr(self, name) < math.inf:
                problems.append(f"{name} = {getattr(self, name)!r}: expected a threshold > 0")
        if problems:
            raise ValueError("; ".join(problems))


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Row numbers among the candidates: what to label, and what was too near to something labelled or chosen."""

    chosen: list[int]
    duplicates: list[int]


def calibrate(rule: ThresholdRule, known: FloatArray) -> Thresholds:
    """Thresholds for an ensemble with these spreads (M, 3) on frames that are labelled.

    Raises ValueError for no frames and for members that agree everywhere, whose quantile would be no threshold.
    """
    if rule.kind == "fixed":
        return Thresholds(**{name: getattr(rule, name) for name in SPREADS})
    if not len(known):
        raise ValueError("thresholds: found no labelled frames to calibrate them on, expected some")
    bounds = [rule.factor * float(np.quantile(column, rule.quantile)) for column in known.T]
    return Thresholds(**dict(zip(SPREADS, bounds, strict=True)))


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


@dataclass(frozen=True, kw_only=True)
class Diverse:
    """At most `quota` frames, none nearer than `least_distance` to a labelled or another chosen one.

    `diversity` is the exponent of the distance in the order of selection.
    """

    least_distance: float
    diversity: float

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


def select(
    candidates: FloatArray,  # (n, F) fingerprints
    ratios: FloatArray,  # (n,) spread / threshold
    known: FloatArray,  # (m, F) of what is labelled
    *,
    quota: int,
    least_distance: float,
    diversity: float = 1.0,
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
