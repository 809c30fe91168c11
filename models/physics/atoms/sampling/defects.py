"""Defects of a crystal of one element: vacancy, interstitial, surface slab, stacking fault, each then rattled.

vacancy          a supercell without one atom
interstitial     with one more, in the widest hole (of a grid of points), the volume per atom held
slab             vacuum above the cell, along its third vector
stacking_fault   fcc (111) planes stacked along z, upper and lower half displaced by a/6 [112]: the third vector of
                 the cell takes the displacement, so that one fault repeats each period
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.frames import Frames
from models.physics.atoms.sampling.crystals import cell_of, prototype, repeated, strained_and_rattled
from models.physics.atoms.sampling.ranges import number_problems, range_problems, refuse_if

__all__ = ["DEFECTS", "Defects", "interstitial", "sample_defects", "slab", "stacking_fault", "vacancy"]

FloatArray = NDArray[np.float64]
DEFECTS = ("vacancy", "interstitial", "slab", "stacking_fault")
HOLE_GRID = 12  # points per vector of the cell


@dataclass(frozen=True, kw_only=True)
class Defects:
    """Each frame has a kind in turn; `repeats` fcc cells, `n_layers` (111) planes, volumes in A^3/atom."""

    n_frames: int
    kinds: tuple[str, ...]
    repeats: tuple[int, int, int]
    n_layers: int
    vacuum_A: float
    volume_A3: tuple[float, float]
    rattle_A: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(self.kinds))
        object.__setattr__(self, "repeats", tuple(self.repeats))
        problems = [f"kind {k!r}: expected one of {list(DEFECTS)}" for k in self.kinds if k not in DEFECTS]
        if self.n_layers < 3 or self.n_layers % 3:
            problems.append(f"n_layers = {self.n_layers}: expected a multiple of 3, the period of fcc planes")
        if self.n_frames and "vacancy" in self.kinds and self.repeats == (1, 1, 1):
            problems.append("repeats 1 x 1 x 1: expected more cells, or a quarter of the crystal is vacancies")
        problems += range_problems("volume_A3", self.volume_A3)
        problems += number_problems(n_frames=self.n_frames, rattle_A=self.rattle_A, vacuum_A=self.vacuum_A)
        refuse_if(problems + number_problems(1, **{f"repeats[{i}]": n for i, n in enumerate(self.repeats)}))


def sample_defects(number: int, settings: Defects, rng: np.random.Generator, *, first: int = 0) -> list[Frames]:
    """Frames of the element of this atomic number, in fcc; frame i takes kind (first + i) in turn."""
    frames = []
    for index in range(first, first + settings.n_frames):
        kind = settings.kinds[index % len(settings.kinds)]
        volume = float(rng.uniform(*settings.volume_A3))
        crystal = repeated(prototype("fcc", number, volume), settings.repeats)
        if kind == "vacancy":
            crystal = vacancy(crystal, int(rng.integers(len(crystal.numbers))))
        elif kind == "interstitial":
            crystal = interstitial(crystal)
        elif kind == "slab":
            crystal = slab(crystal, settings.vacuum_A)
        else:
            crystal = stacking_fault(number, volume, settings.n_layers)
        frames.append(strained_and_rattled(crystal, strain=0.0, rattle_A=settings.rattle_A * rng.random(), rng=rng))
    return [frame.changed(source="defect") for frame in frames]


def vacancy(crystal: Frames, atom: int) -> Frames:
    return crystal.changed(
        numbers=np.delete(crystal.numbers, atom), positions_A=np.delete(crystal.positions_A, atom, axis=0)
    )


def interstitial(crystal: Frames) -> Frames:
    """One atom more, where the nearest atom is farthest; the cell grows with it."""
    cell = cell_of(crystal)
    ticks = np.arange(HOLE_GRID) / HOLE_GRID
    points = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    difference = points[:, None] - (crystal.positions_A @ np.linalg.inv(cell))[None]
    distances = np.linalg.norm((difference - np.round(difference)) @ cell, axis=-1).min(axis=1)
    hole = points[int(np.argmax(np.round(distances, 6)))]
    n_atoms = len(crystal.numbers)
    scale = ((n_atoms + 1) / n_atoms) ** (1 / 3)
    return crystal.changed(
        numbers=np.append(crystal.numbers, crystal.numbers[0]),
        positions_A=np.vstack([crystal.positions_A, hole @ cell]) * scale,
        cell_A=cell * scale,
    )


def slab(crystal: Frames, vacuum_A: float) -> Frames:
    """Vacuum along the third vector: surfaces normal to the first two."""
    cell = cell_of(crystal).copy()
    cell[2] *= 1 + vacuum_A / np.linalg.norm(cell[2])
    return crystal.changed(cell_A=cell)


def stacking_fault(number: int, volume_A3: float, n_layers: int) -> Frames:
    """`n_layers` planes of one atom each, ABC..., and the next period shifted by a Shockley partial a/6 [112]."""
    edge = (4 * volume_A3) ** (1 / 3)
    near, height = edge / np.sqrt(2), edge / np.sqrt(3)
    plane = np.array([[near, 0, 0], [near / 2, near * np.sqrt(3) / 2, 0]])
    step = (plane[0] + plane[1]) / 3  # from A to B, length a / sqrt(6)
    layers = np.arange(n_layers)
    positions = layers[:, None] * (step + np.array([0, 0, height]))[None]
    third = n_layers * (step + np.array([0, 0, height])) + step
    cell = np.vstack([plane, third])
    home = positions @ np.linalg.inv(cell)
    return Frames.one(
        numbers=np.full(n_layers, number, dtype=np.int64),
        positions_A=(home - np.floor(home + 1e-9)) @ cell,
        cell_A=_reduced(cell),
        source="stacking_fault",
    )


def _reduced(cell: FloatArray) -> FloatArray:
    """The same lattice with the third vector as upright as whole steps of the others make it."""
    steps = np.round(cell[2, :2] @ np.linalg.inv(cell[:2, :2]))
    return np.vstack([cell[:2], cell[2] - steps @ cell[:2]])
