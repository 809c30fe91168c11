"""tblite: GFN1-xTB and GFN2-xTB, semi-empirical tight binding. A thousand times faster than DFT, and not DFT.

At the same ethanol geometries its forces differ from PBE's by 0.4 eV/A (rms), so its labels never share a store with
DFT: the level says "semi-empirical". It has no k-points, and what it says of bulk aluminium is wrong (no minimum of the
energy against volume), so metals are refused. C. Bannwarth et al., J. Chem. Theory Comput. 15, 1652 (2019).
"""

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from models.physics.atoms.engine import ENGINES, EngineRefused, Label, NotConverged, require_package, version_of
from models.settings import settings

__all__ = ["METALS", "TbliteEngine"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.integer]
METALS = frozenset([3, 4, 11, 12, 13, *range(19, 32), *range(37, 51), *range(55, 85), *range(87, 113)])


@ENGINES.register("tblite")
@settings
class TbliteEngine:
    """`accuracy` scales tblite's thresholds (1 is its default, smaller is tighter)."""

    method: Literal["GFN1-xTB", "GFN2-xTB"] = "GFN2-xTB"
    accuracy: Annotated[float, Field(gt=0, le=100)] = 0.1
    max_iterations: PositiveInt = 250
    damping: Annotated[float, Field(gt=0, le=1)] = 0.4  # of the charge mixing
    charge: int = 0

    @property
    def level(self) -> str:
        charge = f", charge {self.charge:+d}" if self.charge else ""
        return f"tblite {self.method} (semi-empirical), accuracy {self.accuracy:g}{charge}"

    def check(self) -> None:
        require_package("tblite", "tblite")

    def refuse(self, numbers: IntArray, *, periodic: bool) -> None:
        metals = sorted(set(np.asarray(numbers).tolist()) & METALS)
        if metals and (periodic or len(metals) == len(set(np.asarray(numbers).tolist()))):
            raise EngineRefused(
                f"tblite: found metal (atomic numbers {metals}) {'in a periodic cell' if periodic else 'alone'}, "
                f"expected molecules; {self.method} has no k-points and gives bulk aluminium no equilibrium volume. "
                "Choose the engine gpaw"
            )

    def label(self, numbers: IntArray, positions_A: FloatArray, cell_A: FloatArray | None) -> Label:
        self.check()
        self.refuse(numbers, periodic=cell_A is not None)
        from ase.units import Bohr, Hartree
        from tblite.exceptions import TBLiteRuntimeError
        from tblite.interface import Calculator

        n_electrons = int(np.sum(numbers)) - self.charge
        lattice = None if cell_A is None else np.asarray(cell_A) / Bohr
        calculator = Calculator(
            self.method,
            np.asarray(numbers),
            positions_A / Bohr,
            charge=float(self.charge),
            uhf=n_electrons % 2,
            lattice=lattice,
            periodic=None if cell_A is None else np.array([True] * 3),
        )
        calculator.set("verbosity", 0)
        calculator.set("accuracy", self.accuracy)
        calculator.set("max-iter", self.max_iterations)
        calculator.set("mixer-damping", self.damping)
        try:
            result = calculator.singlepoint()
        except TBLiteRuntimeError as error:
            raise NotConverged(f"tblite: {str(error).strip() or 'no self-consistency'}") from None
        stress = None
        if cell_A is not None:
            stress = np.array(result["virial"], dtype=np.float64) * Hartree / abs(np.linalg.det(cell_A))
            stress = (stress + stress.T) / 2
        return Label(
            energy_eV=float(result["energy"]) * Hartree,
            forces_eV_A=-np.array(result["gradient"], dtype=np.float64) * (Hartree / Bohr),
            stress_eV_A3=stress,
            charges_e=np.array(result["charges"], dtype=np.float64),
            provenance={
                "engine": "tblite",
                "version": version_of("tblite"),
                "method": self.method,
                "theory": "semi-empirical",
                "accuracy": self.accuracy,
                "damping": self.damping,
                "max_iterations": self.max_iterations,
                "charge": self.charge,
                "energy": "free energy",
            },
        )

    def safer(self) -> "TbliteEngine | None":
        if self.damping <= 0.1:
            return None
        return replace(self, damping=0.1, max_iterations=4 * self.max_iterations)
