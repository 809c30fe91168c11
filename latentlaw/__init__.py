"""Latentlaw as a library: its public names, each imported when it is first used.

    from latentlaw import AndersonImpurity, NRGSolver, PotentialCalculator, open_store

The code lies in the packages `models`, `stores` and `pipeline` of the repository. An installed wheel has them inside
this package, `latentlaw.models` and so on, so that they cannot meet other packages of such common names
(pipeline/runtime/wheel.py). What an installation without extras lacks is named when a name needs it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from pipeline.runtime.extras import explained_by_extra

if TYPE_CHECKING:
    from models.interfaces.lammps import Driver as Driver
    from models.networks.potentials.ani import ANI as ANI
    from models.networks.potentials.calculator import PotentialCalculator as PotentialCalculator
    from models.networks.potentials.ensemble import load_potential as load_potential
    from models.networks.potentials.hipnn import HIPNN as HIPNN
    from models.physics.dmft.hubbard import HubbardSolution as HubbardSolution
    from models.physics.dmft.hubbard import MeanFieldSettings as MeanFieldSettings
    from models.physics.dmft.hubbard import solve_hubbard as solve_hubbard
    from models.physics.dmft.lattice import BetheLattice as BetheLattice
    from models.physics.dmft.lattice import DensityOfStates as DensityOfStates
    from models.physics.dmft.lattice import cubic_lattice as cubic_lattice
    from models.physics.impurity.bath import Bath as Bath
    from models.physics.impurity.bath import SpinBaths as SpinBaths
    from models.physics.impurity.friedel import friedel_residual as friedel_residual
    from models.physics.impurity.hamiltonian import AndersonImpurity as AndersonImpurity
    from models.physics.impurity.hamiltonian import ImpurityInBath as ImpurityInBath
    from models.physics.impurity.kondo import haldane_kondo_temperature as haldane_kondo_temperature
    from models.physics.impurity.kondo import kondo_temperature as kondo_temperature
    from models.physics.impurity.nrg_solver import NRGSettings as NRGSettings
    from models.physics.impurity.nrg_solver import NRGSolver as NRGSolver
    from models.physics.impurity.solver import ImpuritySolution as ImpuritySolution
    from pipeline.discover.folder import DataSet as DataSet
    from pipeline.discover.folder import discover_in as discover_in
    from stores.atoms import ATOMS as ATOMS
    from stores.atoms_ase import from_ase as from_ase
    from stores.atoms_ase import to_ase as to_ase
    from stores.schema import SchemaError as SchemaError
    from stores.spectra import SPECTRA as SPECTRA
    from stores.zarr_store import open_store as open_store
    from stores.zarr_store import write_store as write_store

PUBLIC = {
    "models.physics.impurity.hamiltonian": ("AndersonImpurity", "ImpurityInBath"),
    "models.physics.impurity.bath": ("Bath", "SpinBaths"),
    "models.physics.impurity.nrg_solver": ("NRGSettings", "NRGSolver"),
    "models.physics.impurity.solver": ("ImpuritySolution",),
    "models.physics.impurity.kondo": ("haldane_kondo_temperature", "kondo_temperature"),
    "models.physics.impurity.friedel": ("friedel_residual",),
    "models.physics.dmft.hubbard": ("HubbardSolution", "MeanFieldSettings", "solve_hubbard"),
    "models.physics.dmft.lattice": ("BetheLattice", "DensityOfStates", "cubic_lattice"),
    "stores.zarr_store": ("open_store", "write_store"),
    "stores.schema": ("SchemaError",),
    "stores.spectra": ("SPECTRA",),
    "stores.atoms": ("ATOMS",),
    "stores.atoms_ase": ("from_ase", "to_ase"),
    "models.networks.potentials.calculator": ("PotentialCalculator",),
    "models.networks.potentials.ensemble": ("load_potential",),
    "models.networks.potentials.hipnn": ("HIPNN",),
    "models.networks.potentials.ani": ("ANI",),
    "models.interfaces.lammps": ("Driver",),
    "pipeline.discover.folder": ("DataSet", "discover_in"),
}
_MODULES = {name: module for module, names in PUBLIC.items() for name in names}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever is public
    if name not in _MODULES:
        raise AttributeError(f"module 'latentlaw' has no attribute {name!r}, expected one of {__all__}")
    try:
        return getattr(importlib.import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        raise explained_by_extra(error) or error from None


def __dir__() -> list[str]:
    return [*globals(), *__all__]
