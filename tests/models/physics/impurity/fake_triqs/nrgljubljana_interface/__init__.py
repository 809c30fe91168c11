"""Stand-in for nrgljubljana_interface 3.2: the same imports and call signatures, U = 0 alone (solver_core.py)."""

import triqs.gf.gf

from nrgljubljana_interface.descriptors import Flat, Omega, SemiCircular
from nrgljubljana_interface.mesh_refreq_pts import MeshReFreqPts
from nrgljubljana_interface.solver import Solver
from nrgljubljana_interface.solver_core import SolverCore

__all__ = ["Flat", "MeshReFreqPts", "Omega", "SemiCircular", "Solver", "SolverCore"]

triqs.gf.gf.all_meshes = (*triqs.gf.gf.all_meshes, MeshReFreqPts)
