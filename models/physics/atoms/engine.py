"""The contract of a quantum-mechanics engine: one configuration in, its energy, forces and stress out.

Units: A, eV, eV/A, eV/A^3; stress has ASE's sign (dE/dstrain / V: positive under tension). The energy is the one whose
negative gradient the forces are: with smeared occupations the free energy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Engine", "EngineMissing", "EngineRefused", "Label", "NotConverged"]

FloatArray = NDArray[np.float64]


class NotConverged(RuntimeError):
    """The self-consistent field did not converge; a retry with safer settings may."""


class EngineMissing(ImportError):
    """The engine is not installed; the message names the extra and the command."""


class EngineRefused(ValueError):
    """This engine must not label this configuration (wrong physics), whatever the settings."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """What an engine says of one configuration, with all that is needed to know how it was said."""

    energy_eV: float
    forces_eV_A: FloatArray  # (n_atoms, 3)
    stress_eV_A3: FloatArray | None  # (3, 3); None where the engine gives none
    provenance: Mapping[str, str | float | int | bool] = field(default_factory=dict)


class Engine(Protocol):
    """Settings are fields of a frozen dataclass; `label` is a pure function of them and its arguments."""

    @property
    def level(self) -> str:
        """Level of theory in one line, e.g. "GPAW PBE PW(250 eV) MP 2x2x2 0.1 eV": levels never mix in a store."""
        ...

    def check(self) -> None:
        """Raise EngineMissing where the program or its version cannot be used; cheap, called before anything runs."""
        ...

    def label(self, numbers: NDArray[np.int64], positions_A: FloatArray, cell_A: FloatArray | None) -> Label:
        """Label one configuration; periodic in all directions where `cell_A` (3, 3) is given, else open.

        Raises NotConverged, EngineMissing, EngineRefused.
        """
        ...

    def safer(self) -> "Engine | None":
        """Settings for the one retry after NotConverged or a crash; None where there are none."""
        ...
