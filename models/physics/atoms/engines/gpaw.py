"""GPAW: projector-augmented-wave DFT with plane waves or atomic orbitals. Bulk, and molecules in a box of vacuum.

Traps, each avoided here:

* Occupations are smeared (Fermi-Dirac), so forces are gradients of the free energy, not of the energy extrapolated to
  zero smearing, which is ASE's default.
* Gamma alone is wrong by some 0.4 eV/atom in a metal of 16 atoms. The mesh follows from a spacing in reciprocal space,
  so that it means the same in every cell: n_i = ceil(|b_i| / spacing), Monkhorst and Pack's points, which for even n_i
  lie beside Gamma and are half as many after time reversal. Gamma alone is taken from GAMMA_ATOMS atoms on only.
* Energies are relative to the reference atoms of the PAW data, not total energies: levels never mix.

J. J. Mortensen et al., J. Chem. Phys. 160, 092503 (2024); H. J. Monkhorst and J. D. Pack, Phys. Rev. B 13, 5188 (1976).
"""

import math
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from models.physics.atoms.engine import ENGINES, EngineRefused, Label, NotConverged, require_package, version_of
from models.settings import settings

__all__ = ["GPAWEngine", "k_mesh_of"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.integer]
GAMMA_ATOMS = 100
SMALLEST_MESH = (2, 2, 2)
BUILT_IN_XC = ("LDA", "PBE", "revPBE", "RPBE", "PW91")


@ENGINES.register("gpaw")
@settings
class GPAWEngine:
    """`k_mesh` wins over `k_spacing`; both are of periodic cells, a molecule has one point. Energies in eV."""

    mode: Literal["pw", "lcao"] = "pw"
    xc: str = "PBE"
    cutoff_eV: PositiveFloat = 250.0  # of the plane waves
    basis: str = "dzp"  # of the orbitals (lcao)
    grid_spacing_A: PositiveFloat = 0.2  # lcao
    k_spacing_1_A: PositiveFloat = 0.55
    k_mesh: Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], Field(strict=False)] | None = None
    smearing_eV: PositiveFloat = 0.1
    max_iterations: PositiveInt = 120
    vacuum_A: PositiveFloat = 5.0  # around a molecule
    mixing: Literal["default", "cautious"] = "default"

    @property
    def level(self) -> str:
        basis = f"PW {self.cutoff_eV:g} eV" if self.mode == "pw" else f"LCAO {self.basis} h {self.grid_spacing_A:g} A"
        k_points = f"k spacing {self.k_spacing_1_A:g}/A"
        if self.k_mesh is not None:
            k_points = "MP " + "x".join(map(str, self.k_mesh))
        return f"GPAW {self.xc} {basis}, {k_points}, Fermi-Dirac {self.smearing_eV:g} eV"

    def check(self) -> None:
        require_package("gpaw", "gpaw")

    def refuse(self, numbers: IntArray, *, periodic: bool) -> None:
        if periodic and self.k_mesh == (1, 1, 1) and len(numbers) < GAMMA_ATOMS:
            raise EngineRefused(
                f"gpaw: found k_mesh 1x1x1 for a periodic cell of {len(numbers)} atoms, expected more k-points below "
                f"{GAMMA_ATOMS} atoms; Gamma alone is wrong by tenths of an eV per atom. Give k_spacing_1_A"
            )

    def label(self, numbers: IntArray, positions_A: FloatArray, cell_A: FloatArray | None) -> Label:
        self.check()
        self.refuse(numbers, periodic=cell_A is not None)
        from ase import Atoms
        from gpaw import GPAW, ConvergenceError

        atoms: Any = Atoms(numbers=numbers, positions=positions_A)
        mesh = (1, 1, 1)
        if cell_A is None:
            atoms.center(vacuum=self.vacuum_A)
            atoms.pbc = self.mode == "pw"
        else:
            atoms.cell, atoms.pbc = cell_A, True
            mesh = self.k_mesh or k_mesh_of(cell_A, len(numbers), self.k_spacing_1_A)
        atoms.calc = GPAW(**self._keywords(mesh))
        try:
            energy = float(atoms.get_potential_energy(force_consistent=True))
            forces = np.array(atoms.get_forces(), dtype=np.float64)
            stress = None
            if cell_A is not None and self.mode == "pw":
                stress = np.array(atoms.get_stress(voigt=False), dtype=np.float64)
                stress = (stress + stress.T) / 2
        except ConvergenceError as error:
            raise NotConverged(f"GPAW: {str(error).strip() or type(error).__name__}") from None
        provenance = self._provenance(mesh) | {
            "irreducible_k_points": len(atoms.calc.get_ibz_k_points()),
            "iterations": int(atoms.calc.get_number_of_iterations()),
        }
        return Label(energy_eV=energy, forces_eV_A=forces, stress_eV_A3=stress, provenance=provenance)

    def safer(self) -> "GPAWEngine | None":
        if self.mixing == "cautious":
            return None
        return replace(self, mixing="cautious", max_iterations=3 * self.max_iterations)

    def _keywords(self, mesh: tuple[int, ...]) -> dict[str, Any]:
        from gpaw import PW, FermiDirac, Mixer

        keywords: dict[str, Any] = {
            "mode": PW(self.cutoff_eV) if self.mode == "pw" else "lcao",
            "xc": self.xc,
            "kpts": {"size": tuple(mesh)},
            "occupations": FermiDirac(self.smearing_eV),
            "maxiter": self.max_iterations,
            "txt": None,
        }
        if self.mode == "lcao":
            keywords |= {"basis": self.basis, "h": self.grid_spacing_A}
        if self.mixing == "cautious":
            keywords["mixer"] = Mixer(0.02, 5, 100)
        return keywords

    def _provenance(self, mesh: tuple[int, ...]) -> dict[str, str | float | int | bool]:
        settings: dict[str, str | float] = {"cutoff_eV": self.cutoff_eV}
        if self.mode == "lcao":
            settings = {"basis": self.basis, "grid_spacing_A": self.grid_spacing_A}
        return {
            "engine": "gpaw",
            "version": version_of("gpaw"),
            "ase_version": version_of("ase"),
            "potentials": f"gpaw-data {version_of('gpaw-data')} {self.xc} PAW",
            "mode": self.mode,
            "xc": self.xc,
            "libxc": self.xc not in BUILT_IN_XC,
            "k_mesh": "x".join(map(str, mesh)),
            "smearing_eV": self.smearing_eV,
            "energy": "free energy",
            "mixing": self.mixing,
            "max_iterations": self.max_iterations,
            **settings,
        }


def k_mesh_of(cell_A: FloatArray, n_atoms: int, spacing_1_A: float) -> tuple[int, int, int]:
    """Monkhorst-Pack mesh whose points lie at most `spacing_1_A` apart; never Gamma alone below GAMMA_ATOMS atoms."""
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(cell_A), axis=0)  # of the reciprocal vectors, columns of inv
    n1, n2, n3 = (max(1, math.ceil(length / spacing_1_A - 1e-9)) for length in lengths)
    if (n1, n2, n3) == (1, 1, 1) and n_atoms < GAMMA_ATOMS:
        return SMALLEST_MESH
    return n1, n2, n3
