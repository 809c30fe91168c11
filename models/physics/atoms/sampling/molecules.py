"""Small molecules by name, at rest in the minimum of a (cheap) engine, and which of their bonds turn."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.frames import Frames
from models.physics.atoms.engine import Engine

__all__ = ["molecule", "relaxed", "rotatable_bonds"]

FloatArray = NDArray[np.float64]
FORCE_TOLERANCE_EV_A = 1e-3
BOND_STRETCH = 1.25  # atoms nearer than this times the sum of their covalent radii are bonded


def molecule(name: str) -> Frames:
    """The molecule of the G2 set by ASE's name for it, e.g. H2O, CH3CH2OH. Raises ValueError on an unknown name."""
    import ase.build
    from ase.collections import g2

    build: Any = ase.build.molecule

    if name not in g2.names:
        near = sorted(known for known in g2.names if known[:2] == name[:2])
        raise ValueError(
            f"found molecule {name!r}, expected a name of the G2 set, such as H2O, CH4, CH3CH2OH"
            + (f" (near: {', '.join(near)})" if near else "")
        )
    atoms = build(name)
    return Frames.one(numbers=atoms.numbers.astype(np.int64), positions_A=atoms.positions.copy(), source=name)


def relaxed(structure: Frames, engine: Engine) -> Frames:
    """The nearest minimum of the engine's energy."""
    from scipy.optimize import minimize

    shape = structure.positions_A.shape

    def energy_and_gradient(flat: FloatArray) -> tuple[float, FloatArray]:
        label = engine.label(structure.numbers, flat.reshape(shape), structure.cell_A)
        return label.energy_eV, -label.forces_eV_A.ravel()

    optimum = minimize(
        energy_and_gradient,
        structure.positions_A.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"gtol": FORCE_TOLERANCE_EV_A, "ftol": 1e-12, "maxiter": 500},
    )
    return structure.changed(positions_A=np.asarray(optimum.x, dtype=np.float64).reshape(shape))


def rotatable_bonds(structure: Frames) -> list[tuple[int, int, list[int]]]:
    """Bonds (a, b, atoms on the side of b, b left out) that turn: no ring, and further atoms at both ends."""
    neighbours = _bonds(structure)
    bonds = []
    for a, others in enumerate(neighbours):
        for b in sorted(others):
            side = _reach(neighbours, start=b, without=a)
            if a < b and len(others) > 1 and len(neighbours[b]) > 1 and a not in side:
                bonds.append((a, b, sorted(side - {b})))
    return bonds


def _bonds(structure: Frames) -> list[set[int]]:
    from ase.data import covalent_radii

    radii = covalent_radii[structure.numbers]
    difference = structure.positions_A[:, None] - structure.positions_A[None]
    near = np.linalg.norm(difference, axis=-1) < BOND_STRETCH * (radii[:, None] + radii[None])
    return [set(np.flatnonzero(row).tolist()) - {i} for i, row in enumerate(near)]


def _reach(neighbours: list[set[int]], *, start: int, without: int) -> set[int]:
    """Atoms connected to `start` when its bond to `without` is cut; holds `without` where a ring closes."""
    seen, waiting = {start}, [n for n in neighbours[start] if n != without]
    while waiting:
        atom = waiting.pop()
        if atom not in seen:
            seen.add(atom)
            waiting.extend(neighbours[atom])
    return seen
