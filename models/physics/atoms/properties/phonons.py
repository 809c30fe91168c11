"""Phonons of the fcc crystal by finite displacements (phonopy): frequencies at X and L, the dispersion, stability.

One atom of a supercell of n x n x n primitive cells is displaced; the forces on all others are columns of the matrix of
force constants, whose Fourier transform at q, divided by the mass, has the squared frequencies as eigenvalues. With n
even, X = (1/2, 0, 1/2) and L = (1/2, 1/2, 1/2) are waves that fit into the supercell, so their frequencies are free of
interpolation. Imaginary frequencies come as negative numbers.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveFloat

from models.physics.atoms.engine import require_package
from models.physics.atoms.properties.crystals import (
    Calculator,
    FloatArray,
    Lattice,
    PropertyFailed,
    Quantity,
    crystal,
)
from models.settings import settings

__all__ = ["PhononSettings", "Phonons", "force_constants", "phonons"]

X, L, GAMMA, K = (0.5, 0.0, 0.5), (0.5, 0.5, 0.5), (0.0, 0.0, 0.0), (0.375, 0.375, 0.75)
PATH = (("Gamma", GAMMA), ("X", X), ("K", K), ("Gamma", GAMMA), ("L", L))  # K is entered at U, its equivalent


@settings
class PhononSettings:
    """`supercell` primitive cells along each axis."""

    supercell: Annotated[int, Field(ge=2, multiple_of=2)] = 4
    displacement_A: PositiveFloat = 0.01
    points_per_segment: Annotated[int, Field(ge=2)] = 21


@dataclass(frozen=True, kw_only=True)
class Phonons:
    """Frequencies [THz]; `frequencies_QB` of the wave vectors along PATH."""

    x_longitudinal: float
    x_transverse: float
    l_longitudinal: float
    l_transverse: float
    distance_Q: FloatArray
    frequencies_QB: FloatArray
    ticks: tuple[float, ...]

    def quantities(self) -> dict[str, Quantity]:
        return {
            "phonon_X_longitudinal": Quantity(value=self.x_longitudinal, unit="THz"),
            "phonon_X_transverse": Quantity(value=self.x_transverse, unit="THz"),
            "phonon_L_longitudinal": Quantity(value=self.l_longitudinal, unit="THz"),
            "phonon_L_transverse": Quantity(value=self.l_transverse, unit="THz"),
            "phonon_lowest": Quantity(value=float(self.frequencies_QB.min()), unit="THz"),
        }

    def curve(self) -> dict[str, Any]:
        return {
            "distance": self.distance_Q.tolist(),
            "frequencies_THz": self.frequencies_QB.T.tolist(),
            "ticks": list(self.ticks),
            "labels": [name for name, _ in PATH],
        }


def phonons(calculator: Calculator, lattice: Lattice, settings: PhononSettings) -> Phonons:
    """Raises PropertyFailed where forces are not finite."""
    model = force_constants(calculator, lattice.element, lattice.a0_A, settings)
    x, l_point = _frequencies(model, np.array([X, L]))
    distances, frequencies, ticks = _dispersion(model, settings.points_per_segment)
    return Phonons(
        x_longitudinal=float(x[2]),
        x_transverse=float(x[:2].mean()),
        l_longitudinal=float(l_point[2]),
        l_transverse=float(l_point[:2].mean()),
        distance_Q=distances,
        frequencies_QB=frequencies,
        ticks=ticks,
    )


def force_constants(calculator: Calculator, element: str, a_A: float, settings: PhononSettings) -> Any:  # noqa: ANN401
    """A phonopy.Phonopy of the fcc crystal that has its force constants."""
    require_package("phonopy", "phonopy")
    from ase import Atoms
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    cell = crystal(element, "fcc", a_A)
    primitive = PhonopyAtoms(symbols=[element], cell=cell.cell.array, scaled_positions=[[0.0, 0.0, 0.0]])
    model: Any = Phonopy(
        primitive, supercell_matrix=np.eye(3, dtype=int) * settings.supercell, primitive_matrix=np.eye(3)
    )
    model.generate_displacements(distance=settings.displacement_A, is_plusminus=True)
    forces = []
    for displaced in model.supercells_with_displacements:
        atoms: Any = Atoms(displaced.symbols, positions=displaced.positions, cell=displaced.cell, pbc=True)
        atoms.calc = calculator
        displaced_forces = np.array(atoms.get_forces())
        if not np.isfinite(displaced_forces).all():
            raise PropertyFailed("phonons: forces of the displaced crystal are not finite")
        forces.append(displaced_forces - displaced_forces.mean(axis=0))
    model.forces = np.array(forces)
    model.produce_force_constants()
    model.symmetrize_force_constants()
    return model


def _dispersion(model: Any, n_points: int) -> tuple[FloatArray, FloatArray, tuple[float, ...]]:  # noqa: ANN401
    reciprocal = np.linalg.inv(model.primitive.cell).T
    ends = [np.array(point) for _, point in PATH]
    corner = np.array((0.625, 0.25, 0.625))  # U: the path leaves X towards it and goes on from K
    segments = [(ends[0], ends[1]), (ends[1], corner), (ends[2], ends[3]), (ends[3], ends[4])]
    distance, at, wave_vectors, ticks = [], 0.0, [], [0.0]
    for start, end in segments:
        length = float(np.linalg.norm((end - start) @ reciprocal))
        for fraction in np.linspace(0, 1, n_points):
            distance.append(at + fraction * length)
            wave_vectors.append(start + fraction * (end - start))
        at += length
        ticks.append(at)
    return np.array(distance), _frequencies(model, np.array(wave_vectors)), tuple(ticks)


def _frequencies(model: Any, wave_vectors_Q3: FloatArray) -> FloatArray:  # noqa: ANN401
    """(Q, 3) [THz], ascending; imaginary ones negative."""
    model.run_qpoints(wave_vectors_Q3)
    return np.sort(np.asarray(model.qpoints.frequencies, dtype=float), axis=1)
