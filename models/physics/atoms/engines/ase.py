"""Any ASE calculator as an engine, by the dotted name of what makes it: "ase.calculators.emt:EMT".

The factory is called anew for each configuration, with keyword arguments given as JSON text. Where the calculator has a
free energy, that is taken, for forces are its gradient. One that runs a program through files (VASP, CP2K, Quantum
ESPRESSO) does so in a folder of its own for each configuration, since labels are made side by side.
"""

import importlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.physics.atoms.calculator_folder import own_folder
from models.physics.atoms.engine import ENGINES, EngineMissing, Label, NotConverged, version_of
from models.settings import settings

__all__ = ["ASEEngine", "load_factory"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.integer]


@ENGINES.register("ase")
@settings
class ASEEngine:
    """`factory` is "module:function", `keywords` its arguments as JSON, `level_name` what stores say of the labels."""

    factory: str = "ase.calculators.emt:EMT"
    keywords: str = "{}"
    level_name: str = ""

    def __post_init__(self) -> None:
        problems = []
        if not all(self.factory.partition(":")):
            problems.append(f"factory = {self.factory!r}: expected 'module:function'")
        try:
            keywords = json.loads(self.keywords)
        except json.JSONDecodeError:
            keywords = None
        if not isinstance(keywords, dict):
            problems.append(f"keywords = {self.keywords!r}: expected a JSON object such as '{{\"asap_cutoff\": true}}'")
        elif "directory" in keywords:
            problems.append("keywords: found 'directory', expected none: every configuration gets a folder of its own")
        if problems:
            raise ValueError("ASEEngine: " + "; ".join(problems))

    @property
    def level(self) -> str:
        return self.level_name or f"ASE {self.factory} {self.keywords}"

    def check(self) -> None:
        load_factory(self.factory)

    def refuse(self, numbers: IntArray, *, periodic: bool) -> None:
        """The calculator itself says what it cannot do."""

    def label(self, numbers: IntArray, positions_A: FloatArray, cell_A: FloatArray | None) -> Label:
        from ase import Atoms

        atoms: Any = Atoms(numbers=numbers, positions=positions_A, cell=cell_A, pbc=cell_A is not None)
        atoms.calc = load_factory(self.factory)(**json.loads(self.keywords))
        with own_folder(atoms.calc):
            return self._label(atoms)

    def _label(self, atoms: Any) -> Label:  # noqa: ANN401 - ase.Atoms with the calculator
        from ase.calculators.calculator import CalculationFailed, PropertyNotImplementedError, SCFError

        try:
            forces = np.array(atoms.get_forces(), dtype=np.float64)
            try:
                energy, kind = float(atoms.get_potential_energy(force_consistent=True)), "free energy"
            except PropertyNotImplementedError:
                energy, kind = float(atoms.get_potential_energy()), "energy"
            stress = None
            if atoms.pbc.all() and "stress" in getattr(atoms.calc, "implemented_properties", ()):
                stress = np.array(atoms.get_stress(voigt=False), dtype=np.float64)
                stress = (stress + stress.T) / 2
        except (SCFError, CalculationFailed) as error:
            raise NotConverged(f"{self.factory}: {error}") from None
        return Label(
            energy_eV=energy,
            forces_eV_A=forces,
            stress_eV_A3=stress,
            provenance={
                "engine": "ase",
                "ase_version": version_of("ase"),
                "factory": self.factory,
                "keywords": self.keywords,
                "energy": kind,
            },
        )

    def safer(self) -> "ASEEngine | None":
        return None


def load_factory(name: str) -> Any:  # noqa: ANN401 - whatever makes a calculator
    """The object named "module:attribute". Raises EngineMissing which says what is not there."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise EngineMissing(
            f"engine ase: found no {name!r} ({error}), expected 'module:function' that can be imported here; install "
            "its package or correct the name"
        ) from None
