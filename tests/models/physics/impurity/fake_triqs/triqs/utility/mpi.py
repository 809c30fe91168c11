"""Stand-in: as TRIQS does, joins MPI when the environment looks like that of mpirun or srun, and tells the time."""

import datetime
import os
import sys

if any(
    os.environ.get(name) for name in ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "CRAY_MPICH_VERSION", "TRIQS_FORCE_MPI_INIT")
):
    from mpi4py import MPI

    world = MPI.COMM_WORLD
else:
    print("Warning: could not identify MPI environment!")
    world = None

print(f"Starting serial run at: {datetime.datetime.now()}", file=sys.stderr)
