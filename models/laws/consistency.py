"""Choosing among trainings without looking at a label: do two of them find the same latents?

Latents which are turned at random differ from seed to seed; latents that were found in the data come back. Duan et al.
(arXiv:1905.12614) rank settings of disentangling autoencoders by that agreement. Here:

    agreement(a, b) = mean over all latents of a and b of the largest |Spearman| with a latent of the other
    consistency of a training = mean agreement with the other trainings of its setting

Agreement alone would prefer one blunt latent, so settings compete only if they reconstruct nearly as well as the best.
Suffixes: N rows, L latents.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.laws.correlation import spearman

__all__ = ["Candidate", "Choice", "agreement", "most_consistent"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Trainings of one setting that differ in their seed alone."""

    setting: float
    latents: Sequence[NDArray[np.float64]]  # active latents (N, L) of each training, on the same rows
    error: float  # of reconstruction, held out


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The chosen setting, the number of the chosen training in it, and the consistency of all trainings of all."""

    setting: float
    member: int
    consistency: list[list[float]]


def most_consistent(candidates: Sequence[Candidate], *, error_slack: float) -> Choice:
    """Among settings whose error is at most `error_slack` times the lowest, the one with the highest mean consistency.

    Of its trainings the one that agrees best with the others. With a single training each, the lowest error decides.
    """
    if not candidates or any(len(c.latents) == 0 for c in candidates):
        raise ValueError("choice of a training: found none, expected at least one candidate with at least one training")
    consistency = [_consistency(candidate.latents) for candidate in candidates]
    lowest = min(candidate.error for candidate in candidates)
    allowed = [i for i, candidate in enumerate(candidates) if candidate.error <= error_slack * lowest]
    best = max(allowed, key=lambda i: (float(np.mean(consistency[i])), -candidates[i].error))
    return Choice(setting=candidates[best].setting, member=int(np.argmax(consistency[best])), consistency=consistency)


def agreement(one_NL: NDArray[np.float64], other_NL: NDArray[np.float64]) -> float:
    """0 .. 1; 0 where one of them has no latent."""
    if one_NL.shape[1] == 0 or other_NL.shape[1] == 0:
        return 0.0
    similarity = np.array([[abs(spearman(a_N, b_N)) for b_N in other_NL.T] for a_N in one_NL.T])
    return float(np.concatenate([similarity.max(1), similarity.max(0)]).mean())


def _consistency(latents: Sequence[NDArray[np.float64]]) -> list[float]:
    if len(latents) == 1:
        return [0.0]
    pairs = np.array([[agreement(a, b) if a is not b else 0.0 for b in latents] for a in latents])
    return [float(value) for value in pairs.sum(1) / (len(latents) - 1)]
