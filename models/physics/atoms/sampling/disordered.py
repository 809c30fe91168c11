"""Random-packed cells: atoms thrown into a random cell, none nearer than a minimum distance.

Random sequential addition jams near a packing fraction of 0.38, so what is thrown at random is pushed apart by a soft
repulsion sum (1 - r_ij / d)^2 over pairs nearer than d until none is. Spheres of diameter d fill phi = pi d^3 / (6 v)
of a volume v per atom: 0.64 when packed at random, and here at most DENSEST. Each frame draws its d between the minimum
distance and what its volume allows, so that nearest neighbours are not all one distance apart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.frames import CONTACT_A, Frames
from models.physics.atoms.distances import minimum_distance
from models.physics.atoms.sampling.ranges import number_problems, range_problems, refuse_if

__all__ = ["DENSEST", "RandomPacked", "packing_fraction", "random_packed", "sample_random_packed"]

FloatArray = NDArray[np.float64]
DENSEST = 0.55
MARGIN = 1.02  # the repulsion aims a little farther than asked for
MAX_STARTS = 200
MAX_NARROWER = 4  # halvings of what a drawn distance is above the least one


@dataclass(frozen=True, kw_only=True)
class RandomPacked:
    """Numbers of atoms and volumes [A^3/atom] are drawn from ranges, cell edges differ by exp of a normal `shape`."""

    n_frames: int
    n_atoms: tuple[int, int]
    volume_A3: tuple[float, float]
    minimum_distance_A: float
    shape: float = 0.1

    def __post_init__(self) -> None:
        refuse_if(
            range_problems("n_atoms", self.n_atoms)
            + range_problems("volume_A3", self.volume_A3)
            + number_problems(n_frames=self.n_frames, shape=self.shape)
            + number_problems(CONTACT_A, minimum_distance_A=self.minimum_distance_A)
        )
        densest = packing_fraction(self.minimum_distance_A, self.volume_A3[0])
        if densest > DENSEST:
            least = np.pi * self.minimum_distance_A**3 / (6 * DENSEST)
            raise ValueError(
                f"impossible density: spheres of {self.minimum_distance_A:g} A in {self.volume_A3[0]:g} A^3 per atom "
                f"fill {densest:.2f} of space, expected {DENSEST:g} at most; raise volume_A3 to {least:.2f} or more, "
                "or lower minimum_distance_A"
            )


def packing_fraction(diameter_A: float, volume_A3: float) -> float:
    return float(np.pi * diameter_A**3 / (6 * volume_A3))


def sample_random_packed(number: int, settings: RandomPacked, rng: np.random.Generator) -> list[Frames]:
    """Frames of the element of this atomic number."""
    frames = []
    for _ in range(settings.n_frames):
        n_atoms = int(rng.integers(settings.n_atoms[0], settings.n_atoms[1] + 1))
        volume = float(rng.uniform(*settings.volume_A3))
        edges = np.exp(settings.shape * rng.standard_normal(3))
        cell = np.diag(edges * (n_atoms * volume / np.prod(edges)) ** (1 / 3))
        widest = (6 * DENSEST * volume / np.pi) ** (1 / 3)
        distance = float(rng.uniform(settings.minimum_distance_A, max(widest, settings.minimum_distance_A)))
        numbers = np.full(n_atoms, number, dtype=np.int64)
        frames.append(_packed_as_wide_as_possible(numbers, cell, distance, settings.minimum_distance_A, rng))
    return frames


def _packed_as_wide_as_possible(
    numbers: NDArray[np.int64], cell_A: FloatArray, distance_A: float, least_A: float, rng: np.random.Generator
) -> Frames:
    """A few atoms in a small cell may not fit where many would: they come closer then, down to the least distance."""
    for _ in range(MAX_NARROWER):
        try:
            return random_packed(numbers, cell_A, distance_A, rng)
        except ValueError:
            distance_A = (distance_A + least_A) / 2
    return random_packed(numbers, cell_A, least_A, rng)


def random_packed(
    numbers: NDArray[np.int64], cell_A: FloatArray, minimum_distance_A: float, rng: np.random.Generator
) -> Frames:
    """Atoms at random in the cell, all `minimum_distance_A` apart. Raises ValueError where no start leads there."""
    from scipy.optimize import minimize

    shape = (len(numbers), 3)
    for _ in range(MAX_STARTS):
        start = rng.random(shape) @ cell_A
        pushed = minimize(
            _overlap, start.ravel(), args=(cell_A, MARGIN * minimum_distance_A), jac=True, method="L-BFGS-B"
        ).x.reshape(shape)
        fractional = pushed @ np.linalg.inv(cell_A)
        packed = Frames.one(
            numbers=numbers, positions_A=(fractional - np.floor(fractional)) @ cell_A, cell_A=cell_A, source="packed"
        )
        if minimum_distance(packed) >= minimum_distance_A:
            return packed
    raise ValueError(
        f"found no way to place {len(numbers)} atoms {minimum_distance_A:g} A apart in "
        f"{abs(np.linalg.det(cell_A)):.1f} A^3 after {MAX_STARTS} starts; give them more volume, or lower the distance"
    )


def _overlap(flat: FloatArray, cell: FloatArray, diameter: float) -> tuple[float, FloatArray]:
    """sum over pairs and images of (1 - r / d)^2 and its gradient."""
    positions = flat.reshape(-1, 3)
    n_images = np.ceil(diameter * np.linalg.norm(np.linalg.inv(cell), axis=0)).astype(int)
    steps = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in n_images), indexing="ij"), axis=-1).reshape(-1, 3)
    difference = positions[:, None] - positions[None]
    fractional = difference @ np.linalg.inv(cell)
    nearest = (fractional - np.round(fractional)) @ cell
    vectors = nearest[None] + (steps @ cell)[:, None, None]  # (n_images, n, n, 3)
    lengths = np.linalg.norm(vectors, axis=-1)
    lengths[:, np.arange(len(positions)), np.arange(len(positions))] = np.inf  # an atom's own images do not move apart
    closeness = np.clip(1 - lengths / diameter, 0, None)
    slope = np.divide(-2 * closeness / diameter, lengths, where=closeness > 0, out=np.zeros_like(lengths))
    gradient = np.einsum("sij,sijx->ix", slope, vectors)  # each pair stands twice; half of it is the energy below
    return float(np.sum(closeness**2) / 2), gradient.ravel()
