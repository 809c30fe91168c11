"""Relaxation of atoms at fixed cell, or of one cell component with them, that ends in a minimum or says why not."""

from typing import Any

import numpy as np
from ase.filters import FrechetCellFilter
from ase.neighborlist import neighbor_list
from ase.optimize import FIRE
from pydantic import PositiveFloat, PositiveInt

from models.physics.atoms.properties.crystals import (
    Atoms,
    Calculator,
    PropertyFailed,
    checked_energy,
)
from models.settings import settings

__all__ = ["RelaxationSettings", "relaxed", "shortest_distance_A"]

SEARCH_A = (3.0, 6.0, 12.0, 24.0)
FUSED_FRACTION = 0.5  # of the shortest distance before the relaxation
SHIFT_LIMIT_A = 3.0  # an atom that moved further has left the structure that was to be relaxed


@settings
class RelaxationSettings:
    """When a structure counts as relaxed."""

    force_eV_A: PositiveFloat = 0.005  # largest force on an atom
    max_steps: PositiveInt = 300


def relaxed(
    atoms: Atoms,
    calculator: Calculator,
    settings: RelaxationSettings,
    *,
    cell_mask: tuple[int, ...] | None = None,
    what: str = "structure",
) -> tuple[Atoms, float]:
    """(relaxed copy, its energy [eV]); constraints of `atoms` hold.

    `cell_mask` in Voigt order frees components of the cell. Raises PropertyFailed: unconverged, fused, broken up.
    """
    start, moved = atoms.copy(), atoms.copy()
    moved.calc = calculator
    body: Any = moved if cell_mask is None else FrechetCellFilter(moved, mask=list(cell_mask))
    distance = shortest_distance_A(start)
    with FIRE(body, logfile=None, maxstep=0.1) as optimizer:
        for _ in optimizer.irun(fmax=settings.force_eV_A, steps=settings.max_steps):
            _refuse_broken(moved, start, distance, what)
        if not optimizer.converged(optimizer.optimizable.get_gradient()):
            largest = float(np.linalg.norm(moved.get_forces(), axis=1).max())
            raise PropertyFailed(
                f"{what}: not relaxed after {settings.max_steps} steps, the largest force is {largest:.3g} eV/A "
                f"(wanted {settings.force_eV_A:g})"
            )
    if shortest_distance_A(moved) < FUSED_FRACTION * distance:
        raise PropertyFailed(f"{what}: atoms fused, the shortest distance is {shortest_distance_A(moved):.3g} A")
    return moved, checked_energy(moved)


def shortest_distance_A(atoms: Atoms) -> float:
    """Of any two atoms, or of an atom and its own image; in linear time, for dynamics ask often."""
    for cutoff in SEARCH_A:
        distances = neighbor_list("d", atoms, cutoff)
        if len(distances):
            return float(distances.min())
    return float("inf")


def _refuse_broken(moved: Atoms, start: Atoms, distance: float, what: str) -> None:
    if not np.isfinite(moved.positions).all():
        raise PropertyFailed(f"{what}: positions are not finite during relaxation")
    inside = start.get_scaled_positions(wrap=False) @ moved.cell.array
    shift = float(np.linalg.norm(moved.positions - inside, axis=1).max())
    if shift > SHIFT_LIMIT_A:
        raise PropertyFailed(f"{what}: an atom moved {shift:.3g} A during relaxation, the structure is lost")
    if moved.get_volume() < 0.3 * start.get_volume():
        raise PropertyFailed(f"{what}: the cell collapsed to {moved.get_volume():.4g} A^3")
