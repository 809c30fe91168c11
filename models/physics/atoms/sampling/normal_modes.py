"""Displacements along normal modes: independent frames around a minimum, as at a temperature in the harmonic crystal.

With the mass-weighted Hessian D = M^-1/2 H M^-1/2 = sum_k omega_k^2 e_k e_k^T, classical equilibrium draws

    r = r_0 + M^-1/2 sum_k e_k Q_k,     Q_k ~ N(0, k_B T / omega_k^2),

without the six (five) modes that move or turn the molecule. Modes softer than a floor are drawn as if they were as
stiff as it: a straight line is no model of a free rotation. H comes from central differences of forces.
J. S. Smith, O. Isayev, A. E. Roitberg, Chem. Sci. 8, 3192 (2017), in spirit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.frames import Frames
from models.physics.atoms.baoab import BOLTZMANN_EV_K
from models.physics.atoms.engine import Engine
from models.physics.atoms.sampling.molecules import relaxed
from models.physics.atoms.sampling.ranges import number_problems, range_problems, refuse_if

__all__ = ["NormalModes", "displaced", "hessian", "modes_of", "sample_normal_modes"]

FloatArray = NDArray[np.float64]
WAVENUMBER_TO_EV = 1.239841984e-4  # 1/cm
HBAR_SQUARED = 4.1801593e-3  # eV u A^2: (hbar omega)^2 = HBAR_SQUARED omega^2 for omega^2 in eV / (u A^2)
STEP_A = 0.005


@dataclass(frozen=True, kw_only=True)
class NormalModes:
    """Each frame has a temperature of its own, uniform in the range [K]. Frames first .. first + n_frames are drawn."""

    n_frames: int
    temperature_K: tuple[float, float]
    softest_1_cm: float = 150.0
    first: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "temperature_K", tuple(self.temperature_K))
        refuse_if(
            range_problems("temperature_K", self.temperature_K)
            + number_problems(n_frames=self.n_frames, first=self.first)
            + number_problems(1, softest_1_cm=self.softest_1_cm)
        )


def sample_normal_modes(
    structure: Frames, engine: Engine, settings: NormalModes, rng: np.random.Generator
) -> list[Frames]:
    """Frames around the minimum next to `structure`; forces of `engine` give the Hessian.

    Frame i comes from the i-th child of `rng`, so that frames drawn in parts are those drawn at once.
    """
    minimum = relaxed(structure, engine)
    modes, stiffness = modes_of(hessian(minimum, engine), masses_of(minimum), positions_A=minimum.positions_A)
    floor = (settings.softest_1_cm * WAVENUMBER_TO_EV) ** 2 / HBAR_SQUARED
    stiffness = np.maximum(stiffness, floor)
    return [
        displaced(minimum, modes, stiffness, float(entry.uniform(*settings.temperature_K)), entry)
        for entry in rng.spawn(settings.first + settings.n_frames)[settings.first :]
    ]


def hessian(structure: Frames, engine: Engine, step_A: float = STEP_A) -> FloatArray:
    """Second derivatives of the energy (3N, 3N) [eV/A^2], symmetric."""
    flat = structure.positions_A.ravel()
    rows = []
    for i in range(flat.size):
        ahead, behind = (_forces(structure, engine, flat, i, sign * step_A) for sign in (1, -1))
        rows.append((behind - ahead) / (2 * step_A))
    matrix = np.stack(rows)
    return (matrix + matrix.T) / 2


def modes_of(matrix: FloatArray, masses: FloatArray, *, positions_A: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Vibrations (n_modes, N, 3) divided by sqrt(mass), and their omega^2 [eV / (u A^2)], ascending."""
    weights = np.repeat(1 / np.sqrt(masses), 3)
    rigid = _rigid_motions(positions_A, masses)
    inside = np.eye(weights.size) - rigid.T @ rigid
    values, vectors = np.linalg.eigh(inside @ (weights[:, None] * matrix * weights[None]) @ inside)
    overlap = np.linalg.norm(rigid @ vectors, axis=0)  # 1 for the rigid motions, 0 for vibrations
    kept = np.sort(np.argsort(overlap, kind="stable")[: weights.size - len(rigid)])
    return (vectors[:, kept] * weights[:, None]).T.reshape(len(kept), -1, 3), values[kept]


def displaced(
    minimum: Frames, modes: FloatArray, stiffness: FloatArray, temperature_K: float, rng: np.random.Generator
) -> Frames:
    amplitude = rng.standard_normal(len(modes)) * np.sqrt(BOLTZMANN_EV_K * temperature_K / stiffness)
    return minimum.changed(positions_A=minimum.positions_A + np.einsum("k,kax->ax", amplitude, modes))


def masses_of(structure: Frames) -> FloatArray:
    """Atomic masses [u]."""
    from ase.data import atomic_masses

    return np.asarray(atomic_masses[structure.numbers], dtype=np.float64)


def _forces(structure: Frames, engine: Engine, flat: FloatArray, index: int, step: float) -> FloatArray:
    moved = flat.copy()
    moved[index] += step
    return engine.label(structure.numbers, moved.reshape(-1, 3), structure.cell_A).forces_eV_A.ravel()


def _rigid_motions(positions_A: FloatArray, masses: FloatArray) -> FloatArray:
    """Orthonormal translations and rotations in mass-weighted coordinates (6 or 5, 3N)."""
    centred = positions_A - np.average(positions_A, axis=0, weights=masses)
    axes = np.eye(3)
    motions = [np.tile(axis, (len(masses), 1)) for axis in axes] + [np.cross(axis, centred) for axis in axes]
    weighted = np.stack([(motion * np.sqrt(masses)[:, None]).ravel() for motion in motions])
    _, sizes, directions = np.linalg.svd(weighted, full_matrices=False)
    return np.asarray(directions[sizes > 1e-6 * sizes[0]])
