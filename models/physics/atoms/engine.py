"""The contract of a quantum-mechanics engine: one configuration in, its energy, forces and stress out.

Units: A, eV, eV/A, eV/A^3; stress has ASE's sign (dE/dstrain / V: positive under tension). The energy is the one whose
negative gradient the forces are: with smeared occupations the free energy.

An engine is a frozen dataclass whose fields are its settings, JSON values all of them, so that it can be built again in
another process from its dotted name and its fields. It holds no calculator: those do not survive pickling, and a used
one starts warm, which changes the last digits. A new one is one file in engines/: `@ENGINES.register(name) @settings`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from models.registry import Registry

__all__ = [
    "ENGINES",
    "Engine",
    "EngineMissing",
    "EngineRefused",
    "Label",
    "NotConverged",
    "require_package",
    "version_of",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.integer]
INSTALL = "pip install -e '.[atoms]'"


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
    charges_e: FloatArray | None = None  # (n_atoms,) Mulliken; None where the engine gives none
    provenance: Mapping[str, str | float | int | bool] = field(default_factory=dict)


class Engine(Protocol):
    """Settings are fields of a frozen dataclass; `label` is a pure function of them and its arguments."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def level(self) -> str:
        """Level of theory in one line, e.g. "GPAW PBE PW(250 eV) MP 2x2x2 0.1 eV": levels never mix in a store."""
        ...

    def check(self) -> None:
        """Raise EngineMissing where the program or its version cannot be used; cheap, called before anything runs."""
        ...

    def refuse(self, numbers: IntArray, *, periodic: bool) -> None:
        """Raise EngineRefused where configurations of these elements must not be labelled; cheap, like `check`."""
        ...

    def label(self, numbers: IntArray, positions_A: FloatArray, cell_A: FloatArray | None) -> Label:
        """Label one configuration; periodic in all directions where `cell_A` (3, 3) is given, else open.

        Raises NotConverged, EngineMissing, EngineRefused.
        """
        ...

    def safer(self) -> "Engine | None":
        """Settings of the same level for the one retry after a failure; None where there are none."""
        ...


ENGINES: Registry[Engine] = Registry("QM engine", package="models.physics.atoms.engines")


def require_package(package: str, engine: str) -> None:
    """Raise EngineMissing where `package` is not installed. Imports nothing."""
    if find_spec(package) is None:
        raise EngineMissing(
            f"engine {engine}: found no package {package}, expected it installed; run `{INSTALL}` "
            f"(`pip install {package}` alone serves too), or choose another engine"
        )


def version_of(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
