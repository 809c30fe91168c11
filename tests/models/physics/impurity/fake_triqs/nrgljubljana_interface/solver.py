"""Stand-in: the thin Python class over the core."""

from triqs.gf import BlockGf  # noqa: F401 - as the real one
from triqs.utility import mpi  # noqa: F401 - as the real one: here a process may join MPI

from nrgljubljana_interface.solver_core import SolverCore


class Solver(SolverCore):
    def __init__(self, **params_kw):
        SolverCore.__init__(self, **params_kw)

    def solve(self, **params_kw):
        return SolverCore.solve(self, **params_kw)
