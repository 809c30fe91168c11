"""The engine of a section of params by name, with the settings of each; those that are not named may be left out.

engine:
  name: gpaw                # gpaw, pyscf, tblite, ase
  gpaw: {cutoff_eV: 250.0, ...}
"""

from dataclasses import dataclass, field
from typing import Literal

from models.physics.atoms.ase_engine import ASEEngine
from models.physics.atoms.engine import Engine
from models.physics.atoms.gpaw_engine import GPAWEngine
from models.physics.atoms.pyscf_engine import PySCFEngine
from models.physics.atoms.tblite_engine import TbliteEngine

__all__ = ["EngineParams"]


@dataclass(frozen=True, kw_only=True)
class EngineParams:
    """One engine by name, and the settings of each."""

    name: Literal["gpaw", "pyscf", "tblite", "ase"]
    gpaw: GPAWEngine = field(default_factory=GPAWEngine)
    pyscf: PySCFEngine = field(default_factory=PySCFEngine)
    tblite: TbliteEngine = field(default_factory=TbliteEngine)
    ase: ASEEngine = field(default_factory=ASEEngine)

    def make(self) -> Engine:
        engine: Engine = getattr(self, self.name)
        return engine
