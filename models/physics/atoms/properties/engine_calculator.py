"""A quantum-mechanics engine as an ASE calculator, so that its own properties can be measured like a potential's.

Give the engine a fixed mesh of k-points: a mesh that follows the cell jumps from one strained cell to the next.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from models.physics.atoms.engine import Engine, NotConverged
from models.physics.atoms.engines.gpaw import GPAWEngine
from models.physics.atoms.properties.crystals import Atoms

__all__ = ["EngineCalculator", "gpaw"]

VOIGT = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])


class EngineCalculator(Calculator):
    """One label per structure; where it does not converge, once more with the engine's safer settings."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 - as ASE declares it

    def __init__(self, engine: Engine) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.engine = engine

    def calculate(
        self,
        atoms: Atoms = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Raises what the engine raises: NotConverged, EngineMissing, EngineRefused."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        cell = np.array(atoms.cell.array) if atoms.pbc.all() else None
        numbers, positions = atoms.numbers.astype(np.int64), np.array(atoms.positions)
        try:
            label = self.engine.label(numbers, positions, cell)
        except NotConverged:
            safer = self.engine.safer()
            if safer is None:
                raise
            label = safer.label(numbers, positions, cell)
        self.results = {"energy": label.energy_eV, "free_energy": label.energy_eV, "forces": label.forces_eV_A}
        if label.stress_eV_A3 is not None:
            self.results["stress"] = label.stress_eV_A3[VOIGT]


def gpaw(**settings: Any) -> EngineCalculator:  # noqa: ANN401 - fields of GPAWEngine
    """GPAW as a calculator; by default plane waves and 12 x 12 x 12 k-points, for primitive cells of a metal.

    Raises EngineMissing where GPAW is not installed, ValueError and TypeError for settings that it does not take.
    """
    engine = GPAWEngine(**({"k_mesh": (12, 12, 12)} | settings))
    engine.check()
    return EngineCalculator(engine)
