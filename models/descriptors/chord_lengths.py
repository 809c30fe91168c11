"""Chord lengths: how long are the runs that a phase cuts out of straight lines?

A chord is a run of pixels of one phase along a line, ended by the other phase. A chord of l pixels holds l - z + 1
segments of z pixels, so with N(z) the number of segments inside the phase (models.descriptors.level_sets)

    n(l) = N(l) - 2 N(l + 1) + N(l + 2)                          chords of length l: a second difference

exactly, as the chord-length density is the second derivative of the lineal path (Torquato and Lu, Phys. Rev. E 47,
2950, 1993). Features: sqrt of the shares of chords of length 1, 2, ..., maximum_length and longer, of each level, phase
and direction, at equal weight, so that distances are Hellinger's. A line that lies wholly in one phase has no chord
when periodic; otherwise the border ends chords.

radial   shares of the chords of all four directions together, lengths in pixels of each
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.descriptors.descriptor import DESCRIPTORS, FloatArray, describe_in_blocks
from models.descriptors.level_sets import DIRECTIONS, Levels, level_sets, n_of_length
from models.descriptors.lineal_path import require_length
from models.settings import settings

__all__ = ["ChordLengthSettings", "ChordLengths", "chord_counts"]

BLOCK = 16  # images at once


@settings
class ChordLengthSettings:
    family: ClassVar[str] = "chord_lengths"
    levels_sigmas: Levels = (-1.0, 0.0, 1.0)
    maximum_length: Annotated[int, Field(ge=2)] = 32  # pixels
    periodic: bool = True


@DESCRIPTORS.register("chord_lengths", settings=ChordLengthSettings)
@DESCRIPTORS.register("chord_lengths_radial", settings=ChordLengthSettings)
def chord_lengths(chosen: ChordLengthSettings, name: str, shape: tuple[int, int], random_seed: int) -> "ChordLengths":
    return ChordLengths(
        name=name,
        shape=shape,
        levels_sigmas=chosen.levels_sigmas,
        maximum_length=chosen.maximum_length,
        periodic=chosen.periodic,
        radial=name.endswith("radial"),
    )


@dataclass(frozen=True, kw_only=True)
class ChordLengths:
    """Descriptor. Raises ValueError for chords longer than the images."""

    name: str
    shape: tuple[int, int]
    levels_sigmas: tuple[float, ...]
    maximum_length: int
    periodic: bool
    radial: bool

    def __post_init__(self) -> None:
        require_length(self.name, self.maximum_length + 2, self.shape)

    @property
    def n_features(self) -> int:
        return 2 * len(self.levels_sigmas) * (self.maximum_length + 1) * (1 if self.radial else len(DIRECTIONS))

    def describe(self, images_BHW: NDArray[Any]) -> FloatArray:
        return describe_in_blocks(self, images_BHW, BLOCK, self._features)

    def _features(self, images_BHW: NDArray[Any]) -> NDArray[Any]:
        parts = []
        for above_BHW in level_sets(images_BHW, self.levels_sigmas):
            for phase_BHW in (above_BHW, ~above_BHW):
                counts_BDL = chord_counts(phase_BHW, self.maximum_length, periodic=self.periodic)
                counts_BDL = counts_BDL.sum(1, keepdims=True) if self.radial else counts_BDL
                share_BDL = counts_BDL / np.maximum(counts_BDL.sum(2, keepdims=True), 1)
                parts.append(np.sqrt(share_BDL).reshape(len(share_BDL), -1))
        return np.concatenate(parts, axis=1)


def chord_counts(phase_BHW: NDArray[np.bool_], maximum_length: int, *, periodic: bool) -> NDArray[np.float64]:
    """Chords of 1, ..., maximum_length pixels, and of more, in each of DIRECTIONS: (B, 4, maximum_length + 1)."""
    counts = []
    for step in DIRECTIONS:
        inside_BZ, _ = n_of_length(phase_BHW, step, maximum_length + 2, periodic=periodic)
        longer_B = inside_BZ[:, -2] - inside_BZ[:, -1]
        exact_BL = inside_BZ[:, :-2] - 2 * inside_BZ[:, 1:-1] + inside_BZ[:, 2:]
        counts.append(np.column_stack([exact_BL, longer_B]))
    return np.stack(counts, axis=1)
