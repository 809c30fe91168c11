"""Which of many frames to label next: those an ensemble is unsure of, unlike each other and unlike what is known.

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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from models.networks.potentials.aev import AEVSettings, environment_vectors
from models.networks.potentials.batched_dynamics import Spread, Thresholds
from models.networks.potentials.graph import Configuration, collate
from models.networks.potentials.neighbours import find_neighbours

__all__ = ["Selection", "ThresholdRule", "calibrate", "fingerprint", "fingerprint_distance", "select"]

FloatArray = NDArray[np.float64]
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
    """Places among the candidates: what to label, and what was too near to something labelled or chosen."""

    chosen: list[int]
    duplicates: list[int]


def calibrate(rule: ThresholdRule, known: Sequence[Spread]) -> Thresholds:
    """Thresholds for an ensemble with these spreads on frames that are labelled.

    Raises ValueError for no frames and for members that agree everywhere, whose quantile would be no threshold.
    """
    names = ("energy_eV_atom", "force_mean_eV_A", "force_max_eV_A")
    if rule.kind == "fixed":
        return Thresholds(**{name: getattr(rule, name) for name in names})
    if not known:
        raise ValueError("thresholds: found no labelled frames to calibrate them on, expected some")
    values = {name: rule.factor * float(np.quantile([vars(s)[name] for s in known], rule.quantile)) for name in names}
    return Thresholds(**values)


def fingerprint(numbers: NDArray[np.int64], positions_A: FloatArray, cell_A: FloatArray | None) -> FloatArray:
    """(n_features,) of one frame: independent of rotation, translation, the order of atoms and repeats of the cell."""
    species = np.unique(numbers)
    periodic = cell_A is not None
    cell = np.zeros((3, 3)) if cell_A is None else cell_A
    near = find_neighbours(positions_A, cell, np.full(3, periodic), CUTOFF_A)
    one = Configuration(numbers=numbers, positions_A=positions_A, cell_A=cell, neighbours=near)
    graph, vectors_H3 = collate([one], torch.float64)
    species_N = torch.from_numpy(np.searchsorted(species, numbers))
    features = environment_vectors(_settings(len(species)), graph, species_N, vectors_H3).numpy()
    return np.concatenate([features.mean(axis=0), features.std(axis=0)])


def fingerprint_distance(one: FloatArray, others: FloatArray) -> FloatArray:
    """Of one fingerprint (F,) to several (M, F); relative, so without unit."""
    lengths = np.linalg.norm(one) * np.linalg.norm(others, axis=1)
    return np.asarray(np.linalg.norm(others - one, axis=1) / np.sqrt(np.maximum(lengths, 1e-300)))


def select(
    candidates: FloatArray,  # (n, F) fingerprints
    ratios: Sequence[float],  # (n,) spread / threshold
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
        score = np.where(free & (nearest >= least_distance), np.asarray(ratios) * far**diversity, -np.inf)
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
