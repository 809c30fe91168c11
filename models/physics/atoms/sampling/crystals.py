"""Crystals of one element: prototypes at a volume per atom, repeated, strained at random, rattled.

    fcc, bcc, sc, diamond   conventional cubic cells of 4, 2, 1, 8 atoms
    hcp                     orthorhombic cell of 4 atoms, c/a = sqrt(8/3)

The strain is (I + e) with e symmetric, components normal with a standard deviation drawn uniformly up to the given one,
made volume-conserving afterwards: volume is a parameter of its own. Atoms move by a normal displacement likewise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.frames import Frames
from models.physics.atoms.sampling.ranges import number_problems, range_problems, refuse_if

__all__ = ["PROTOTYPES", "Crystals", "cell_of", "prototype", "repeated", "sample_crystals", "strained_and_rattled"]

FloatArray = NDArray[np.float64]
PROTOTYPES: dict[str, tuple[tuple[float, float, float], tuple[tuple[float, float, float], ...]]] = {
    "sc": ((1.0, 1.0, 1.0), ((0, 0, 0),)),
    "bcc": ((1.0, 1.0, 1.0), ((0, 0, 0), (0.5, 0.5, 0.5))),
    "fcc": ((1.0, 1.0, 1.0), ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))),
    "diamond": (
        (1.0, 1.0, 1.0),
        (
            *((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)),
            *((0.25, 0.25, 0.25), (0.25, 0.75, 0.75), (0.75, 0.25, 0.75), (0.75, 0.75, 0.25)),
        ),
    ),
    "hcp": ((1.0, 3**0.5, (8 / 3) ** 0.5), ((0, 0, 0), (0.5, 0.5, 0), (0.5, 5 / 6, 0.5), (0, 1 / 3, 0.5))),
}


@dataclass(frozen=True, kw_only=True)
class Crystals:
    """Each frame has a prototype in turn, and its volume [A^3/atom], strain and rattling [A] drawn from the ranges."""

    n_frames: int
    prototypes: tuple[str, ...]
    n_atoms: tuple[int, int]  # of repeated cells, at most a number drawn from this range
    volume_A3: tuple[float, float]
    strain: float
    rattle_A: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "prototypes", tuple(self.prototypes))
        unknown = [
            f"prototype {p!r}: expected one of {sorted(PROTOTYPES)}" for p in self.prototypes if p not in PROTOTYPES
        ]
        refuse_if(
            unknown
            + range_problems("n_atoms", self.n_atoms)
            + range_problems("volume_A3", self.volume_A3)
            + number_problems(n_frames=self.n_frames, strain=self.strain, rattle_A=self.rattle_A)
        )


def sample_crystals(number: int, settings: Crystals, rng: np.random.Generator, *, first: int = 0) -> list[Frames]:
    """Frames of the element of this atomic number; frame i takes prototype (first + i) in turn."""
    frames = []
    for index in range(first, first + settings.n_frames):
        name = settings.prototypes[index % len(settings.prototypes)]
        crystal = prototype(name, number, float(rng.uniform(*settings.volume_A3)))
        wanted = int(rng.integers(settings.n_atoms[0], settings.n_atoms[1] + 1))
        crystal = repeated(crystal, _repeats(crystal, wanted))
        frames.append(
            strained_and_rattled(
                crystal, strain=settings.strain * rng.random(), rattle_A=settings.rattle_A * rng.random(), rng=rng
            )
        )
    return frames


def prototype(name: str, number: int, volume_A3: float) -> Frames:
    """One cell with `volume_A3` per atom. Raises ValueError on an unknown name."""
    if name not in PROTOTYPES:
        raise ValueError(f"found prototype {name!r}, expected one of {sorted(PROTOTYPES)}")
    edges, fractions = PROTOTYPES[name]
    cell = np.diag(edges) * (volume_A3 * len(fractions) / np.prod(edges)) ** (1 / 3)
    return Frames.one(
        numbers=np.full(len(fractions), number, dtype=np.int64),
        positions_A=np.array(fractions, dtype=np.float64) @ cell,
        cell_A=cell,
        source=name,
    )


def repeated(structure: Frames, repeats: tuple[int, int, int]) -> Frames:
    cell = cell_of(structure)
    shifts = np.array([(i, j, k) for i in range(repeats[0]) for j in range(repeats[1]) for k in range(repeats[2])])
    positions = (structure.positions_A[None] + (shifts @ cell)[:, None]).reshape(-1, 3)
    return structure.changed(
        numbers=np.tile(structure.numbers, len(shifts)),
        positions_A=positions,
        cell_A=cell * np.array(repeats)[:, None],
    )


def strained_and_rattled(structure: Frames, *, strain: float, rattle_A: float, rng: np.random.Generator) -> Frames:
    """Same volume, other shape; both arguments are standard deviations."""
    draw = rng.standard_normal((3, 3)) * strain
    deformation = np.eye(3) + (draw + draw.T) / 2
    deformation /= np.cbrt(np.linalg.det(deformation))
    moved = structure.positions_A @ deformation + rattle_A * rng.standard_normal(structure.positions_A.shape)
    return structure.changed(positions_A=moved, cell_A=cell_of(structure) @ deformation)


def _repeats(crystal: Frames, n_atoms: int) -> tuple[int, int, int]:
    """Repetitions of at most `n_atoms` atoms, many of them in a cell not too long."""
    edges = np.linalg.norm(cell_of(crystal), axis=1)
    most = max(1, n_atoms // len(crystal.numbers))
    choices = [(i, j, k) for i in range(1, most + 1) for j in range(1, most + 1) for k in range(1, most + 1)]
    fitting = [choice for choice in choices if choice[0] * choice[1] * choice[2] <= most]

    def worth(choice: tuple[int, int, int]) -> float:
        lengths = edges * np.array(choice)
        return float(choice[0] * choice[1] * choice[2] * np.sqrt(np.min(lengths) / np.max(lengths)))

    return max(fitting, key=worth)


def cell_of(structure: Frames) -> FloatArray:
    if structure.cell_A is None:
        raise ValueError("found an open structure, expected a periodic one")
    return structure.cell_A
