"""PySCF: Hartree-Fock and Kohn-Sham DFT of molecules in Gaussian orbitals, with analytic forces.

Not through ASE: its wrapper takes the energy without the smearing entropy and writes checkpoints. The derivative of the
integration grid is included (grid response), so that the net force vanishes to 1e-14 and forces are gradients of the
energy on any grid. Q. Sun et al., J. Chem. Phys. 153, 024109 (2020).
"""

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from models.physics.atoms.engine import ENGINES, EngineRefused, Label, NotConverged, require_package, version_of
from models.settings import settings

__all__ = ["PySCFEngine"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.integer]


@ENGINES.register("pyscf")
@settings
class PySCFEngine:
    """`spin` is the number of unpaired electrons; None takes the fewest. `grid_level` 0 to 9 of the xc integral."""

    method: Literal["dft", "hf"] = "dft"
    xc: str = "PBE"
    basis: str = "def2-SVP"
    density_fit: bool = True
    grid_level: Annotated[int, Field(ge=0, le=9)] = 2
    charge: int = 0
    spin: NonNegativeInt | None = None
    max_cycles: PositiveInt = 60
    tolerance_Ha: Annotated[float, Field(gt=0, lt=1e-3)] = 1e-9
    solver: Literal["diis", "second_order"] = "diis"

    @property
    def level(self) -> str:
        method = f"{self.xc}/{self.basis} grid {self.grid_level}" if self.method == "dft" else f"HF/{self.basis}"
        charge = f", charge {self.charge:+d}" if self.charge else ""
        spin = f", {self.spin} unpaired" if self.spin is not None else ""
        return f"PySCF {method}{' density-fitted' if self.density_fit else ''}{charge}{spin}"

    def check(self) -> None:
        require_package("pyscf", "pyscf")

    def refuse(self, numbers: IntArray, *, periodic: bool) -> None:
        if periodic:
            raise EngineRefused(
                "pyscf: found a periodic cell, expected an open molecule; this engine has no stress and no k-points "
                "worth their price here. Choose the engine gpaw for cells"
            )
        n_electrons = int(np.sum(numbers)) - self.charge
        if self.spin is not None and (n_electrons - self.spin) % 2:
            raise EngineRefused(
                f"pyscf: found {n_electrons} electrons and spin {self.spin}, expected both even or both odd; "
                "correct charge or spin, or leave spin out"
            )

    def label(self, numbers: IntArray, positions_A: FloatArray, cell_A: FloatArray | None) -> Label:
        self.check()
        self.refuse(numbers, periodic=cell_A is not None)
        from ase.units import Bohr, Hartree
        from pyscf.data.nist import BOHR
        from pyscf.gto import M

        n_electrons = int(np.sum(numbers)) - self.charge
        spin = n_electrons % 2 if self.spin is None else self.spin
        molecule = M(
            atom=[(int(z), tuple(r)) for z, r in zip(numbers, positions_A / BOHR, strict=True)],
            unit="Bohr",
            basis=self.basis,
            charge=self.charge,
            spin=spin,
            verbose=0,
        )
        field = self._field(molecule, open_shell=spin != 0)
        energy_Ha = float(field.kernel())
        if not field.converged:
            raise NotConverged(f"PySCF: no self-consistency after {self.max_cycles} cycles ({self.solver})")
        gradient = field.nuc_grad_method()
        gradient.verbose = 0
        if self.method == "dft":
            gradient.grid_response = True
        forces = -np.array(gradient.kernel(), dtype=np.float64) * (Hartree / Bohr)
        _, charges = field.mulliken_pop(verbose=0)
        provenance = self._provenance(spin) | {"cycles": int(getattr(field, "cycles", -1))}
        if self.density_fit:
            provenance["auxiliary_basis"] = _auxiliary_basis(field)
        return Label(
            energy_eV=energy_Ha * Hartree,
            forces_eV_A=forces,
            stress_eV_A3=None,
            charges_e=np.array(charges, dtype=np.float64),
            provenance=provenance,
        )

    def safer(self) -> "PySCFEngine | None":
        if self.solver == "second_order":
            return None
        return replace(self, solver="second_order", max_cycles=3 * self.max_cycles)

    def _field(self, molecule: Any, *, open_shell: bool) -> Any:  # noqa: ANN401 - pyscf has no types
        from pyscf import dft, scf

        if self.method == "dft":
            field = (dft.UKS if open_shell else dft.RKS)(molecule, xc=self.xc)
            field.grids.level = self.grid_level
        else:
            field = (scf.UHF if open_shell else scf.RHF)(molecule)
        if self.density_fit:
            field = field.density_fit()
        field.chkfile = None
        field.conv_tol = self.tolerance_Ha
        field.max_cycle = self.max_cycles
        if self.solver == "second_order":
            field = field.newton()
            field.chkfile = None
            field.conv_tol = self.tolerance_Ha
            field.max_cycle = self.max_cycles
        return field

    def _provenance(self, spin: int) -> dict[str, str | float | int | bool]:
        grid: dict[str, str | float | int | bool] = {}
        if self.method == "dft":
            grid = {"xc": self.xc, "grid_level": self.grid_level, "grid_response": True}
        return {
            "engine": "pyscf",
            "version": version_of("pyscf"),
            "method": self.method,
            "basis": self.basis,
            "density_fit": self.density_fit,
            "charge": self.charge,
            "unpaired_electrons": spin,
            "energy": "total energy",
            "tolerance_Ha": self.tolerance_Ha,
            "solver": self.solver,
            **grid,
        }


def _auxiliary_basis(field: Any) -> str:  # noqa: ANN401 - pyscf has no types
    named = field.with_df.auxbasis
    if isinstance(named, str):
        return named
    if isinstance(named, dict):
        return ", ".join(f"{element}: {name}" for element, name in sorted(named.items()) if isinstance(name, str))
    return "default"
